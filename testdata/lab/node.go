package lab

import (
	"bytes"
	"context"
	_ "embed" // boot.sh
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

//go:embed boot.sh
var bootScript string

// Node is one host of a lab.
type Node struct {
	NodeSpec
	IP       string
	Postgres int // the major version that its suite ships, installed and without a cluster

	lab   *Lab
	index int // the last byte of its address

	mu    sync.Mutex
	pid   int // its init, 0 when powered off
	start uint64
	cable io.Closer // held open by this process: the node dies with it
}

func (l *Lab) newNode(s NodeSpec, index int) *Node {
	a := network(l.number).Addr().As4()
	a[3] = byte(index)
	return &Node{
		NodeSpec: s,
		IP:       net.IP(a[:]).String(),
		Postgres: PostgresOf(s.Suite),
		lab:      l,
		index:    index,
	}
}

func (n *Node) dir() string            { return filepath.Join(n.lab.dir, n.Name) }
func (n *Node) disk(p string) string   { return filepath.Join(n.dir(), "up", p) }
func (n *Node) process() (int, uint64) { n.mu.Lock(); defer n.mu.Unlock(); return n.pid, n.start }

func (n *Node) setProcess(p int, s uint64) { n.mu.Lock(); defer n.mu.Unlock(); n.pid, n.start = p, s }

// create lays out the node's disk and starts it for the first time.
func (n *Node) create(ctx context.Context) error {
	if _, err := EnsureBase(ctx, n.Suite); err != nil {
		return err
	}
	for _, d := range []string{"up/etc", "work", "root"} {
		if err := os.MkdirAll(filepath.Join(n.dir(), d), 0o755); err != nil {
			return fmt.Errorf("lab: disk of %s: %w", n.Name, err)
		}
	}
	key, err := os.ReadFile(filepath.Join(n.lab.SSHDir, "id_ed25519.pub"))
	if err != nil {
		return fmt.Errorf("lab: %w", err)
	}
	if err := errors.Join(
		os.WriteFile(n.disk("etc/lab-authorized_keys"), key, 0o644),
		os.WriteFile(n.disk("etc/hosts"), []byte(n.hosts()), 0o644),
	); err != nil {
		return fmt.Errorf("lab: disk of %s: %w", n.Name, err)
	}
	return n.PowerOn()
}

// hosts is the node's /etc/hosts: it knows itself and the others by name.
func (n *Node) hosts() string {
	var b strings.Builder
	fmt.Fprintf(&b, "127.0.0.1 localhost\n::1 localhost ip6-localhost\n")
	for _, o := range n.lab.Nodes() {
		fmt.Fprintf(&b, "%s %s\n", o.IP, o.Name)
	}
	return b.String()
}

// Running tells whether the node has power.
func (n *Node) Running() bool {
	pid, start := n.process()
	return pid != 0 && startTime(pid) == start
}

// PowerOn boots the node from its disk and returns once its sshd answers. A node that runs already is left alone.
func (n *Node) PowerOn() error {
	if n.Running() {
		return nil
	}
	base, err := EnsureBase(context.Background(), n.Suite)
	if err != nil {
		return err
	}
	log, err := os.OpenFile(filepath.Join(n.dir(), "boot.log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return fmt.Errorf("lab: %w", err)
	}
	defer func() { _ = log.Close() }()
	mode, kind := "attached", ""
	if n.lab.detached {
		mode = "detached"
	}
	if n.Backup {
		kind = "backup"
	}
	script := filepath.Join(n.dir(), "boot.sh") // by name: the whole script would fill the first line of the node's ps
	if err := os.WriteFile(script, []byte(bootScript), 0o644); err != nil {
		return fmt.Errorf("lab: %w", err)
	}
	cmd := exec.Command("bash", script, base, n.dir(), n.Name, mode, kind)
	cmd.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LANG=C.UTF-8"}
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Setsid: true,
		Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWNET |
			syscall.CLONE_NEWUTS | syscall.CLONE_NEWIPC,
	}
	var cable io.WriteCloser
	if !n.lab.detached {
		if cable, err = cmd.StdinPipe(); err != nil {
			return fmt.Errorf("lab: %w", err)
		}
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("lab: start %s: %w", n.Name, err)
	}
	n.mu.Lock()
	n.pid, n.start = cmd.Process.Pid, startTime(cmd.Process.Pid)
	if cable != nil {
		n.cable = cable
	}
	n.mu.Unlock()
	go func() { _ = cmd.Wait() }() // reaps; how it ended is of no interest, it is killed
	if err := errors.Join(n.lab.save(), n.plug()); err != nil {
		return fmt.Errorf("%w\nboot log of %s: %s", err, n.Name, n.bootLog())
	}
	return n.WaitSSH(60 * time.Second)
}

// PowerOff kills the node's init and with it every process on it at once. Its disk stays as the processes left it; what
// they wrote and did not sync survives too, for the page cache is this machine's.
func (n *Node) PowerOff() error {
	n.hangUp()
	pid, start := n.process()
	if err := kill(pid, start); err != nil {
		return err
	}
	n.setProcess(0, 0)
	if err := errors.Join(unplug(n.slow()), unplug(n.veth())); err != nil {
		return err
	}
	return n.lab.save()
}

func (n *Node) hangUp() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.cable != nil {
		_ = n.cable.Close()
		n.cable = nil
	}
}

// WaitSSH waits until the node's sshd sends its banner.
func (n *Node) WaitSSH(timeout time.Duration) error {
	var last error
	for deadline := time.Now().Add(timeout); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if !n.Running() {
			return fmt.Errorf("lab: node %s died: %s", n.Name, n.bootLog())
		}
		if last = banner(net.JoinHostPort(n.IP, "22")); last == nil {
			return nil
		}
	}
	return fmt.Errorf("lab: sshd of %s did not answer within %s: %w\nboot log: %s", n.Name, timeout, last, n.bootLog())
}

func banner(addr string) error {
	c, err := net.DialTimeout("tcp", addr, time.Second)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	if err := c.SetDeadline(time.Now().Add(2 * time.Second)); err != nil {
		return err
	}
	b := make([]byte, 4)
	if _, err := io.ReadFull(c, b); err != nil {
		return err
	}
	if string(b) != "SSH-" {
		return fmt.Errorf("not an ssh server: %q", b)
	}
	return nil
}

func (n *Node) bootLog() string {
	data, err := os.ReadFile(filepath.Join(n.dir(), "boot.log"))
	if err != nil {
		return err.Error()
	}
	if s := strings.TrimSpace(string(bytes.ToValidUTF8(data, nil))); s != "" {
		return s
	}
	return "(nothing in the boot log)"
}
