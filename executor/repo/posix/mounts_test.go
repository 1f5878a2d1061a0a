package posix

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"pg_manage/executor/repo/storage"
)

func needRoot(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Fatal("this test mounts file systems and changes users: run it as root")
	}
}

// tmpfs mounts a small file system; unmount takes it away before the test's end.
func tmpfs(t *testing.T, dir, options string) (unmount func()) {
	t.Helper()
	needRoot(t)
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, options); err != nil {
		t.Fatal(err)
	}
	gone := false
	unmount = func() {
		if gone {
			return
		}
		gone = true
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(unmount)
	return unmount
}

// shareOf gives a store whose share is of the kind tmpfs: few kernels of test machines have NFS.
func shareOf(t *testing.T, point, root string) *Store {
	t.Helper()
	s := open(t, root)
	s.mounted = func() error {
		f, err := os.Open("/proc/self/mountinfo")
		if err != nil {
			return err
		}
		defer f.Close() //nolint:errcheck // read only
		text, err := os.ReadFile("/proc/self/mountinfo")
		if err != nil {
			return err
		}
		var lines []string
		for line := range strings.Lines(string(text)) {
			if strings.Contains(line, " "+point+" ") {
				line = strings.Replace(line, " - tmpfs ", " - nfs4 ", 1)
			}
			lines = append(lines, line)
		}
		return checkMountInfo(strings.NewReader(strings.Join(lines, "")), root, "nfs")
	}
	return s
}

// TestShareUnmountedLater: what a process that lives on finds below the mount point is
// neither written to nor taken for the share.
func TestShareUnmountedLater(t *testing.T) {
	point := t.TempDir()
	unmount := tmpfs(t, point, "size=8m")
	root := filepath.Join(point, "backup")
	s := shareOf(t, point, root)
	if err := s.Put(t.Context(), "a/b", bytes.NewBufferString("text")); err != nil {
		t.Fatal(err)
	}
	unmount()
	// As if the share had been absent once before.
	if err := os.MkdirAll(filepath.Join(root, "a"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "a", "old"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, errOpen := s.Open(t.Context(), "a/b")
	_, errStat := s.Stat(t.Context(), "a/b")
	_, errList := s.List(t.Context(), "a")
	_, errNone := s.List(t.Context(), "none")
	for op, err := range map[string]error{
		"Put": s.Put(t.Context(), "a/c", bytes.NewBufferString("x")), "Open": errOpen, "Stat": errStat, "List": errList,
		"List of nothing": errNone, "Remove": s.Remove(t.Context(), "a/old"), "Sync": s.Sync(t.Context(), "a/old"),
		"Sync of nothing": s.Sync(t.Context(), "a/b"), "Sweep": s.Sweep(t.Context(), "a", 0),
	} {
		if err == nil || errors.Is(err, storage.ErrNotExist) || !strings.Contains(err.Error(), "mount the share") {
			t.Errorf("%s: %v", op, err)
		}
	}
	entries, err := os.ReadDir(filepath.Join(root, "a"))
	if err != nil || len(entries) != 1 {
		t.Errorf("below the mount point: %v, %v", entries, err)
	}
}

// TestShareUnmountedDuringPut: at each step the share goes; nothing may be acknowledged
// or stay on the disk below.
func TestShareUnmountedDuringPut(t *testing.T) {
	for _, at := range steps[:slices.Index(steps, "publish")+1] {
		point := t.TempDir()
		root := filepath.Join(point, "backup")
		s := shareOf(t, point, root)
		if err := syscall.Mount("tmpfs", point, "tmpfs", 0, "size=8m"); err != nil {
			needRoot(t)
			t.Fatal(err)
		}
		s.step = func(step string) error {
			if step != at {
				return nil
			}
			return syscall.Unmount(point, syscall.MNT_DETACH) // the open file stays usable, as on a share
		}
		if err := s.Put(t.Context(), "a/b", bytes.NewBufferString("text")); err == nil || errors.Is(err, storage.ErrNotExist) {
			t.Errorf("%s: %v", at, err)
		}
		if found, err := filepath.Glob(filepath.Join(root, "a", "*")); err != nil || len(found) != 0 {
			t.Errorf("%s: left below the mount point: %v, %v", at, found, err)
		}
	}
}

func TestReadOnly(t *testing.T) {
	root := t.TempDir()
	tmpfs(t, root, "size=1m")
	s := open(t, root)
	if err := s.Put(t.Context(), "a/b", bytes.NewBufferString("text")); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("", root, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	for name, op := range map[string]func() error{
		"Put":    func() error { return s.Put(t.Context(), "a/c", bytes.NewBufferString("x")) },
		"Remove": func() error { return s.Remove(t.Context(), "a/b") },
	} {
		if err := op(); !errors.Is(err, syscall.EROFS) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := s.Sweep(t.Context(), "a", -time.Hour); err != nil {
		t.Errorf("Sweep of nothing: %v", err)
	}
	checkAfter(t, root, "syncdir")
}
