package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"pg_manage/testdata/lab"
)

// host is a node of the lab with what the lab doesn't say of it.
type host struct {
	*lab.Node
	pidNS string // its pid namespace, as /proc/PID/ns/pid names it
	init  int    // its pid 1, as this machine numbers it
}

func newHost(n *lab.Node) (*host, error) {
	ns, err := n.Exec("readlink", "/proc/self/ns/pid")
	if err != nil {
		return nil, err
	}
	h := &host{Node: n, pidNS: strings.TrimSpace(ns)}
	for _, pid := range h.processes() {
		for line := range strings.Lines(readProc(pid, "status")) {
			if f := strings.Fields(line); len(f) == 3 && f[0] == "NSpid:" && f[2] == "1" {
				h.init = pid
				return h, nil
			}
		}
	}
	return nil, fmt.Errorf("no init of %s in /proc", n.Name)
}

// processes are those on the host, as this machine numbers them.
func (h *host) processes() (pids []int) {
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

// running are the host's processes with a word in their command line.
func (h *host) running(word string) (pids []int) {
	for _, pid := range h.processes() {
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

// cpu is the processor time that all processes of the host have taken, with the children
// that they waited for (proc(5), stat, fields 14 to 17).
func (h *host) cpu() time.Duration {
	const tick = time.Second / 100 // USER_HZ on all machines that Debian runs on
	var ticks int64
	for _, pid := range h.processes() {
		_, rest, _ := strings.Cut(readProc(pid, "stat"), ") ")
		f := strings.Fields(rest)
		for i := 11; i <= 14 && i < len(f); i++ {
			n, _ := strconv.ParseInt(f[i], 10, 64)
			ticks += n
		}
	}
	return time.Duration(ticks) * tick
}

// endAll ends processes of the host and waits until they are gone.
func (h *host) endAll(word string) error {
	for _, pid := range h.running(word) {
		if err := syscall.Kill(pid, syscall.SIGTERM); err != nil && err != syscall.ESRCH { //nolint:errorlint // a bare errno
			return err
		}
	}
	return h.waitGone(word, 30*time.Second)
}

func (h *host) waitGone(word string, limit time.Duration) error {
	for deadline := time.Now().Add(limit); len(h.running(word)) > 0; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			return fmt.Errorf("%s on %s does not end within %s", word, h.Name, limit)
		}
	}
	return nil
}

// memory gives a line of /proc/PID/status in bytes: VmHWM, the peak, or VmRSS.
func memory(pid int, line string) uint64 { return statusLine(pid, line) << 10 }

func threads(pid int) int { return int(statusLine(pid, "Threads")) }

func statusLine(pid int, line string) uint64 {
	for l := range strings.Lines(readProc(pid, "status")) {
		if f := strings.Fields(l); len(f) >= 2 && f[0] == line+":" {
			n, _ := strconv.ParseUint(f[1], 10, 64)
			return n
		}
	}
	return 0
}

func openFiles(pid int) int {
	entries, _ := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	return len(entries)
}

// readProc is empty for a process that is gone.
func readProc(pid int, file string) string {
	data, _ := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, file))
	return string(data)
}
