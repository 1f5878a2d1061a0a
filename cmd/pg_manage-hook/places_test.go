package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"pg_manage/executor/wal"
	"pg_manage/executor/wal/call"
)

// TestPlacesThatAnArchiverCannotUse: the work is done alone.
func TestPlacesThatAnArchiverCannotUse(t *testing.T) {
	for what, spoil := range map[string]func(n *node) error{
		"a stale socket": func(n *node) error {
			n.must(0, "archive", "pg_wal/"+seg(1))
			n.serving()
			n.kill(syscall.SIGKILL)
			waitFor(t, func() bool { return len(n.processes()) == 0 })
			_, err := os.Lstat(call.SocketName(n.config))
			return err
		},
		"a file":                         func(n *node) error { return os.WriteFile(call.SocketName(n.config), nil, 0o600) },
		"an empty directory":             func(n *node) error { return os.Mkdir(call.SocketName(n.config), 0o700) },
		"a directory":                    func(n *node) error { return os.MkdirAll(call.SocketName(n.config)+"/x", 0o700) },
		"the lock: directory":            func(n *node) error { return os.Mkdir(n.config+".lock", 0o700) },
		"the log: directory":             func(n *node) error { return os.Mkdir(filepath.Dir(n.config)+"/archiver.log", 0o700) },
		"the spool: a file":              func(n *node) error { return os.WriteFile(filepath.Dir(n.config)+"/spool", nil, 0o600) },
		"the lock held by one that died": func(n *node) error { return os.WriteFile(n.config+".lock", []byte("1"), 0o600) },
	} {
		n := newNode(t)
		if err := spoil(n); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		for i := 1; i < 3; i++ {
			if status, said := n.call("archive", n.segment(i)); status != 0 {
				t.Errorf("%s: %d: %s", what, status, said)
			}
			n.safe(i)
			n.restored(i)
		}
		if status, said := n.call("restore", seg(9), "pg_wal/R"); status != 1 {
			t.Errorf("%s: %d: %s", what, status, said)
		}
		n.end()
	}
}

// TestAStateDirectoryThatCannotBeWritten: read only, or with no room left.
func TestAStateDirectoryThatCannotBeWritten(t *testing.T) {
	for _, how := range []string{"read only", "full"} {
		n := newNode(t)
		state := filepath.Dir(n.config)
		switch {
		case os.Getuid() == 0:
			mount(t, state, "size=1m")
			n.configure(nil)
			if how == "full" {
				os.WriteFile(state+"/fill", make([]byte, 2<<20), 0o600) //nolint:errcheck // as much as there is room for
			} else if err := syscall.Mount("", state, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
				t.Fatal(err)
			}
		case how == "full":
			continue // root alone can make a small disk
		default:
			if err := os.Chmod(state, 0o500); err != nil {
				t.Fatal(err)
			}
			defer os.Chmod(state, 0o700) //nolint:errcheck // for the directory's removal
		}
		for i := 1; i < 3; i++ {
			if status, said := n.call("archive", n.segment(i)); status != 0 {
				t.Errorf("%s: %d: %s", how, status, said)
			}
			n.safe(i)
			n.restored(i)
		}
		n.must(1, "restore", seg(9), "pg_wal/R")
		n.end()
	}
}

// TestASpoolWithoutRoom: prefetching ends, restoring does not.
func TestASpoolWithoutRoom(t *testing.T) {
	n := newNode(t)
	spool := n.root + "/spool"
	if err := os.Mkdir(spool, 0o700); err != nil {
		t.Fatal(err)
	}
	if os.Getuid() == 0 {
		mount(t, spool, "size=2500k")
	}
	n.configure(func(c *wal.Config) { c.SpoolDir = spool })
	for i := 1; i < 12; i++ {
		n.must(0, "archive", n.segment(i))
	}
	for i := 1; i < 12; i++ {
		n.restored(i)
	}
	n.must(1, "restore", seg(12), "pg_wal/R")
	n.end()
}

func mount(t *testing.T, dir, options string) {
	t.Helper()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "mode=0700,"+options); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Unmount(dir, syscall.MNT_DETACH) }) //nolint:errcheck // a test's mount
}

func TestStrangePathsAndEnvironments(t *testing.T) {
	for _, name := range []string{"it's \"here\" $HOME `id` \\ ", strings.Repeat("long directory/", 12), "ünïcode\t"} {
		n := newNodeIn(t, filepath.Join(t.TempDir(), name))
		n.must(0, "archive", n.segment(1))
		n.safe(1)
		n.serving()
		n.restored(1)
		n.end()
	}
	n := newNode(t)
	bare := func(args ...string) int {
		cmd := n.command(args...)
		cmd.Env = []string{"X="}
		return statusOf(t, cmd.Run())
	}
	if got := bare("archive", n.segment(2)); got != 0 {
		t.Errorf("without an environment: %d", got)
	}
	if got := bare("restore", seg(9), "pg_wal/R"); got != 1 {
		t.Errorf("restore without an environment: %d", got)
	}
	n.safe(2)
	n.serving()
	// A relative path of the configuration, as seen from the data directory.
	cmd := exec.CommandContext(t.Context(), n.hook, "--config", "../state/../state/hook.json", "archive", n.segment(3))
	cmd.Dir = n.data
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	n.safe(3)
}

// TestLowLimits: what the operating system refuses is a failure, and no answer.
func TestLowLimits(t *testing.T) {
	const aborted = 1000 + int(syscall.SIGABRT) // the runtime's last word, on which PostgreSQL stops
	n := newNode(t)
	n.must(0, "archive", n.segment(1))
	n.end()
	for _, limit := range []string{"ulimit -n 4", "ulimit -n 6", "ulimit -n 8", "ulimit -n 16", "ulimit -f 0"} {
		for _, c := range []struct {
			args []string
			ok   []int
		}{
			{[]string{"archive", n.segment(2)}, []int{0, 1, 2, 3, 127}},
			{[]string{"restore", "--retries", "0", seg(1), "pg_wal/R"}, []int{0, 200, 127, aborted}},
			{[]string{"restore", "--retries", "0", seg(9), "pg_wal/R"}, []int{1, 200, 127, aborted}},
		} {
			cmd := exec.CommandContext(t.Context(), "sh", append([]string{"-c", limit + "; exec \"$@\"", "sh", n.hook, "--config", n.config}, c.args...)...)
			cmd.Dir = n.data
			out, err := cmd.CombinedOutput()
			got, fine := statusOf(t, err), false
			for _, ok := range c.ok {
				fine = fine || got == ok
			}
			if !fine {
				t.Errorf("%s: %v ended with %d: %s", limit, c.args, got, out)
			}
			if c.args[0] == "archive" && got == 0 {
				n.safe(2)
			}
			n.end()
		}
	}
}
