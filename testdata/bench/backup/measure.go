package main

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"pg_manage/testdata/bench/hosts"
)

// command is one that is measured.
type command struct {
	host  *hosts.Host
	args  []string
	stdin string
	watch []string // program and first arguments of the process whose memory is watched
}

// prepare leaves the disk idle, and the page cache as the measurement wants it. What the
// command reads lies in dirs on this machine.
func (s *site) prepare(dirs ...string) error {
	if err := s.Settle(); err != nil {
		return err
	}
	if s.cold {
		const drop = "/proc/sys/vm/drop_caches"
		if err := os.WriteFile(drop, []byte("3\n"), 0); err != nil {
			return fmt.Errorf("-cold: %w", err)
		}
		return nil
	}
	for _, d := range dirs {
		if err := readAll(d); err != nil {
			return err
		}
	}
	return nil
}

func readAll(dir string) error {
	return files(dir, func(path string, _ fs.FileInfo) error {
		f, err := os.Open(path)
		if os.IsNotExist(err) {
			return nil // of a server that runs
		}
		if err != nil {
			return err
		}
		defer f.Close() //nolint:errcheck // read only
		_, err = io.Copy(io.Discard, f)
		return err
	})
}

// files calls do for each regular file below a directory.
func files(dir string, do func(string, fs.FileInfo) error) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if os.IsNotExist(err) {
			return nil // of a server that runs
		}
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		st, err := d.Info()
		if os.IsNotExist(err) {
			return nil
		}
		if err != nil {
			return err
		}
		return do(path, st)
	})
}

// size is what the files below a directory hold, in bytes.
func size(dir string) (n uint64, err error) {
	err = files(dir, func(_ string, st fs.FileInfo) error {
		n += uint64(st.Size())
		return nil
	})
	return n, err
}

// measure runs a command to its end.
func (s *site) measure(c command) (p spent, err error) {
	cmd := c.host.Command(c.args...)
	cmd.Stdin = strings.NewReader(c.stdin)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.WaitDelay = time.Second // a process that it leaves behind may hold its output
	running := len(s.DB.Processes()) + len(s.Vault.Processes())
	before, start := s.CPU(), time.Now()
	if err := cmd.Start(); err != nil {
		return p, err
	}
	peak := s.watch(c)
	err = cmd.Wait()
	p.wall, p.peak = time.Since(start), peak()
	if err != nil && err != exec.ErrWaitDelay { //nolint:errorlint // as it is returned
		return p, fmt.Errorf("on %s: %s: %w\n%s", c.host.Name, strings.Join(c.args, " "), err, tail(out.String()))
	}
	// Other ends of connections close a moment later, and their time is known then.
	for deadline := time.Now().Add(time.Second); len(s.DB.Processes())+len(s.Vault.Processes()) > running && time.Now().Before(deadline); {
		time.Sleep(10 * time.Millisecond)
	}
	// The command's own time went to nsenter, which waited for it outside of the host.
	p.cpu = s.CPU() - before + cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	return p, nil
}

// watch follows the memory of a command's process until the answer is called, which
// gives its peak.
func (s *site) watch(c command) func() uint64 {
	if len(c.watch) == 0 {
		return func() uint64 { return 0 }
	}
	var peak uint64
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		pid := 0
		for {
			select {
			case <-stop:
				return
			case <-time.After(2 * time.Millisecond):
			}
			if pid == 0 || !hosts.Runs(pid, c.watch[0], c.watch[1:]...) {
				pid = 0
				for _, p := range c.host.Running(c.watch[0]) {
					if hosts.Runs(p, c.watch[0], c.watch[1:]...) {
						pid = p
					}
				}
			}
			if pid != 0 {
				peak = max(peak, hosts.Memory(pid, "VmHWM"))
			}
		}
	})
	return func() uint64 {
		close(stop)
		wg.Wait()
		return peak
	}
}

// tail is the end of a long output.
func tail(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-15):], "\n")
}
