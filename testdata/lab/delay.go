package lab

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// queueLimit is what may be under way in one direction of a slow cable, in bytes. A full queue makes the sender's device
// drop frames, as a router would.
const queueLimit = 256 << 20

// Delay makes every round trip to the node take so many milliseconds longer; 0 ends it, and so does a power cycle.
//
// It is done by the kernel's sch_netem. Where that is missing, the node gets another cable: two TAP devices, between
// which a goroutine of this process (for a detached lab a process of its own) holds every frame for half the time, each
// way. The node keeps its addresses, and connections stay.
func (n *Node) Delay(ms int) error {
	slow := exists(n.slow())
	if slow {
		if err := n.normalCable(); err != nil {
			return err
		}
	}
	if ms == 0 {
		if slow {
			return nil
		}
		return n.fullSpeed()
	}
	netem := run("tc", "qdisc", "replace", "dev", n.veth(), "root", "netem", "delay", fmt.Sprintf("%dms", ms), "limit", "1000000")
	if netem == nil {
		return nil
	}
	if err := n.slowCable(time.Duration(ms) * time.Millisecond); err != nil {
		return errors.Join(netem, err, n.normalCable())
	}
	return nil
}

// slow is the lab's end of the slow cable, slowFar the node's before it becomes eth0.
func (n *Node) slow() string    { return slowName(n.lab.number, n.index) }
func (n *Node) slowFar() string { return n.slow() + "e" }

func slowName(lab, index int) string { return vethName(lab, index) + "d" }

// port is the device on the bridge through which the node is reached now.
func (n *Node) port() string {
	if exists(n.slow()) {
		return n.slow()
	}
	return n.veth()
}

// spare is what the node's end of the normal cable is called while the slow one is eth0.
const spare = "spare0"

func (n *Node) slowCable(delay time.Duration) error {
	near, err := openTap(n.slow())
	if err != nil {
		return err
	}
	far, err := openTap(n.slowFar())
	if err != nil {
		return errors.Join(err, near.Close())
	}
	if err := n.startDelayer(near, far, delay); err != nil {
		return errors.Join(err, near.Close(), far.Close())
	}
	pid, _ := n.process()
	return firstError(
		func() error { return n.inside("ip", "link", "set", "eth0", "down") },
		func() error { return n.inside("ip", "addr", "flush", "dev", "eth0") },
		func() error { return n.inside("ip", "link", "set", "eth0", "name", spare) },
		func() error { return ip("link", "set", n.slowFar(), "address", n.mac(), "txqueuelen", "10000") },
		func() error { return ip("link", "set", n.slowFar(), "netns", fmt.Sprint(pid), "name", "eth0") },
		func() error {
			return ip("link", "set", n.slow(), "txqueuelen", "10000", "master", bridgeName(n.lab.number), "up")
		},
		n.address,
	)
}

// normalCable takes the slow cable away, which ends its delayer too, and plugs the normal one in.
func (n *Node) normalCable() error {
	if err := unplug(n.slow()); err != nil {
		return err
	}
	if n.inside("ip", "link", "show", spare) != nil {
		return nil // the slow one never got as far as its place
	}
	if n.inside("ip", "link", "show", "eth0") == nil {
		if err := n.inside("ip", "link", "del", "eth0"); err != nil && n.inside("ip", "link", "show", "eth0") == nil {
			return err
		}
	}
	return firstError(
		func() error { return n.inside("ip", "link", "set", spare, "name", "eth0") },
		n.address,
	)
}

// startDelayer starts what carries the frames. It ends when one of the devices goes, at the latest with the node.
func (n *Node) startDelayer(near, far *os.File, delay time.Duration) error {
	if !n.lab.detached {
		go func() { _ = Carry(near, far, delay) }()
		return nil
	}
	// Whichever program brought the lab up, this one knows how to carry.
	carrier := filepath.Join(n.lab.dir, "lab")
	if _, err := os.Stat(carrier); err != nil {
		if err := run("go", "build", "-o", carrier, "pg_manage/testdata/lab/cmd/lab"); err != nil {
			return err
		}
	}
	cmd := exec.Command(carrier, "carry", delay.String())
	cmd.ExtraFiles = []*os.File{near, far}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("lab: carrier of frames: %w", err)
	}
	go func() { _ = cmd.Wait() }()
	return errors.Join(near.Close(), far.Close())
}

// CarryInherited is Carry for the process that a detached lab starts as `lab carry DURATION`: its devices are the files 3 and 4.
func CarryInherited(roundTrip time.Duration) error {
	files := make([]*os.File, 2)
	for i := range files {
		if err := unix.SetNonblock(3+i, true); err != nil {
			return fmt.Errorf("lab: file %d is no device to carry frames of: %w", 3+i, err)
		}
		files[i] = os.NewFile(uintptr(3+i), "tap")
	}
	return Carry(files[0], files[1], roundTrip)
}

// Carry takes frames from one device to the other and holds each for half of roundTrip. It closes both when one of them
// fails, and returns why.
func Carry(a, b *os.File, roundTrip time.Duration) error {
	var wg sync.WaitGroup
	var once sync.Once
	var first error
	for _, d := range [][2]*os.File{{a, b}, {b, a}} {
		q := newFrames(roundTrip / 2)
		for _, f := range []func() error{func() error { return q.fill(d[0]) }, func() error { return q.drain(d[1]) }} {
			wg.Go(func() {
				err := f()
				q.stop()
				once.Do(func() { first = errors.Join(err, a.Close(), b.Close()) })
			})
		}
	}
	wg.Wait()
	return first
}

// frames are those under way in one direction, oldest first.
type frames struct {
	delay time.Duration

	mu      sync.Mutex
	change  sync.Cond
	queue   []frame
	bytes   int
	stopped bool
}

type frame struct {
	due  time.Time
	data []byte
}

func newFrames(delay time.Duration) *frames {
	q := &frames{delay: delay}
	q.change.L = &q.mu
	return q
}

func (q *frames) stop() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.stopped = true
	q.change.Broadcast()
}

// fill reads frames as long as there is room.
func (q *frames) fill(r io.Reader) error {
	b := make([]byte, maxFrame)
	for {
		n, err := r.Read(b)
		if err != nil {
			return err
		}
		f := frame{time.Now().Add(q.delay), append([]byte(nil), b[:n]...)}
		q.mu.Lock()
		for q.bytes >= queueLimit && !q.stopped {
			q.change.Wait()
		}
		q.queue = append(q.queue, f)
		q.bytes += n
		stopped := q.stopped
		q.change.Broadcast()
		q.mu.Unlock()
		if stopped {
			return nil
		}
	}
}

// drain writes each frame when it is due.
func (q *frames) drain(w io.Writer) error {
	for {
		q.mu.Lock()
		for len(q.queue) == 0 && !q.stopped {
			q.change.Wait()
		}
		if q.stopped {
			q.mu.Unlock()
			return nil
		}
		f := q.queue[0]
		q.queue[0] = frame{}
		q.queue = q.queue[1:]
		q.bytes -= len(f.data)
		q.change.Broadcast()
		q.mu.Unlock()

		time.Sleep(time.Until(f.due))
		if _, err := w.Write(f.data); err != nil && !lostOnTheWay(err) {
			return err
		}
	}
}

// lostOnTheWay says that a device took no frame since its cable is cut (EIO: the device is down) or it is overrun.
func lostOnTheWay(err error) bool {
	return errors.Is(err, syscall.EIO) || errors.Is(err, syscall.ENOBUFS) || errors.Is(err, syscall.ENOMEM) || errors.Is(err, syscall.EINVAL)
}

func firstError(steps ...func() error) error {
	for _, f := range steps {
		if err := f(); err != nil {
			return err
		}
	}
	return nil
}
