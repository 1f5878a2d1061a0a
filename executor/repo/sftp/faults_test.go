package sftp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"pg_manage/executor/repo/repotest"
	"pg_manage/executor/repo/storage"
)

var steps = []string{"create", "mkdir", "write", "fsync", "link", "syncfile", "syncdir", "remove"}

// TestKillChild is run by TestKillAtEveryStep in a process of its own.
func TestKillChild(t *testing.T) {
	repotest.KillChild(t, func(root string, step func(string) error) storage.Driver {
		s, err := open(t, root, -1)
		if err != nil {
			t.Fatal(err)
		}
		s.step = step
		return s
	})
}

func TestKillAtEveryStep(t *testing.T) {
	repotest.Kill(t, "TestKillChild", steps, func(t *testing.T, root string) storage.Driver {
		s, err := open(t, root, -1)
		if err != nil {
			t.Fatal(err)
		}
		return s
	})
}

// TestFailureAtEveryStep: before the link nothing is to be seen and nothing stays, after it the file is whole.
func TestFailureAtEveryStep(t *testing.T) {
	boom := errors.New("boom")
	for _, at := range steps {
		root := t.TempDir()
		s, err := open(t, root, -1)
		if err != nil {
			t.Fatal(err)
		}
		s.step = func(step string) error {
			if step == at {
				return boom
			}
			return nil
		}
		err = s.Put(t.Context(), "a/b", bytes.NewBufferString("text"))
		if linked := at == "syncfile" || at == "remove" || at == "syncdir"; !linked {
			if !errors.Is(err, boom) {
				t.Errorf("%s: %v", at, err)
			}
			if left, err := filepath.Glob(filepath.Join(root, "a", "*")); err != nil || len(left) != 0 {
				t.Errorf("%s: left %v, %v", at, left, err)
			}
			if left, err := filepath.Glob(filepath.Join(root, "a", ".*")); err != nil || len(left) != 0 {
				t.Errorf("%s: left %v, %v", at, left, err)
			}
			continue
		}
		if !errors.Is(err, boom) {
			t.Errorf("%s: %v", at, err)
		}
		if got, err := os.ReadFile(filepath.Join(root, "a", "b")); err != nil || string(got) != "text" {
			t.Errorf("%s: %q, %v", at, got, err)
		}
	}
}

// TestServerKilled kills the SFTP server at many moments under four writers.
func TestServerKilled(t *testing.T) {
	body := bytes.Repeat([]byte("0123456789"), 30_000)
	for range 40 {
		root := t.TempDir()
		ses := dial(t, -1)
		s, err := New(t.Context(), ses, Options{Label: "ssh://test", Root: root})
		if err != nil {
			t.Fatal(err)
		}
		stop := time.AfterFunc(time.Duration(rand.IntN(40_000))*time.Microsecond, func() { ses.cmd.Process.Kill() }) //nolint:errcheck // that it is gone is what the test sees
		var wg sync.WaitGroup
		var mu sync.Mutex
		stored := map[string]bool{}
		for w := range 4 {
			wg.Go(func() {
				for i := 0; ; i++ {
					name := fmt.Sprintf("a/%d-%d", w, i)
					err := s.Put(t.Context(), name, bytes.NewReader(body))
					if err != nil {
						if !errors.Is(err, storage.ErrLost) || errors.Is(err, storage.ErrNotExist) || errors.Is(err, storage.ErrExists) {
							t.Error(err)
						}
						return
					}
					mu.Lock()
					stored[name] = true
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		stop.Stop()
		_, errOpen := s.Open(t.Context(), "a/x")
		_, errStat := s.Stat(t.Context(), "a/x")
		_, errList := s.List(t.Context(), "a")
		for op, err := range map[string]error{
			"Put": s.Put(t.Context(), "x", bytes.NewReader(body)), "Open": errOpen, "Stat": errStat, "List": errList,
			"Sync": s.Sync(t.Context(), "a/x"), "Remove": s.Remove(t.Context(), "a/x"), "Sweep": s.Sweep(t.Context(), "a", 0),
		} {
			if !errors.Is(err, storage.ErrLost) || errors.Is(err, storage.ErrNotExist) {
				t.Errorf("%s afterwards: %v", op, err)
			}
		}
		s.Close() //nolint:errcheck // it is lost
		for name := range stored {
			if got, err := os.ReadFile(filepath.Join(root, name)); err != nil || !bytes.Equal(got, body) {
				t.Fatalf("%s was acknowledged: %d bytes, %v", name, len(got), err)
			}
		}
		visible, err := filepath.Glob(filepath.Join(root, "a", "*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range visible {
			if got, err := os.ReadFile(name); err != nil || filepath.Base(name)[0] != '.' && !bytes.Equal(got, body) {
				t.Fatalf("%s is torn: %d bytes, %v", name, len(got), err)
			}
		}
	}
}

// TestCancelledOperationLeavesOthersAlone: an operation that its caller gives up ends
// within the grace, and what else runs on the connection goes on.
func TestCancelledOperationLeavesOthersAlone(t *testing.T) {
	root := t.TempDir()
	s, err := open(t, root, -1)
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		ctx, cancel := context.WithCancel(t.Context())
		err := s.Put(ctx, "a/b", io.MultiReader(bytes.NewReader(make([]byte, 1<<20)), readerFunc(func([]byte) (int, error) {
			cancel()
			return 1, nil
		})))
		if !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
	}
	if err := s.Put(t.Context(), "a/b", bytes.NewBufferString("text")); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(filepath.Join(root, "a"))
	if err != nil || len(entries) != 1 {
		t.Errorf("there are %v, %v", entries, err)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(b []byte) (int, error) { return f(b) }

// TestFullAndForbidden: a full disk, a read-only one and files of another user, as the server's user sees them.
func TestFullAndForbidden(t *testing.T) {
	if os.Getuid() != 0 {
		t.Fatal("this test mounts file systems and changes users: run it as root")
	}
	root := t.TempDir()
	if err := syscall.Mount("tmpfs", root, "tmpfs", 0, "size=1m"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(root, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	s, err := open(t, root, -1)
	if err != nil {
		t.Fatal(err)
	}
	bad := func(what string, err error) {
		t.Helper()
		if err == nil || errors.Is(err, storage.ErrNotExist) || errors.Is(err, storage.ErrExists) || errors.Is(err, storage.ErrLost) {
			t.Errorf("%s: %v", what, err)
		}
	}
	err = s.Put(t.Context(), "a/b", bytes.NewReader(make([]byte, 4<<20)))
	bad("full", err)
	if !errors.Is(err, syscall.ENOSPC) { // which SFTP has no word for
		t.Errorf("full: %v", err)
	}
	if left, err := os.ReadDir(filepath.Join(root, "a")); err != nil || len(left) != 0 {
		t.Errorf("left: %v, %v", left, err)
	}
	if err := s.Put(t.Context(), "a/b", bytes.NewBufferString("text")); err != nil {
		t.Fatalf("after the failure: %v", err)
	}
	s.background.Wait() // until the file is closed too
	if err := syscall.Mount("", root, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	bad("read-only: Put", s.Put(t.Context(), "a/c", bytes.NewBufferString("x")))
	bad("read-only: Remove", s.Remove(t.Context(), "a/b"))
	if err := syscall.Mount("", root, "", syscall.MS_REMOUNT, ""); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(root, "a"), 0o700); err != nil {
		t.Fatal(err)
	}
	ses := start(t, exec.Command(server), -1, &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}})
	other, err := New(t.Context(), ses, Options{Label: "ssh://nobody", Root: root})
	if err != nil {
		t.Fatal(err)
	}
	bad("forbidden: Put", other.Put(t.Context(), "a/c", bytes.NewBufferString("x")))
	_, err = other.Open(t.Context(), "a/b")
	bad("forbidden: Open", err)
	_, err = other.Stat(t.Context(), "a/none")
	bad("forbidden: Stat", err)
	_, err = other.List(t.Context(), "a")
	bad("forbidden: List", err)
	bad("forbidden: Remove", other.Remove(t.Context(), "a/b"))
	if _, err := os.Lstat(filepath.Join(root, "a", "c")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("something is there: %v", err)
	}
}

// localShell runs commands here as a login there would.
func localShell(count *atomic.Int64) func(ctx context.Context, args []string, stdin io.Reader, stdout io.Writer) error {
	return func(ctx context.Context, args []string, stdin io.Reader, stdout io.Writer) error {
		count.Add(1)
		cmd := exec.CommandContext(ctx, args[0], args[1:]...)
		cmd.Stdout = stdout
		in, err := cmd.StdinPipe() // unlike Stdin not waited for when the command has ended
		if err != nil {
			return err
		}
		go func() {
			io.Copy(in, stdin) //nolint:errcheck // the command's end tells
			in.Close()         //nolint:errcheck // the command's end tells
		}()
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("%w: %w", ErrNoShell, err)
		}
		return nil
	}
}
