package lab

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"strings"
)

// ip runs ip(8) and puts what it said into the error.
func ip(args ...string) error { return run("ip", args...) }

func run(program string, args ...string) error {
	out, err := exec.Command(program, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("lab: %s %s: %w: %s", program, strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}

func makeBridge(number int) error {
	br := bridgeName(number)
	if exec.Command("ip", "link", "show", br).Run() == nil { // left by a lab that died before it wrote its state
		if err := ip("link", "del", br); err != nil {
			return err
		}
	}
	p := network(number)
	return errors.Join(
		ip("link", "add", br, "type", "bridge"),
		ip("addr", "add", fmt.Sprintf("%s/%d", p.Addr().Next(), p.Bits()), "dev", br),
		ip("link", "set", br, "up"),
	)
}

// usedNetworks tells which lab networks this machine has an address in.
func usedNetworks() (map[int]bool, error) {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return nil, fmt.Errorf("lab: addresses of this machine: %w", err)
	}
	used := make(map[int]bool)
	for _, a := range addrs {
		p, err := netip.ParsePrefix(a.String())
		if err != nil {
			continue
		}
		for n := range maxLabs {
			if network(n).Overlaps(p) {
				used[n] = true
			}
		}
	}
	return used, nil
}

// veth is the lab's end of the node's cable. Interface names end at 15 characters.
func (n *Node) veth() string { return vethName(n.lab.number, n.index) }

func vethName(lab, index int) string { return fmt.Sprintf("pgl%dn%d", lab, index) }

// unplug takes a cable away. It goes with its namespace too, but later: who needs its name at once would find it taken.
func unplug(veth string) error {
	if !exists(veth) {
		return nil
	}
	if err := ip("link", "del", veth); err != nil && exists(veth) {
		return err
	}
	return nil
}

func exists(device string) bool { return exec.Command("ip", "link", "show", device).Run() == nil }

// plug lays the node's cable: eth0 in its network namespace, the other end on the lab's bridge. The hardware address stays
// the same over a power cycle, so that neighbours need not forget it first.
func (n *Node) plug() error {
	pid, _ := n.process()
	return errors.Join(
		ip("link", "add", n.veth(), "type", "veth", "peer", "name", "eth0", "address", n.mac(), "netns", fmt.Sprint(pid)),
		ip("link", "set", n.veth(), "master", bridgeName(n.lab.number), "up"),
		n.inside("ip", "link", "set", "lo", "up"),
		n.address(),
	)
}

func (n *Node) mac() string { return fmt.Sprintf("02:4d:4d:00:%02x:%02x", n.lab.number, n.index) }

// address sets up the node's eth0, which has just been plugged in.
func (n *Node) address() error {
	p := network(n.lab.number)
	return errors.Join(
		n.inside("ip", "addr", "add", fmt.Sprintf("%s/%d", n.IP, p.Bits()), "dev", "eth0"),
		n.inside("ip", "link", "set", "eth0", "up"),
		n.inside("ip", "route", "add", "default", "via", p.Addr().Next().String()),
	)
}

// inside runs this machine's program in the node's network namespace: the node's own root may not stand yet.
func (n *Node) inside(program string, args ...string) error {
	pid, _ := n.process()
	return run("nsenter", append([]string{"-t", fmt.Sprint(pid), "-n", program}, args...)...)
}

// Cut unplugs the node's cable. Connections stay open and silent, as with a real cable.
func (n *Node) Cut() error { return ip("link", "set", n.port(), "down") }

// Join plugs the cable in again.
func (n *Node) Join() error {
	if err := ip("link", "set", n.port(), "up"); err != nil {
		return err
	}
	// The neighbour entry may have turned to "failed" meanwhile; drop it instead of waiting for it to age.
	return ip("neigh", "flush", "to", n.IP, "dev", bridgeName(n.lab.number))
}

// Throttle limits what the node receives to so many megabits per second; 0 ends it.
func (n *Node) Throttle(mbit int) error {
	if mbit == 0 {
		return n.fullSpeed()
	}
	return run("tc", "qdisc", "replace", "dev", n.port(), "root", "tbf",
		"rate", fmt.Sprintf("%dmbit", mbit), "burst", "64kb", "latency", "400ms")
}

func (n *Node) fullSpeed() error {
	return run("tc", "qdisc", "replace", "dev", n.port(), "root", "pfifo_fast")
}

// nobody is a hardware address that no device has.
const nobody = "02:4d:4d:ff:ff:ff"

// CutOff takes the way between this machine, where the operator sits, and the node: what one sends the other from now on
// is lost without a word. The nodes see each other still.
func (n *Node) CutOff() error {
	return errors.Join(
		ip("neigh", "replace", n.IP, "lladdr", nobody, "nud", "permanent", "dev", bridgeName(n.lab.number)),
		n.inside("ip", "neigh", "replace", n.lab.Gateway, "lladdr", nobody, "nud", "permanent", "dev", "eth0"),
	)
}

// LetIn gives the way back that CutOff took.
func (n *Node) LetIn() error {
	return errors.Join(
		ip("neigh", "del", n.IP, "dev", bridgeName(n.lab.number)),
		n.inside("ip", "neigh", "del", n.lab.Gateway, "dev", "eth0"),
	)
}
