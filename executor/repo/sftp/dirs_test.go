package sftp

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"sync"
	"syscall"
	"testing"
)

// saying is a store whose server tells in a log what it does.
func saying(t *testing.T, root string, o Options) (*Store, func() []string) {
	t.Helper()
	cmd := exec.Command(server, "-e", "-l", "VERBOSE")
	var mu sync.Mutex
	var said bytes.Buffer
	cmd.Stderr = writer(func(b []byte) (int, error) {
		mu.Lock()
		defer mu.Unlock()
		return said.Write(b)
	})
	o.Label, o.Root = "x", root
	s, err := New(t.Context(), start(t, cmd, -1, nil), o)
	if err != nil {
		t.Fatal(err)
	}
	return s, func() (what []string) {
		mu.Lock()
		defer mu.Unlock()
		for _, m := range regexp.MustCompile(`(?m)^(fsync|hardlink)[^"\r\n]*"([^"]*)"`).FindAllStringSubmatch(said.String(), -1) {
			what = append(what, m[1]+" "+m[2])
		}
		return what
	}
}

type writer func(b []byte) (int, error)

func (w writer) Write(b []byte) (int, error) { return w(b) }

// TestTheServerFsyncsDirectories without a shell: those that are new up to the root, and
// from then on the file's own, each time when the file has its name.
func TestTheServerFsyncsDirectories(t *testing.T) {
	root := t.TempDir()
	shell := func(context.Context, []string, io.Reader, io.Writer) error {
		t.Error("the shell was asked")
		return ErrNoShell
	}
	s, said := saying(t, root, Options{Run: shell})
	for i := range 2 {
		before := len(said())
		if err := s.Put(t.Context(), fmt.Sprintf("a/b/%d", i), bytes.NewBufferString("x")); err != nil {
			t.Fatal(err)
		}
		now := said()[before:]
		named := slices.IndexFunc(now, func(l string) bool { return l[0] == 'h' })
		if named < 0 {
			t.Fatalf("nothing was linked: %q", now)
		}
		for dir, want := range map[string]bool{root: i == 0, root + "/a": i == 0, root + "/a/b": true} {
			if got := slices.Contains(now[named:], "fsync "+dir); got != want {
				t.Errorf("file %d: fsync of %s after it has its name: %v, not %v: %q", i, dir, got, want, now)
			}
		}
	}
	before := len(said())
	if err := s.Sync(t.Context(), "a/b/0"); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"/a/b/0", "/a/b", "/a", ""} {
		if now := said()[before:]; !slices.Contains(now, "fsync "+root+name) {
			t.Errorf("Sync: no fsync of %s: %q", root+name, now)
		}
	}
	before = len(said())
	if err := s.Remove(t.Context(), "a/b/0"); err != nil {
		t.Fatal(err)
	}
	if now := said()[before:]; !slices.Contains(now, "fsync "+root+"/a/b") {
		t.Errorf("Remove: %q", now)
	}
}

// TestADirectoryThatTheServerMayNotReadIsLeftToTheShell: it may write there all the same.
func TestADirectoryThatTheServerMayNotReadIsLeftToTheShell(t *testing.T) {
	if os.Getuid() != 0 {
		t.Fatal("giving a directory to another user needs root")
	}
	root := t.TempDir()
	for _, dir := range []string{filepath.Dir(root), root} {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	dir := filepath.Join(root, "blind")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	const nobody = 65534
	if err := os.Chown(dir, nobody, nobody); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o300); err != nil {
		t.Fatal(err)
	}
	asked := make(chan string, 100)
	run := answering(func(dir string) { asked <- dir })
	s, err := New(t.Context(), start(t, exec.Command(server), -1, &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}), Options{Label: "x", Root: root, Run: run})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Put(t.Context(), "blind/1", bytes.NewBufferString("x")); err != nil {
		t.Fatal(err)
	}
	close(asked)
	var dirs []string
	for d := range asked {
		dirs = append(dirs, d)
	}
	if !slices.Equal(dirs, []string{dir}) {
		t.Errorf("the shell was asked for %q", dirs)
	}
}
