package sftp

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"pg_manage/executor/repo/storage"
)

func TestOneShellFsyncsAllDirectories(t *testing.T) {
	var count atomic.Int64
	sh := newShell(localShell(&count))
	defer sh.close()
	root := t.TempDir()
	var wg sync.WaitGroup
	for i := range 50 {
		dir := filepath.Join(root, fmt.Sprintf(`%d ü'"$x $(exit 3) \ *;-`, i), "-n ")
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			if err := sh.sync(dir); err != nil {
				t.Error(err)
			}
		})
		wg.Go(func() {
			err := sh.sync(dir + "none")
			if err == nil || !strings.Contains(err.Error(), "No such file") {
				t.Errorf("a directory that isn't there: %v", err)
			}
		})
	}
	wg.Wait()
	if n := count.Load(); n != 1 {
		t.Errorf("%d shells were started", n)
	}
	if err := sh.sync("a\nb"); err == nil {
		t.Error("a line break was sent")
	}
}

// opensNone is a server that opens no directories.
func (s *Store) opensNone() {
	s.step = func(step string) error {
		if step == "opendir" {
			return fs.ErrPermission
		}
		return nil
	}
}

func TestShellThatIsNone(t *testing.T) {
	for name, run := range map[string]func(ctx context.Context, stdin io.Reader, stdout io.Writer) error{
		"refused":            func(context.Context, io.Reader, io.Writer) error { return ErrNoShell },
		"says hello and end": func(_ context.Context, _ io.Reader, w io.Writer) error { io.WriteString(w, "no logins\n"); return nil }, //nolint:errcheck // a pipe
		"sftp-server": func(ctx context.Context, r io.Reader, w io.Writer) error {
			var n atomic.Int64
			return localShell(&n)(ctx, []string{server}, r, w)
		},
	} {
		t.Run(name, func(t *testing.T) {
			var calls atomic.Int64
			s, err := New(t.Context(), dial(t, -1), Options{
				Label: "x", Root: t.TempDir(),
				Run: func(ctx context.Context, _ []string, r io.Reader, w io.Writer) error {
					calls.Add(1)
					return run(ctx, r, w)
				},
			})
			if err != nil {
				t.Fatal(err)
			}
			s.opensNone()
			for i := range 3 {
				if err := s.Put(t.Context(), fmt.Sprintf("d/%d", i), bytes.NewBufferString("x")); err != nil {
					t.Error(err)
				}
			}
			if n := calls.Load(); n != 1 {
				t.Errorf("a login without a shell was asked %d times", n)
			}
		})
	}
}

// TestShellThatBreaks: nothing is acknowledged when it isn't known whether the directory is durable.
func TestShellThatBreaks(t *testing.T) {
	lost := fmt.Errorf("%w: cable", storage.ErrLost)
	answer := lost
	var shells atomic.Int64
	run := func(ctx context.Context, args []string, stdin io.Reader, stdout io.Writer) error {
		if answer != nil {
			return answer
		}
		return localShell(&shells)(ctx, args, stdin, stdout)
	}
	s, err := New(t.Context(), dial(t, -1), Options{Label: "x", Root: t.TempDir(), Run: run})
	if err != nil {
		t.Fatal(err)
	}
	s.opensNone()
	put := func(name string) error { return s.Put(t.Context(), name, bytes.NewBufferString("x")) }
	if err := put("d/1"); !errors.Is(err, storage.ErrLost) || errors.Is(err, storage.ErrExists) {
		t.Errorf("got %v", err)
	}
	answer = nil
	if err := put("d/2"); err != nil || shells.Load() != 1 {
		t.Errorf("%d shells: %v", shells.Load(), err)
	}
	// Somebody ends the shell; the connection stands.
	s.shell.mu.Lock()
	s.shell.talk.in.Close() //nolint:errcheck // never fails
	s.shell.mu.Unlock()
	if err := put("d/3"); err != nil || shells.Load() != 2 {
		t.Errorf("%d shells: %v", shells.Load(), err)
	}
	answer = ErrNoShell // it has worked before, so this is no login without a shell
	s.shell.mu.Lock()
	s.shell.talk.in.Close() //nolint:errcheck // never fails
	s.shell.mu.Unlock()
	if err := put("d/4"); err == nil {
		t.Error("acknowledged without a fsync of the directory")
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// answering is a shell that is told of each directory, and fsyncs none.
func answering(tell func(dir string)) func(context.Context, []string, io.Reader, io.Writer) error {
	return func(_ context.Context, args []string, stdin io.Reader, stdout io.Writer) error {
		token := args[len(args)-1]
		fmt.Fprintf(stdout, "%s ready\n", token) //nolint:errcheck // a pipe
		lines := bufio.NewScanner(stdin)
		for lines.Scan() {
			tell(lines.Text())
			fmt.Fprintf(stdout, "motd %s done\n", token) //nolint:errcheck // a pipe
		}
		return nil
	}
}

func TestNewDirectoriesAreMadeDurableFromTheRoot(t *testing.T) {
	root := t.TempDir()
	var mu sync.Mutex
	asked := map[string]int{}
	run := answering(func(dir string) {
		mu.Lock()
		defer mu.Unlock()
		asked[dir]++
	})
	s, err := New(t.Context(), dial(t, -1), Options{Label: "x", Root: root, Run: run})
	if err != nil {
		t.Fatal(err)
	}
	s.opensNone()
	for i := range 2 {
		if err := s.Put(t.Context(), fmt.Sprintf("a/b/%d", i), bytes.NewBufferString("x")); err != nil {
			t.Fatal(err)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	a, b := filepath.Join(root, "a"), filepath.Join(root, "a", "b")
	if asked[b] != 2 || asked[a] != 1 || asked[root] != 1 || len(asked) != 3 {
		t.Errorf("asked for %v", asked)
	}
}
