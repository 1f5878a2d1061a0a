package wal

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"pg_manage/executor/repo"
	"pg_manage/executor/repo/storage"
	"pg_manage/executor/wal/call"
)

func (f *faulty) Put(ctx context.Context, name string, r io.Reader) error {
	if err := f.fail("put", name); err != nil {
		return err
	}
	return f.Driver.Put(ctx, name, r)
}

func (f *faulty) Open(ctx context.Context, name string) (io.ReadCloser, error) {
	if err := f.fail("open", name); err != nil {
		return nil, err
	}
	r, err := f.Driver.Open(ctx, name)
	if err != nil {
		return nil, err
	}
	return &faultyReader{r, f, name}, nil
}

func (f *faulty) Sync(ctx context.Context, name string) error {
	if err := f.fail("sync", name); err != nil {
		return err
	}
	return f.Driver.Sync(ctx, name)
}

type faultyReader struct {
	io.ReadCloser
	f    *faulty
	name string
}

func (r *faultyReader) Read(b []byte) (int, error) {
	if err := r.f.fail("read", r.name); err != nil {
		return 0, err
	}
	return r.ReadCloser.Read(b[:min(len(b), 32<<10)])
}

// TestFaults lets each operation of the target fail in turn: archive never succeeds by
// mistake, restore never says "absent" and leaves nothing.
func TestFaults(t *testing.T) {
	in := newInstance(t)
	in.init()
	in.must(ExitOK, "archive", "pg_wal/"+seg1)
	outage := errors.New("no route to host")
	for _, path := range []string{"pg_wal/" + seg1, "pg_wal/" + seg2} { // one that is there, and a new one
		in.write("pg_wal/"+seg2, segment(t, seg2, 2))
		for at := 0; ; at++ {
			n := 0
			open := func(ctx context.Context, t repo.Target) (storage.Driver, error) {
				d, err := repo.Open(ctx, t)
				return &faulty{d, func(string, string) error {
					if n++; n > at {
						return outage
					}
					return nil
				}}, err
			}
			err := in.load(open).Archive(t.Context(), ".", path)
			if err == nil {
				break
			}
			if !errors.Is(err, outage) || at > 10_000 {
				t.Fatalf("%s, fault %d: %v", path, at, err)
			}
		}
	}
	for _, name := range []string{"000000010000000000000009", seg1} { // one that isn't there, and one that is
		for at := 0; ; at++ {
			n := 0
			open := func(ctx context.Context, t repo.Target) (storage.Driver, error) {
				if at == 0 {
					return nil, outage
				}
				d, err := repo.Open(ctx, t)
				return &faulty{d, func(string, string) error {
					if n++; n >= at {
						return outage
					}
					return nil
				}}, err
			}
			err := in.load(open).Restore(t.Context(), ".", name, "pg_wal/RECOVERYXLOG", RestoreOptions{})
			if err == nil && name == seg1 || errors.Is(err, ErrAbsent) && name != seg1 {
				break
			}
			if !errors.Is(err, outage) || errors.Is(err, ErrAbsent) || at > 10_000 {
				t.Fatalf("%s, fault %d: %v", name, at, err)
			}
			if found, _ := filepath.Glob("pg_wal/*[XM]*"); len(found) > 0 {
				t.Fatalf("%s, fault %d: restore left %v", name, at, found)
			}
		}
	}
}

func TestRetriesAndWait(t *testing.T) {
	in := newInstance(t)
	in.init()
	in.must(ExitOK, "archive", "pg_wal/"+seg1)
	opened := 0
	open := func(ctx context.Context, t repo.Target) (storage.Driver, error) {
		if opened++; opened <= 2 {
			return nil, errors.New("no route to host")
		}
		return repo.Open(ctx, t)
	}
	o := RestoreOptions{Retries: 1, RetryInterval: time.Millisecond}
	if err := in.load(open).Restore(t.Context(), ".", seg1, "pg_wal/RECOVERYXLOG", o); err == nil || errors.Is(err, ErrAbsent) {
		t.Fatalf("one retry is not enough: %v", err)
	}
	if err := in.load(open).Restore(t.Context(), ".", seg1, "pg_wal/RECOVERYXLOG", o); err != nil {
		t.Fatal(err)
	}
	// Waiting: the file comes while we wait.
	in.write("pg_wal/"+seg2, segment(t, seg2, 2))
	done := make(chan error, 1)
	looks := make(chan bool, 1000)
	waiting := in.load(func(ctx context.Context, t repo.Target) (storage.Driver, error) {
		looks <- true
		return repo.Open(ctx, t)
	})
	go func() {
		done <- waiting.Restore(t.Context(), ".", seg2, "pg_wal/RECOVERYXLOG", RestoreOptions{Wait: true, PollInterval: 20 * time.Millisecond})
	}()
	for range 3 {
		<-looks
	}
	if err := in.load(nil).Archive(t.Context(), ".", "pg_wal/"+seg2); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	in.must(ExitAbsent, "restore", "--wait", "1", "--poll-interval", "100ms", "000000010000000000000009", "pg_wal/RECOVERYXLOG")
	in.must(ExitUnclear, "restore", "--wait", "x", seg1, "pg_wal/RECOVERYXLOG")
	in.must(ExitUnclear, "restore", "--nonsense", seg1, "pg_wal/RECOVERYXLOG")
	in.must(ExitUnclear, "restore", "../../x", "pg_wal/RECOVERYXLOG")
	in.must(ExitUnclear, "restore", seg1, "/tmp/RECOVERYXLOG")
	in.write("standby.signal", nil)
	in.must(ExitAbsent, "restore", "000000010000000000000009", "pg_wal/RECOVERYXLOG")
	in.must(ExitRetry, "restore", seg1, "/tmp/RECOVERYXLOG")
}

// buildHook makes the program that PostgreSQL runs, and the full one beside it.
func buildHook(t *testing.T, file string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", filepath.Dir(file)+"/", "pg_manage/cmd/pg_manage-hook", "pg_manage/cmd/pg_manage").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

// TestSignals: a restore that waits ends as PostgreSQL expects, which is by the signal or
// with 128 and its number, and leaves nothing.
func TestSignals(t *testing.T) {
	hook := filepath.Join(t.TempDir(), "pg_manage-hook")
	buildHook(t, hook)
	in := newInstance(t)
	in.init()
	dir := t.TempDir()
	in.writeConfig(func(c *Config) { c.LogDir = dir })
	all := []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT}
	for i, sig := range append([]syscall.Signal{syscall.SIGTERM}, all...) {
		cmd := exec.CommandContext(t.Context(), hook, "--config", in.config, "restore", "--log", "--wait", "0", "--poll-interval", "1h", seg2, "pg_wal/RECOVERYXLOG")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		waitFor(t, func() bool { // the log says that it waits
			logs, _ := filepath.Glob(dir + "/restore-*.log")
			if len(logs) != 1 {
				return false
			}
			text, err := os.ReadFile(logs[0])
			return err == nil && strings.Contains(string(text), "waiting")
		})
		want := "pg_manage-hook" // which asks the archiver
		if i == 0 {
			want = "pg_manage" // which has started it
		}
		if exe, err := os.Readlink("/proc/" + strconv.Itoa(cmd.Process.Pid) + "/exe"); err != nil || filepath.Base(exe) != want {
			t.Errorf("call %d is %s, not %s, %v", i, exe, want, err)
		}
		if err := cmd.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
		err := cmd.Wait()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != 128+int(sig) && exit.Sys().(syscall.WaitStatus).Signal() != sig {
			t.Errorf("call %d, %v: %v", i, sig, err)
		}
		logs, _ := filepath.Glob(dir + "/restore-*.log")
		for _, l := range logs {
			if err := os.Remove(l); err != nil {
				t.Fatal(err)
			}
		}
		if found, _ := filepath.Glob("pg_wal/*[XM]*"); len(found) > 0 {
			t.Errorf("left %v", found)
		}
		waitFor(t, func() bool { _, ok := call.Query(in.config, "status"); return ok }) // the next ones ask it
	}
}

// noRetry is what package planner puts after the hook in restore_command.
const noRetry = "; s=$?; [ $s -ne 2 ] || [ -e standby.signal ] || s=200; exit $s"

// stopsOnTwo: status 2 of the hook must not end a recovery.
func (s *server) stopsOnTwo(data string) {
	s.t.Helper()
	s.settings(data, "restore_command = '(exit 2)"+noRetry+"'\n")
	s.write(data+"/recovery.signal", "")
	if err := s.start(data); err == nil {
		s.t.Error("PostgreSQL came up when the hook got no memory")
	}
	if log, err := os.ReadFile(s.root + "/log"); err != nil || !strings.Contains(string(log), "exited with exit code 200") {
		s.t.Errorf("PostgreSQL did not stop for that: %v\n%s", err, log)
	}
}

func waitFor(t *testing.T, met func() bool) {
	t.Helper()
	for deadline := time.Now().Add(60 * time.Second); !met(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it did not come about in a minute")
		}
	}
}
