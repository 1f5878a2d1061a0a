package remote_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pg_manage/executor/remote"
)

func TestLocalFiles(t *testing.T) {
	h := remote.NewLocal("here")
	defer h.Close()
	fileSuite(t, h, t.TempDir(), "", nastyNames...)
}

var nastyNames = []string{
	"plain", "two words", "quote'quote", `double"quote`, "new\nline", "-rf", "$(id)", "`id`", "a;b&c|d", "back\\slash",
	"star*", "tab\there", "ünï", "=eq", "~root", "!bang", "#hash", "trail ", " lead", "%s", "{a,b}", "[x]",
}

// worstNames are all the trouble in few names, for hosts where each step costs more.
func worstNames() []string { return []string{"-rf", strings.Join(nastyNames, "")} }

func fileSuite(t *testing.T, h remote.Host, dir, as string, names ...string) {
	t.Helper()
	ctx := context.Background()
	for _, n := range names {
		file := filepath.Join(dir, "sub "+n, n)
		if _, err := remote.ReadFile(ctx, h, file, as); !errors.Is(err, fs.ErrNotExist) {
			t.Fatalf("%q: read of an absent file: %v", n, err)
		}
		content := []byte("x" + n + "\x00\xff\n")
		if err := remote.WriteFile(ctx, h, file, content, remote.FileOptions{Mode: 0o640, As: as}); !errors.Is(err, fs.ErrNotExist) {
			t.Fatalf("%q: write without its directory: %v", n, err)
		}
		if err := remote.WriteFile(ctx, h, file, content, remote.FileOptions{Mode: 0o640, As: as, MkDir: true}); err != nil {
			t.Fatalf("%q: %v", n, err)
		}
		got, err := remote.ReadFile(ctx, h, file, as)
		if err != nil || string(got) != string(content) {
			t.Fatalf("%q: read %q, %v", n, got, err)
		}
		if fi, err := os.Stat(file); err != nil || fi.Mode() != 0o640 {
			t.Fatalf("%q: %v %v", n, fi, err)
		}
		if fi, err := os.Stat(filepath.Dir(file)); err != nil || fi.Mode().Perm() != 0o700 {
			t.Fatalf("%q: %v %v", n, fi, err)
		}
		other := file + ".2"
		if err := remote.Rename(ctx, h, file, other, as); err != nil {
			t.Fatalf("%q: %v", n, err)
		}
		if err := remote.Rename(ctx, h, file, other, as); !errors.Is(err, fs.ErrExist) {
			t.Fatalf("%q: rename over a file: %v", n, err)
		}
		if err := remote.Rename(ctx, h, file, file+".3", as); !errors.Is(err, fs.ErrNotExist) {
			t.Fatalf("%q: rename of nothing: %v", n, err)
		}
		for range 2 {
			if err := remote.Remove(ctx, h, other, as); err != nil {
				t.Fatalf("%q: %v", n, err)
			}
		}
		left, err := os.ReadDir(filepath.Dir(file))
		if err != nil || len(left) != 0 {
			t.Fatalf("%q: left over: %v %v", n, left, err)
		}
	}
}

func TestLocalFilesAsAnotherUser(t *testing.T) {
	h := remote.NewLocal("here")
	defer h.Close()
	dir := t.TempDir()
	openUp(t, dir)
	fileSuite(t, h, dir, "postgres", worstNames()...)
}

func TestLocalRunAs(t *testing.T) {
	h := remote.NewLocal("here")
	defer h.Close()
	res, err := h.Run(context.Background(), remote.Command{Args: []string{"sh", "-c", `echo "$(id -un) $HOME $USER $PWD"`}, As: "postgres"})
	if err != nil || string(res.Stdout) != "postgres /var/lib/postgresql postgres /\n" {
		t.Fatalf("%q %v", res.Stdout, err)
	}
	res, err = h.Run(context.Background(), remote.Command{Args: append([]string{"printf", "%s|"}, nastyNames...), As: "postgres", Dir: "/tmp"})
	want := ""
	for _, n := range nastyNames {
		want += n + "|"
	}
	if err != nil || string(res.Stdout) != want {
		t.Fatalf("%q %v", res.Stdout, err)
	}
}

// openUp lets every user into a directory of the test.
func openUp(t *testing.T, dir string) {
	t.Helper()
	for d := dir; d != os.TempDir() && d != "/"; d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o777); err != nil {
			t.Fatal(err)
		}
	}
}
