package executor_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pg_manage/executor"
	"pg_manage/executor/remote"
)

// leasePlace is a lease directory of the owner on this machine.
func leasePlace(t *testing.T) (remote.Host, string) {
	t.Helper()
	w := newWorld(t)
	return w.host, executor.LeaseDir(filepath.Join(w.dir, "state"))
}

func acquire(t *testing.T, h remote.Host, dir, who string, beat time.Duration) (*executor.Lease, error) {
	t.Helper()
	return executor.AcquireLease(t.Context(), h, "n1", owner(t).Username, dir, executor.LeaseOptions{Holder: who, PID: 4711, Operation: "apply", Heartbeat: beat})
}

func TestLeaseExcludes(t *testing.T) {
	h, dir := leasePlace(t)
	ann, err := acquire(t, h, dir, "ann@laptop", 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = acquire(t, h, dir, "bob@desk", 0)
	var held *executor.HeldError
	if !errors.As(err, &held) || !strings.Contains(err.Error(), "n1: locked by ann@laptop pid 4711 (apply) since ") {
		t.Fatalf("got %v", err)
	}
	// Whoever waits gets it as soon as it is free.
	type result struct {
		l   *executor.Lease
		err error
	}
	got := make(chan result)
	go func() {
		l, err := executor.AcquireLease(context.Background(), h, "n1", owner(t).Username, dir, executor.LeaseOptions{Holder: "bob@desk", Timeout: time.Minute})
		got <- result{l, err}
	}()
	ann.Release()
	r := <-got
	if r.err != nil {
		t.Fatal(r.err)
	}
	r.l.Release()
	if _, err := os.Stat(filepath.Join(dir, "holder")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the released lease left its file: %v", err)
	}
}

func TestLeaseStale(t *testing.T) {
	h, dir := leasePlace(t)
	old, err := acquire(t, h, dir, "ann@laptop", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	defer old.Release()
	file := filepath.Join(dir, "holder")
	long := time.Now().Add(-executor.LeaseStale - 5*time.Second)
	if err := os.Chtimes(file, long, long); err != nil {
		t.Fatal(err)
	}
	taken, err := acquire(t, h, dir, "bob@desk", 0)
	if err != nil {
		t.Fatalf("a holder that was not heard of for more than a minute still holds: %v", err)
	}
	if _, err := acquire(t, h, dir, "eve@desk", 0); err == nil || !strings.Contains(err.Error(), "bob@desk") {
		t.Errorf("after the takeover: %v", err)
	}
	taken.Release()
}

func TestLeaseLostAtTakeover(t *testing.T) {
	h, dir := leasePlace(t)
	l, err := acquire(t, h, dir, "ann@laptop", 50*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	was, err := executor.Unlock(t.Context(), h, "n1", owner(t).Username, dir)
	if err != nil || was == nil || !strings.HasPrefix(was.Holder, "ann@laptop") {
		t.Fatalf("Unlock: %v, %v", was, err)
	}
	select {
	case <-l.Done():
		if err := l.Err(); !errors.Is(err, executor.ErrLeaseLost) || !strings.Contains(err.Error(), "taken the lock over") {
			t.Errorf("got %v", err)
		}
	case <-time.After(time.Minute):
		t.Fatal("the holder did not notice that its lease was broken")
	}
	l.Release()
	if was, err := executor.Unlock(t.Context(), h, "n1", owner(t).Username, dir); err != nil || was != nil {
		t.Errorf("Unlock of a free node: %v, %v", was, err)
	}
}

// TestLeaseHolderKilled: a process that holds a lease is killed with -9; the lease is
// free at once, however young it is.
func TestLeaseHolderKilled(t *testing.T) {
	if dir := os.Getenv("TEST_HOLD_LEASE"); dir != "" {
		if _, err := acquire(t, remote.NewLocal("here"), dir, "ann@laptop", 0); err != nil {
			t.Fatal(err)
		}
		os.Stdout.WriteString("\nheld\n")
		select {}
	}
	h, dir := leasePlace(t)
	cmd := exec.Command(os.Args[0], "-test.run=^TestLeaseHolderKilled$")
	cmd.Env = append(os.Environ(), "TEST_HOLD_LEASE="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 1000)
	var text string
	for !strings.Contains(text, "held") {
		n, err := out.Read(buf)
		text += string(buf[:n])
		if err != nil {
			t.Fatalf("the holder ended: %v: %s", err, text)
		}
	}
	if _, err := acquire(t, h, dir, "bob@desk", 0); err == nil {
		t.Fatal("two hold the lease")
	}
	cmd.Process.Kill()
	cmd.Wait()
	l, err := executor.AcquireLease(t.Context(), h, "n1", owner(t).Username, dir, executor.LeaseOptions{Holder: "bob@desk", Timeout: time.Minute})
	if err != nil {
		t.Fatalf("the lease of a killed process: %v", err)
	}
	l.Release()
}
