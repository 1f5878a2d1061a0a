package remotetest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"

	"pg_manage/executor/remote"
)

// record is a testing.TB that notes failures instead of failing.
type record struct {
	testing.TB
	errors   []string
	cleanups []func()
}

func (r *record) Errorf(format string, args ...any) {
	r.errors = append(r.errors, fmt.Sprintf(format, args...))
}
func (r *record) Cleanup(f func()) { r.cleanups = append(r.cleanups, f) }

func (r *record) end() {
	for _, f := range r.cleanups {
		f()
	}
}

func TestFakeScript(t *testing.T) {
	ctx := context.Background()
	f := NewFake(t, "node1", "root")
	f.Expect("echo", "a").As("postgres").Reply("a\n")
	f.Expect("false").Fail(1, "no")
	f.Expect("gone").Lost()
	f.ExpectRead("/etc/x").Reply("text")
	f.ExpectRead("/etc/y").NotExist()
	f.ExpectWrite("/etc/z", "new")
	f.ExpectRename("/a", "/b")
	f.ExpectRemove("/c")
	res, err := f.Run(ctx, remote.Command{Args: []string{"echo", "a"}, As: "postgres"})
	if err != nil || string(res.Stdout) != "a\n" {
		t.Fatal(res, err)
	}
	var ce *remote.CommandError
	if _, err := f.Run(ctx, remote.Command{Args: []string{"false"}}); !errors.As(err, &ce) || ce.Host != "node1" {
		t.Fatal(err)
	}
	var le *remote.LostError
	if _, err := f.Run(ctx, remote.Command{Args: []string{"gone"}}); !errors.As(err, &le) {
		t.Fatal(err)
	}
	if b, err := remote.ReadFile(ctx, f, "/etc/x", ""); err != nil || string(b) != "text" {
		t.Fatal(b, err)
	}
	if _, err := remote.ReadFile(ctx, f, "/etc/y", ""); !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	if err := remote.WriteFile(ctx, f, "/etc/z", []byte("new"), remote.FileOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := remote.Rename(ctx, f, "/a", "/b", ""); err != nil {
		t.Fatal(err)
	}
	if err := remote.Remove(ctx, f, "/c", ""); err != nil {
		t.Fatal(err)
	}
	if len(f.Ran()) != 8 {
		t.Fatal(f.Ran())
	}
}

func TestFakeUpload(t *testing.T) {
	for _, size := range []int{10, 1 << 20} {
		f := NewFake(t, "n", "root")
		content := strings.Repeat("x", size)
		f.ExpectUpload("/bin/x", func(got []byte) error {
			if string(got) != content {
				return fmt.Errorf("got %d bytes", len(got))
			}
			return nil
		})
		if err := remote.Upload(context.Background(), f, "/bin/x", strings.NewReader(content), remote.FileOptions{Mode: 0o755}); err != nil {
			t.Fatal(err)
		}
	}
}

func TestFakeFails(t *testing.T) {
	for want, do := range map[string]func(f *Fake){
		"unexpected command: ls -l": func(f *Fake) { f.Run(context.Background(), remote.Command{Args: []string{"ls", "-l"}}) },
		`never ran: ["ls"]`:         func(f *Fake) { f.Expect("ls") },
		"unexpected connection":     func(f *Fake) { f.Dial(context.Background(), "unix", "/s") },
		`runs as "", want "x"`: func(f *Fake) {
			f.Expect("ls").As("x")
			f.Run(context.Background(), remote.Command{Args: []string{"ls"}})
		},
		`wrote "b", want "a"`: func(f *Fake) {
			f.ExpectWrite("/f", "a")
			remote.WriteFile(context.Background(), f, "/f", []byte("b"), remote.FileOptions{})
		},
	} {
		r := &record{TB: t}
		do(NewFake(r, "n", "root"))
		r.end()
		if len(r.errors) != 1 || !strings.Contains(r.errors[0], want) {
			t.Errorf("%s: %q", want, r.errors)
		}
	}
}
