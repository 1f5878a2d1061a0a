// Package repotest tests that a driver keeps the contract of package storage. Every
// driver's tests run it.
package repotest

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"pg_manage/executor/repo/storage"
)

// Options say what a driver is like.
type Options struct {
	// Flat is a target without directories, such as S3: there a name that ends within
	// another is nothing special, and a directory that isn't there is an empty one.
	Flat bool
}

// Run tests a driver over an empty target. open gives a new connection to it.
func Run(t *testing.T, open func(t *testing.T) storage.Driver) {
	t.Helper()
	RunWith(t, Options{}, open)
}

// RunWith is Run for a driver that isn't like a file system.
func RunWith(t *testing.T, o Options, open func(t *testing.T) storage.Driver) {
	t.Helper()
	s := suite{o, open}
	t.Run("PutAndRead", s.putAndRead)
	t.Run("NeverOverwrites", s.neverOverwrites)
	t.Run("Absent", s.absent)
	t.Run("Names", s.names)
	t.Run("Ranges", s.ranges)
	t.Run("FailingSource", s.failingSource)
	t.Run("Cancelled", s.cancelled)
	t.Run("ListAndRemove", s.listAndRemove)
	t.Run("Concurrent", s.concurrent)
	t.Run("OneWinner", s.oneWinner)
	t.Run("LongNames", s.longNames)
	t.Run("SyncOfAnothers", s.syncOfAnothers)
	if !o.Flat {
		t.Run("DirectoryInTheWay", s.inTheWay)
	}
	t.Run("Sweep", s.sweep)
	t.Run("Leaks", s.leaks)
}

type suite struct {
	o    Options
	open func(t *testing.T) storage.Driver
}

func (s suite) driver(t *testing.T) (context.Context, storage.Driver) {
	t.Helper()
	d := s.open(t)
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Logf("close: %v", err)
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute) // slow machines, race detector
	t.Cleanup(cancel)
	return ctx, d
}

func read(ctx context.Context, t *testing.T, d storage.Driver, name string) []byte {
	t.Helper()
	r, err := d.Open(ctx, name)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(r)
	if err := errors.Join(err, r.Close()); err != nil {
		t.Fatal(err)
	}
	return b
}

func (s suite) putAndRead(t *testing.T) {
	ctx, d := s.driver(t)
	for i, size := range []int{0, 1, 32 << 10, 3<<20 + 17} {
		want := make([]byte, size)
		if _, err := rand.Read(want); err != nil {
			t.Fatal(err)
		}
		name := fmt.Sprintf("put/deep/er/file %d ü'\"$x", i)
		if err := d.Put(ctx, name, bytes.NewReader(want)); err != nil {
			t.Fatal(err)
		}
		if got := read(ctx, t, d, name); !bytes.Equal(got, want) {
			t.Fatalf("%d bytes went in and other %d came out", len(want), len(got))
		}
		st, err := d.Stat(ctx, name)
		if err != nil || st.Size != int64(size) || st.Dir {
			t.Errorf("Stat: %+v, %v", st, err)
		}
		if err := d.Sync(ctx, name); err != nil {
			t.Error(err)
		}
	}
	// Reading a part and closing must neither block nor break the driver.
	r, err := d.Open(ctx, "put/deep/er/file 3 ü'\"$x")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(r, make([]byte, 10)); err != nil {
		t.Error(err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	onlyWhole(ctx, t, d, "put/deep/er", 4)
}

func (s suite) neverOverwrites(t *testing.T) {
	ctx, d := s.driver(t)
	if err := d.Put(ctx, "over/a", bytes.NewBufferString("first")); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"second", "first"} {
		if err := d.Put(ctx, "over/a", bytes.NewBufferString(text)); !errors.Is(err, storage.ErrExists) {
			t.Errorf("a second Put gave %v", err)
		}
	}
	if got := read(ctx, t, d, "over/a"); string(got) != "first" {
		t.Errorf("the stored file is now %q", got)
	}
	onlyWhole(ctx, t, d, "over", 1)
}

func (s suite) absent(t *testing.T) {
	ctx, d := s.driver(t)
	if err := d.Put(ctx, "absent/file", bytes.NewBufferString("x")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"absent/none", "absent/no/such/dir", "nothing"} {
		_, err1 := d.Open(ctx, name)
		_, err2 := d.Stat(ctx, name)
		for op, err := range map[string]error{"Open": err1, "Stat": err2, "Sync": d.Sync(ctx, name), "Remove": d.Remove(ctx, name)} {
			if !errors.Is(err, storage.ErrNotExist) {
				t.Errorf("%s of %s: %v", op, name, err)
			}
		}
	}
	if s.o.Flat {
		return
	}
	if _, err := d.List(ctx, "absent/none"); !errors.Is(err, storage.ErrNotExist) {
		t.Errorf("List: %v", err)
	}
	// A file where a directory should be is damage, not absence.
	_, err1 := d.Open(ctx, "absent/file/x")
	_, err2 := d.Stat(ctx, "absent/file/x/y")
	for _, err := range []error{err1, err2} {
		if !s.o.Flat && (err == nil || errors.Is(err, storage.ErrNotExist)) {
			t.Errorf("below a file: %v", err)
		}
	}
	// A directory where a file should be too.
	if _, err := d.Open(ctx, "absent"); err == nil || errors.Is(err, storage.ErrNotExist) {
		t.Errorf("Open of a directory: %v", err)
	}
}

func (s suite) names(t *testing.T) {
	ctx, d := s.driver(t)
	for _, name := range []string{"", "/", "/etc/passwd", "..", "../x", "a/../b", "a//b", "a/", "./a", "a\x00b", "a\nb", "a/..", "a/../../b", "\x7f", strings.Repeat("x", 201), storage.TempName("a", "b")} {
		err := d.Put(ctx, name, bytes.NewBufferString("x"))
		if err == nil || errors.Is(err, storage.ErrExists) {
			t.Errorf("Put of %q: %v", name, err)
		}
		if _, err := d.Open(ctx, name); err == nil || errors.Is(err, storage.ErrNotExist) {
			t.Errorf("Open of %q: %v", name, err)
		}
	}
}

type failingReader struct{ left int }

var errSource = errors.New("the source broke")

func (f *failingReader) Read(b []byte) (int, error) {
	if f.left <= 0 {
		return 0, errSource
	}
	n := min(len(b), f.left)
	f.left -= n
	return n, nil
}

func (s suite) failingSource(t *testing.T) {
	ctx, d := s.driver(t)
	for _, n := range []int{0, 1, 100_000, 1 << 20} {
		if err := d.Put(ctx, "failing/x", &failingReader{n}); !errors.Is(err, errSource) {
			t.Errorf("after %d bytes: %v", n, err)
		}
		if _, err := d.Stat(ctx, "failing/x"); !errors.Is(err, storage.ErrNotExist) {
			t.Errorf("after %d bytes something is there: %v", n, err)
		}
	}
	onlyWhole(ctx, t, d, "failing", 0)
}

func (s suite) cancelled(t *testing.T) {
	_, d := s.driver(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("stopped here")
	cancel(stop)
	err := d.Put(ctx, "cancelled/x", bytes.NewBufferString("x"))
	if !errors.Is(err, stop) || errors.Is(err, storage.ErrNotExist) {
		t.Errorf("Put: %v", err)
	}
	ctx, d = s.driver(t)
	if _, err := d.Stat(ctx, "cancelled/x"); !errors.Is(err, storage.ErrNotExist) {
		t.Errorf("something is there: %v", err)
	}
}

func (s suite) listAndRemove(t *testing.T) {
	ctx, d := s.driver(t)
	for _, n := range []string{"b", "a", "c/d"} {
		if err := d.Put(ctx, "list/"+n, bytes.NewBufferString(n)); err != nil {
			t.Fatal(err)
		}
	}
	got, err := d.List(ctx, "list")
	if err != nil || len(got) != 3 || got[0].Name != "a" || got[1].Name != "b" || got[2].Name != "c" || !got[2].Dir || got[0].Dir || got[0].Size != 1 {
		t.Fatalf("got %+v, %v", got, err)
	}
	if time.Since(got[0].ModTime).Abs() > time.Hour {
		t.Errorf("the file is of %v", got[0].ModTime)
	}
	if root, err := d.List(ctx, ""); err != nil || len(root) == 0 {
		t.Errorf("the root: %+v, %v", root, err)
	}
	if err := d.Remove(ctx, "list/a"); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Stat(ctx, "list/a"); !errors.Is(err, storage.ErrNotExist) {
		t.Errorf("a removed file is there: %v", err)
	}
	if s.o.Flat {
		return
	}
	// A directory goes when it is empty, and can come again.
	if err := d.Remove(ctx, "list/c"); err == nil || errors.Is(err, storage.ErrNotExist) {
		t.Errorf("Remove of a directory that is not empty: %v", err)
	}
	if err := errors.Join(d.Remove(ctx, "list/c/d"), d.Remove(ctx, "list/c")); err != nil {
		t.Error(err)
	}
	if _, err := d.Stat(ctx, "list/c"); !errors.Is(err, storage.ErrNotExist) {
		t.Errorf("a removed directory is there: %v", err)
	}
	if err := d.Put(ctx, "list/c/d", bytes.NewBufferString("again")); err != nil {
		t.Error(err)
	}
}

func (s suite) concurrent(t *testing.T) {
	ctx, d := s.driver(t)
	const writers = 8
	var wg sync.WaitGroup
	won := make(chan string, writers)
	for i := range writers {
		text := fmt.Sprintf("writer %d", i)
		wg.Go(func() {
			err := d.Put(ctx, "same/dir/one", bytes.NewBufferString(text))
			switch {
			case err == nil:
				won <- text
			case !errors.Is(err, storage.ErrExists):
				t.Error(err)
			}
		})
		wg.Go(func() {
			if err := d.Put(ctx, "same/dir/"+text, bytes.NewBufferString(text)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if len(won) != 1 {
		t.Fatalf("%d writers believe that they stored the file", len(won))
	}
	if got, want := string(read(ctx, t, d, "same/dir/one")), <-won; got != want {
		t.Errorf("the file is of %q, but %q was told that it stored it", got, want)
	}
	onlyWhole(ctx, t, d, "same/dir", writers+1)
}

func (s suite) inTheWay(t *testing.T) {
	ctx, d := s.driver(t)
	if err := d.Put(ctx, "way/file", bytes.NewBufferString("x")); err != nil {
		t.Fatal(err)
	}
	if err := d.Put(ctx, "way/file/y", bytes.NewBufferString("y")); err == nil || errors.Is(err, storage.ErrExists) {
		t.Errorf("Put below a file: %v", err)
	}
	if err := d.Put(ctx, "way", bytes.NewBufferString("y")); err == nil {
		t.Error("Put took the place of a directory")
	}
	if got := read(ctx, t, d, "way/file"); string(got) != "x" {
		t.Errorf("got %q", got)
	}
}

func (s suite) sweep(t *testing.T) {
	ctx, d := s.driver(t)
	if err := d.Put(ctx, "sweep/whole", bytes.NewBufferString("x")); err != nil {
		t.Fatal(err)
	}
	if err := d.Sweep(ctx, "sweep", -time.Hour); err != nil {
		t.Error(err)
	}
	onlyWhole(ctx, t, d, "sweep", 1)
	if err := d.Sweep(ctx, "sweepnone", 0); !s.o.Flat && !errors.Is(err, storage.ErrNotExist) {
		t.Errorf("a directory that isn't there: %v", err)
	}
}

// onlyWhole makes sure that a directory holds n files and nothing unfinished.
func onlyWhole(ctx context.Context, t *testing.T, d storage.Driver, dir string, n int) {
	t.Helper()
	all, err := d.List(ctx, dir)
	if err != nil && (n > 0 || !errors.Is(err, storage.ErrNotExist)) {
		t.Fatal(err)
	}
	if len(all) != n {
		t.Errorf("%s holds %+v", dir, all)
	}
}
