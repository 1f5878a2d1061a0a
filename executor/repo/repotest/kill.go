package repotest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"pg_manage/executor/repo/storage"
)

// killEnv tells the child of Kill what to do: root and step, divided by a bar.
const killEnv = "PG_MANAGE_TEST_KILL"

const killName = "a/b/c"

// afterPut is the step after Put has returned nil.
const afterPut = "acknowledged"

func killBody() []byte { return bytes.Repeat([]byte("0123456789abcdef"), 20_000) }

// Kill runs Put in another process, which kills itself (SIGKILL) at one step of it, for
// each of steps and once after Put has returned, and tests what is left then. child
// names a test of the same binary that calls KillChild; open gives a driver for a directory.
func Kill(t *testing.T, child string, steps []string, open func(t *testing.T, root string) storage.Driver) {
	t.Helper()
	for _, at := range append(append([]string{}, steps...), afterPut) {
		t.Run(at, func(t *testing.T) {
			root := t.TempDir()
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^"+child+"$")
			cmd.Env = append(os.Environ(), killEnv+"="+root+"|"+at)
			out, err := cmd.CombinedOutput()
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
				t.Fatalf("the child was not killed: %v: %s", err, out)
			}
			afterKill(t, root, open(t, root), at == afterPut)
		})
	}
}

func afterKill(t *testing.T, root string, d storage.Driver, acknowledged bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	look := func() bool {
		r, err := d.Open(ctx, killName)
		if errors.Is(err, storage.ErrNotExist) {
			return false
		}
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r)
		if err := errors.Join(err, r.Close()); err != nil || !bytes.Equal(got, killBody()) {
			t.Fatalf("%d bytes are visible that are not the file: %v", len(got), err)
		}
		return true
	}
	if !look() && acknowledged {
		t.Fatal("Put returned nil, and the file is not there")
	}
	err := d.Put(ctx, killName, bytes.NewReader(killBody()))
	if errors.Is(err, storage.ErrExists) {
		err = d.Sync(ctx, killName)
	}
	if err != nil {
		t.Errorf("Put again: %v", err)
	}
	if !look() {
		t.Error("the file is not there after Put")
	}
	if err := d.Sweep(ctx, filepath.Dir(killName), -time.Minute); err != nil {
		t.Error(err)
	}
	left, err := os.ReadDir(filepath.Join(root, filepath.Dir(killName)))
	if err != nil || len(left) != 1 {
		t.Errorf("the directory holds %v, %v", left, err)
	}
}

// KillChild is what the child of Kill does. open gives a driver that calls step before
// each of its steps. In the test run itself KillChild does nothing.
func KillChild(t *testing.T, open func(root string, step func(string) error) storage.Driver) {
	t.Helper()
	root, at, ok := strings.Cut(os.Getenv(killEnv), "|")
	if !ok {
		return
	}
	step := func(step string) error {
		if step != at {
			return nil
		}
		return syscall.Kill(os.Getpid(), syscall.SIGKILL)
	}
	err := open(root, step).Put(t.Context(), killName, bytes.NewReader(killBody()))
	if err == nil {
		err = step(afterPut)
	}
	t.Fatalf("still alive: %v", err)
}
