package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// Options says which nodes a lab has.
type Options struct {
	Nodes []NodeSpec
}

// NodeSpec describes one host.
type NodeSpec struct {
	Name   string // its host name, and its name in the operator's ssh configuration
	Suite  string // the Debian release: bullseye (PostgreSQL 13), bookworm (15), trixie (17), sid (18); "" is trixie
	Backup bool   // has a login user "backup" that owns /backup
}

// Lab is a network of hosts. Its methods may be called from several goroutines.
type Lab struct {
	Home    string // the operator's home directory: .ssh/id_ed25519, .ssh/known_hosts, .ssh/config
	SSHDir  string // Home/.ssh
	Gateway string // this machine's address in the lab's network

	number   int
	dir      string
	detached bool
	lock     *os.File

	mu    sync.Mutex
	nodes []*Node
}

// Start brings a lab up and ends it with the test. Anything missing on this machine fails the test and says what to install.
func Start(t testing.TB, opts Options) *Lab {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Minute) // a root may have to be built first
	defer cancel()
	l, err := create(false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			for _, n := range l.Nodes() {
				t.Logf("lab: node %s (%s): %s", n.Name, n.IP, n.bootLog())
			}
		}
		if err := l.Down(); err != nil {
			t.Errorf("lab: end: %v", err)
		}
	})
	if err := l.Add(ctx, opts.Nodes...); err != nil {
		t.Fatal(err)
	}
	return l
}

// Make makes a lab for a program. Like a test's, its hosts end with this process however that ends; Down tidies up.
func Make() (*Lab, error) { return create(false) }

// Up opens the detached lab of this machine's cache, or makes it. It outlives the process; Down ends it.
func Up() (*Lab, error) {
	l, err := Open()
	if errors.Is(err, ErrNoLab) {
		return create(true)
	}
	return l, err
}

// ErrNoLab says that no detached lab is running.
var ErrNoLab = errors.New("lab: no lab is up; start a node with `lab up NAME`")

// Open finds the detached lab of this machine's cache. The error is ErrNoLab when there is none.
func Open() (*Lab, error) {
	cache, err := CacheDir()
	if err != nil {
		return nil, err
	}
	for n := range maxLabs {
		st, err := readState(n)
		if err != nil || !st.Detached || filepath.Dir(filepath.Dir(st.Dir)) != cache {
			continue
		}
		l := newLab(n, st.Dir, true)
		for _, ns := range st.Nodes {
			node := l.newNode(NodeSpec{Name: ns.Name, Suite: ns.Suite, Backup: ns.Backup}, ns.Index)
			if ns.PID != 0 && startTime(ns.PID) == ns.Start {
				node.pid, node.start = ns.PID, ns.Start
			}
			l.nodes = append(l.nodes, node)
		}
		return l, nil
	}
	return nil, ErrNoLab
}

func newLab(number int, dir string, detached bool) *Lab {
	home := filepath.Join(dir, "home")
	return &Lab{
		Home:     home,
		SSHDir:   filepath.Join(home, ".ssh"),
		Gateway:  network(number).Addr().Next().String(),
		number:   number,
		dir:      dir,
		detached: detached,
	}
}

func create(detached bool) (*Lab, error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("lab: needs root for namespaces and mounts: run the tests with sudo, as testdata/test.sh does")
	}
	for program, pkg := range map[string]string{
		"ip": "iproute2", "tc": "iproute2", "nsenter": "util-linux", "pivot_root": "util-linux", "mount": "mount",
		"ssh": "openssh-client", "ssh-keygen": "openssh-client", "bash": "bash",
	} {
		if err := need(program, pkg); err != nil {
			return nil, err
		}
	}
	cache, err := CacheDir()
	if err != nil {
		return nil, err
	}
	sweep()
	number, lock, err := claim()
	if err != nil {
		return nil, err
	}
	l := newLab(number, filepath.Join(cache, "labs", fmt.Sprint(number)), detached)
	l.lock = lock
	err = func() error {
		if err := os.RemoveAll(l.dir); err != nil {
			return fmt.Errorf("lab: old disks: %w", err)
		}
		if err := os.MkdirAll(l.dir, 0o755); err != nil {
			return fmt.Errorf("lab: %w", err)
		}
		if err := l.save(); err != nil {
			return err
		}
		return l.makeHome()
	}()
	if err != nil {
		return nil, errors.Join(err, l.Down())
	}
	return l, nil
}

// Add starts further nodes, all at once, and makes them known to the operator and to the other nodes by name.
func (l *Lab) Add(ctx context.Context, specs ...NodeSpec) error {
	l.mu.Lock()
	var fresh []*Node
	for _, s := range specs {
		if s.Suite == "" {
			s.Suite = "trixie"
		}
		for _, old := range l.nodes {
			if old.Name == s.Name {
				l.mu.Unlock()
				return fmt.Errorf("lab: a node named %q is there already", s.Name)
			}
		}
		n := l.newNode(s, len(l.nodes)+10)
		l.nodes = append(l.nodes, n)
		fresh = append(fresh, n)
	}
	l.mu.Unlock()

	errs := make([]error, len(fresh))
	var wg sync.WaitGroup
	for i, n := range fresh {
		wg.Go(func() { errs[i] = n.create(ctx) })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return l.introduce()
}

// Node returns a node by name. It panics when the lab has none of that name, which is a mistake in the test.
func (l *Lab) Node(name string) *Node {
	for _, n := range l.Nodes() {
		if n.Name == name {
			return n
		}
	}
	panic(fmt.Sprintf("lab: no node named %q", name))
}

// Nodes returns all nodes in the order they were added.
func (l *Lab) Nodes() []*Node {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]*Node(nil), l.nodes...)
}

// Down ends all nodes and removes their disks, the bridge and the operator's home.
func (l *Lab) Down() error {
	for _, n := range l.Nodes() {
		n.hangUp()
	}
	err := clearAway(l.number, l.state())
	if l.lock != nil {
		err = errors.Join(err, l.lock.Close())
		l.lock = nil
	}
	return err
}

func (l *Lab) state() state {
	st := state{Detached: l.detached, Dir: l.dir}
	for _, n := range l.Nodes() {
		pid, start := n.process()
		st.Nodes = append(st.Nodes, nodeState{Name: n.Name, Suite: n.Suite, Backup: n.Backup, Index: n.index, PID: pid, Start: start})
	}
	return st
}

func (l *Lab) save() error {
	st := l.state()
	l.mu.Lock()
	defer l.mu.Unlock()
	return writeState(l.number, st)
}
