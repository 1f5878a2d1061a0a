package posix

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"pg_manage/executor/repo/repotest"
	"pg_manage/executor/repo/storage"
)

// program finds what a test cannot do without.
func program(t *testing.T, name, pkg string) string {
	t.Helper()
	p, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("%s is needed: apt-get install %s", name, pkg)
	}
	return p
}

// TestFUSEWithoutNoReplace stands in for NFS, of which this kernel need not have any: a
// FUSE file system (bindfs) that refuses RENAME_NOREPLACE, as NFS does, so that files are
// published by link(2).
func TestFUSEWithoutNoReplace(t *testing.T) {
	needRoot(t)
	behind, root := t.TempDir(), t.TempDir()
	cmd := exec.Command(program(t, "bindfs", "bindfs"), "-f", behind, root)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(root, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("bindfs: %v: %s", err, said.String())
		}
	})
	for end := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		var st unix.Statfs_t
		if err := unix.Statfs(root, &st); err == nil && st.Type == unix.FUSE_SUPER_MAGIC {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("bindfs (Debian: bindfs, fuse3) mounts nothing: %s", said.String())
		}
	}
	temp, final := filepath.Join(root, "t"), filepath.Join(root, "f")
	if err := os.WriteFile(temp, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := unix.Renameat2(unix.AT_FDCWD, temp, unix.AT_FDCWD, final, unix.RENAME_NOREPLACE); !errors.Is(err, syscall.EINVAL) {
		t.Logf("this bindfs answers RENAME_NOREPLACE with %v: link(2) is not put to the test", err)
	}
	repotest.Run(t, func(t *testing.T) storage.Driver { return open(t, root) })
}

// TestDiskFullAtFsync: the file system takes the bytes and learns at fsync that the disk
// has no room for them: ext4 on a file that lies on a full tmpfs.
func TestDiskFullAtFsync(t *testing.T) {
	below, root := t.TempDir(), t.TempDir()
	tmpfs(t, below, "size=24m")
	image := filepath.Join(below, "image")
	if err := os.WriteFile(image, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(image, 64<<20); err != nil {
		t.Fatal(err)
	}
	sh(t, program(t, "mkfs.ext4", "e2fsprogs"), "-q", "-F", "-E", "nodiscard", "-O", "^has_journal", image)
	sh(t, program(t, "mount", "mount"), "-o", "loop", image, root)
	t.Cleanup(func() {
		if err := syscall.Unmount(root, 0); err != nil {
			t.Error(err)
		}
	})
	s := open(t, root)
	var err error
	at := ""
	s.step = func(step string) error { at = step; return nil }
	err = s.Put(t.Context(), "a/b", bytes.NewReader(make([]byte, 40<<20)))
	if err == nil || at != "fsync" || errors.Is(err, storage.ErrExists) || errors.Is(err, storage.ErrNotExist) {
		t.Fatalf("at %s: %v", at, err)
	}
	t.Log(err)
	if _, err := os.Lstat(filepath.Join(root, "a", "b")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("something is visible: %v", err)
	}
	leftovers(t, root, 0)
}

func sh(t *testing.T, args ...string) {
	t.Helper()
	if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", strings.Join(args, " "), err, out)
	}
}

// TestNoPermission: what another user may not see is not absent.
func TestNoPermission(t *testing.T) {
	needRoot(t)
	root := t.TempDir()
	s := open(t, root)
	if err := s.Put(t.Context(), "a/b", bytes.NewBufferString("text")); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(root, "a"), 0o700); err != nil {
		t.Fatal(err)
	}
	done := make(chan map[string]error)
	go func() {
		runtime.LockOSThread() // for good: the thread ends with its file system user
		if _, _, e := unix.RawSyscall(unix.SYS_SETFSUID, 65534, 0, 0); e != 0 {
			panic(e)
		}
		_, errOpen := s.Open(t.Context(), "a/b")
		_, errRange := s.OpenRange(t.Context(), "a/b", 1, 2)
		_, errStat := s.Stat(t.Context(), "a/none")
		_, errList := s.List(t.Context(), "a")
		done <- map[string]error{
			"Put": s.Put(t.Context(), "a/c", bytes.NewBufferString("x")), "Open": errOpen, "OpenRange": errRange, "Stat": errStat, "List": errList,
			"Remove": s.Remove(t.Context(), "a/b"), "Sync": s.Sync(t.Context(), "a/b"),
			"Put beside": s.Put(t.Context(), "c", bytes.NewBufferString("x")),
		}
	}()
	for op, err := range <-done {
		if !errors.Is(err, fs.ErrPermission) || errors.Is(err, storage.ErrNotExist) {
			t.Errorf("%s: %v", op, err)
		}
	}
	checkAfter(t, root, "syncdir")
}
