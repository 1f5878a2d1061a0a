package archiver

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"testing"
)

// mountTmpfs is a file system of its own with little room.
func mountTmpfs(t *testing.T, size string) string {
	t.Helper()
	if os.Getuid() == 0 {
		dir := t.TempDir()
		if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "mode=0700,size="+size); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { syscall.Unmount(dir, syscall.MNT_DETACH) }) //nolint:errcheck // a test's mount
		return dir
	}
	dir, err := os.MkdirTemp("/dev/shm", "pg_manage") // mode 0700
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) }) //nolint:errcheck // a test's directory
	return dir
}

// TestTheSpoolMayLieOnAnotherFileSystem: then files are copied, whole or not at all.
func TestTheSpoolMayLieOnAnotherFileSystem(t *testing.T) {
	s, dir, spool := newSource(t, segs(1, 4)...), t.TempDir(), mountTmpfs(t, "16m")
	f := s.fetcher(spool, 2, 1)
	s.must(f, dir, seg(1))
	f.all.Wait()
	if err := os.Rename(filepath.Join(f.spool, seg(2)), filepath.Join(dir, "x")); !errors.Is(err, syscall.EXDEV) {
		t.Fatalf("it is the same file system: %v", err)
	}
	s.must(f, dir, seg(2))
	if got := s.fetched(); !slices.Equal(got[:3], segs(1, 3)) || slices.Contains(got[3:], seg(2)) {
		t.Errorf("fetched %v", got)
	}
	f.all.Wait()
	if _, err := os.Stat(filepath.Join(f.spool, seg(2))); !os.IsNotExist(err) {
		t.Errorf("it lies in the spool still: %v", err)
	}
	if left, _ := filepath.Glob(dir + "/*xlogtemp*"); len(left) > 0 {
		t.Errorf("left %v", left)
	}
	f.close()
}

// TestAFullDiskEndsPrefetchingAndNotRestoring.
func TestAFullDiskEndsPrefetchingAndNotRestoring(t *testing.T) {
	s, dir := newSource(t, segs(1, 12)...), t.TempDir()
	f := s.fetcher(t.TempDir(), 8, 1)
	s.on(func(_ context.Context, name string) error {
		if name == seg(4) {
			return fmt.Errorf("a target: %w", &os.PathError{Op: "write", Path: "x", Err: syscall.ENOSPC})
		}
		return nil
	})
	s.must(f, dir, seg(1))
	f.all.Wait()
	s.must(f, dir, seg(2))
	s.must(f, dir, seg(3))
	s.on(nil)
	for n := 4; n <= 12; n++ {
		s.must(f, dir, seg(n))
	}
	f.all.Wait()
	if got := len(s.fetched()); got != 13 { // seg(4) twice
		t.Errorf("%d were fetched: %v", got, s.fetched())
	}
	f.close()
}

// TestASpoolThatVanishesDoesNotMatter: somebody tidied up.
func TestASpoolThatVanishesDoesNotMatter(t *testing.T) {
	s, dir := newSource(t, segs(1, 9)...), t.TempDir()
	f := s.fetcher(t.TempDir(), 4, 2)
	s.must(f, dir, seg(1))
	f.all.Wait()
	if err := os.RemoveAll(filepath.Dir(f.spool)); err != nil {
		t.Fatal(err)
	}
	for n := 2; n <= 9; n++ {
		s.must(f, dir, seg(n))
	}
	f.close()
	s.must(f, dir, seg(3)) // and after the end
}

func TestTheSpoolOfADeadProcessIsEmptied(t *testing.T) {
	s, spool := newSource(t), t.TempDir()
	for _, d := range []string{"1", "77"} {
		if err := os.MkdirAll(filepath.Join(spool, d), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(spool, d, seg(2)), []byte("of another time"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	f := s.fetcher(spool, 4, 2)
	if left, _ := filepath.Glob(spool + "/*/*"); len(left) > 0 {
		t.Errorf("left %v", left)
	}
	f.close()
}

func TestASpoolThatOthersCanWriteToIsNotUsed(t *testing.T) {
	for what, make := range map[string]func(dir string) error{
		"a link":         func(dir string) error { return os.Symlink(t.TempDir(), dir) },
		"world-writable": func(dir string) error { return errors.Join(os.Mkdir(dir, 0o700), os.Chmod(dir, 0o777)) },
		"a file":         func(dir string) error { return os.WriteFile(dir, nil, 0o600) },
	} {
		dir := filepath.Join(t.TempDir(), "spool")
		if err := make(dir); err != nil {
			t.Fatal(err)
		}
		if err := newFetcher(nil, filepath.Join(dir, "1"), 4*segSize, 1).prepare(); err == nil {
			t.Errorf("%s: it is used", what)
		}
	}
}

// TestManyRestoresAtOnce is for the race detector: going back and forth while it ends.
func TestManyRestoresAtOnce(t *testing.T) {
	s := newSource(t, segs(1, 60)...)
	f := s.fetcher(t.TempDir(), 5, 4)
	var all sync.WaitGroup
	for i := range 8 {
		dir := t.TempDir()
		all.Go(func() {
			for n := range 40 {
				s.must(f, dir, seg(1+(n*(i+1))%60))
			}
		})
	}
	all.Go(func() {
		for len(s.fetched()) < 150 {
			runtime.Gosched()
		}
		f.close()
	})
	all.Wait()
}
