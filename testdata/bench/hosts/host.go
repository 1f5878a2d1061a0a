package hosts

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"pg_manage/testdata/lab"
)

// Host is a node of the lab with what the lab doesn't say of it.
type Host struct {
	*lab.Node
	Init int // its pid 1, as this machine numbers it

	pidNS string // its pid namespace, as /proc/PID/ns/pid names it
}

func newHost(n *lab.Node) (*Host, error) {
	ns, err := n.Exec("readlink", "/proc/self/ns/pid")
	if err != nil {
		return nil, err
	}
	h := &Host{Node: n, pidNS: strings.TrimSpace(ns)}
	for _, pid := range h.Processes() {
		for line := range strings.Lines(readProc(pid, "status")) {
			if f := strings.Fields(line); len(f) == 3 && f[0] == "NSpid:" && f[2] == "1" {
				h.Init = pid
				return h, nil
			}
		}
	}
	return nil, fmt.Errorf("no init of %s in /proc", n.Name)
}

// Processes are those on the host, as this machine numbers them.
func (h *Host) Processes() (pids []int) {
	names, _ := filepath.Glob("/proc/[0-9]*/ns/pid")
	for _, name := range names {
		if ns, err := os.Readlink(name); err == nil && ns == h.pidNS {
			if pid, err := strconv.Atoi(strings.Split(name, "/")[2]); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

// Running are the host's processes with a word in their command line.
func (h *Host) Running(word string) (pids []int) {
	for _, pid := range h.Processes() {
		args := strings.Split(readProc(pid, "cmdline"), "\x00")
		for _, a := range args {
			if filepath.Base(a) == word {
				pids = append(pids, pid)
				break
			}
		}
	}
	return pids
}

// CPU is the processor time that all processes of the host have taken, with the children
// that they waited for (proc(5), stat, fields 14 to 17).
func (h *Host) CPU() time.Duration {
	const tick = time.Second / 100 // USER_HZ on all machines that Debian runs on
	var ticks int64
	for _, pid := range h.Processes() {
		_, rest, _ := strings.Cut(readProc(pid, "stat"), ") ")
		f := strings.Fields(rest)
		for i := 11; i <= 14 && i < len(f); i++ {
			n, _ := strconv.ParseInt(f[i], 10, 64)
			ticks += n
		}
	}
	return time.Duration(ticks) * tick
}

// EndAll ends processes of the host and waits until they are gone.
func (h *Host) EndAll(word string) error {
	for _, pid := range h.Running(word) {
		if err := syscall.Kill(pid, syscall.SIGTERM); err != nil && err != syscall.ESRCH { //nolint:errorlint // a bare errno
			return err
		}
	}
	return h.WaitGone(word, 30*time.Second)
}

// WaitGone waits until no process of the host has a word in its command line.
func (h *Host) WaitGone(word string, limit time.Duration) error {
	for deadline := time.Now().Add(limit); len(h.Running(word)) > 0; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			return fmt.Errorf("%s on %s does not end within %s", word, h.Name, limit)
		}
	}
	return nil
}

// Memory gives a line of /proc/PID/status in bytes: VmHWM, the peak, or VmRSS.
func Memory(pid int, line string) uint64 { return statusLine(pid, line) << 10 }

// Threads is the number of threads of a process.
func Threads(pid int) int { return int(statusLine(pid, "Threads")) }

func statusLine(pid int, line string) uint64 {
	for l := range strings.Lines(readProc(pid, "status")) {
		if f := strings.Fields(l); len(f) >= 2 && f[0] == line+":" {
			n, _ := strconv.ParseUint(f[1], 10, 64)
			return n
		}
	}
	return 0
}

// OpenFiles is the number of file descriptors of a process.
func OpenFiles(pid int) int {
	entries, _ := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	return len(entries)
}

// readProc is empty for a process that is gone.
func readProc(pid int, file string) string {
	data, _ := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, file))
	return string(data)
}

// Runs says whether the command line of a process begins with a program, by its name
// without the directory, and these arguments.
func Runs(pid int, program string, args ...string) bool {
	line := strings.Split(readProc(pid, "cmdline"), "\x00")
	return filepath.Base(line[0]) == program && len(line) > len(args) && slices.Equal(line[1:1+len(args)], args)
}
