package lab

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// runDir holds one lock and one state file per lab of this machine, whoever started it.
const runDir = "/run/pg_manage-lab"

// maxLabs is the number of /24 networks in 10.77.0.0/16.
const maxLabs = 256

// state is what another process must know of a lab to use it or to clear it away.
type state struct {
	Detached bool        `json:"detached"`
	Dir      string      `json:"dir"`
	Nodes    []nodeState `json:"nodes"`
}

type nodeState struct {
	Name   string `json:"name"`
	Suite  string `json:"suite"`
	Backup bool   `json:"backup,omitempty"`
	Index  int    `json:"index"`
	PID    int    `json:"pid"`   // of the node's init as this machine sees it, 0 when powered off
	Start  uint64 `json:"start"` // its start time in clock ticks: a pid alone may have been given to another process
}

func lockName(number int) string  { return filepath.Join(runDir, strconv.Itoa(number)+".lock") }
func stateName(number int) string { return filepath.Join(runDir, strconv.Itoa(number)+".json") }
func bridgeName(number int) string {
	return fmt.Sprintf("pgl%d", number)
}

func network(number int) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 77, byte(number), 0}), 24)
}

// tryLock takes the lock of a lab number; a nil file means that a living process holds it.
func tryLock(number int) (*os.File, error) {
	f, err := os.OpenFile(lockName(number), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lab: lock: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		if cerr := f.Close(); cerr != nil {
			return nil, cerr
		}
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, nil
		}
		return nil, fmt.Errorf("lab: lock %s: %w", f.Name(), err)
	}
	return f, nil
}

// claim finds a free lab number, makes its bridge, and returns the lock that holds it. Dead labs are cleared on the way.
func claim() (number int, lock *os.File, err error) {
	if err := os.MkdirAll(runDir, 0o755); err != nil {
		return 0, nil, fmt.Errorf("lab: %w", err)
	}
	taken, err := usedNetworks()
	if err != nil {
		return 0, nil, err
	}
	for n := range maxLabs {
		f, err := tryLock(n)
		if err != nil {
			return 0, nil, err
		}
		if f == nil {
			continue
		}
		st, err := readState(n)
		switch {
		case err == nil && st.Detached:
			_ = f.Close() // a person's lab: it ends by `lab down` only
			continue
		case err == nil:
			err = clearAway(n, st)
		case errors.Is(err, fs.ErrNotExist):
			err = nil
		}
		if err == nil && taken[n] && exec.Command("ip", "link", "show", bridgeName(n)).Run() != nil {
			_ = f.Close() // the network is in use by something that is no lab
			continue
		}
		if err == nil {
			err = makeBridge(n)
		}
		if err != nil {
			return 0, nil, errors.Join(err, f.Close())
		}
		return n, f, nil
	}
	return 0, nil, fmt.Errorf("lab: all networks of 10.77.0.0/16 are taken; end a lab (go run ./testdata/lab/cmd/lab down)")
}

// sweep clears the labs whose process died. What it cannot clear it leaves for the next one.
func sweep() {
	names, _ := filepath.Glob(filepath.Join(runDir, "*.json"))
	for _, name := range names {
		n, err := strconv.Atoi(strings.TrimSuffix(filepath.Base(name), ".json"))
		if err != nil {
			continue
		}
		f, err := tryLock(n)
		if err != nil || f == nil {
			continue
		}
		if st, err := readState(n); err == nil && !st.Detached {
			_ = clearAway(n, st)
		}
		_ = f.Close()
	}
}

// clearAway ends all that belongs to a lab. The caller holds its lock.
func clearAway(number int, st state) error {
	var errs []error
	for _, n := range st.Nodes {
		errs = append(errs, kill(n.PID, n.Start))
		errs = append(errs, unplug(slowName(number, n.Index)), unplug(vethName(number, n.Index)))
	}
	if exec.Command("ip", "link", "show", bridgeName(number)).Run() == nil {
		errs = append(errs, ip("link", "del", bridgeName(number)))
	}
	if st.Dir != "" {
		errs = append(errs, os.RemoveAll(st.Dir))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if err := os.Remove(stateName(number)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("lab: %w", err)
	}
	return nil
}

func readState(number int) (state, error) {
	var st state
	data, err := os.ReadFile(stateName(number))
	if err != nil {
		return st, err
	}
	if err := json.Unmarshal(data, &st); err != nil {
		return st, fmt.Errorf("lab: %s: %w", stateName(number), err)
	}
	return st, nil
}

func writeState(number int, st state) error {
	data, err := json.Marshal(st)
	if err != nil {
		return fmt.Errorf("lab: state: %w", err)
	}
	name := stateName(number)
	if err := os.WriteFile(name+".new", data, 0o600); err != nil {
		return fmt.Errorf("lab: state: %w", err)
	}
	return os.Rename(name+".new", name)
}

// startTime returns when a process started, in clock ticks since boot, and 0 when it is gone or dead (proc(5), stat).
func startTime(pid int) uint64 {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	_, rest, ok := strings.Cut(string(data), ") ")
	f := strings.Fields(rest)
	if !ok || len(f) < 20 || f[0] == "Z" || f[0] == "X" {
		return 0
	}
	ticks, err := strconv.ParseUint(f[19], 10, 64)
	if err != nil {
		return 0
	}
	return ticks
}

// kill ends the init of a node, and by that every process in it, and waits until they are gone.
func kill(pid int, start uint64) error {
	if pid == 0 || startTime(pid) != start {
		return nil
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("lab: kill the node's init %d: %w", pid, err)
	}
	for deadline := time.Now().Add(time.Minute); startTime(pid) == start; time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			return fmt.Errorf("lab: the node's init %d did not die within a minute", pid)
		}
	}
	return nil
}
