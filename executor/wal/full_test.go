package wal

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestDiskFull fills the target's disk, and the one that restore writes to.
func TestDiskFull(t *testing.T) {
	if os.Getuid() != 0 {
		t.Log("mounting a small file system needs root: the storage driver's own test stands in")
		return
	}
	in := newInstance(t)
	in.init()
	in.must(ExitOK, "archive", "pg_wal/"+seg1)
	mount := func(dir string) {
		t.Helper()
		if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=128k"); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
				t.Error(err)
			}
		})
	}
	// A new directory of the archive lies on a disk without room.
	name := "000000010000000100000001"
	dir := in.stored(name[:16])
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	mount(dir)
	in.write("pg_wal/"+name, segment(t, name, 1))
	if said := in.must(ExitFailed, "archive", "pg_wal/"+name); !strings.Contains(said, "no space left") {
		t.Error(said)
	}
	if left, _ := filepath.Glob(dir + "/.*"); len(left) > 0 {
		t.Errorf("left over: %v", left)
	}
	if left, _ := filepath.Glob(dir + "/*"); len(left) > 0 {
		t.Errorf("visible: %v", left)
	}
	mount(filepath.Join(in.data, "pg_wal"))
	if said := in.must(ExitUnclear, "restore", "--retries", "0", seg1, "pg_wal/RECOVERYXLOG"); !strings.Contains(said, "no space left") {
		t.Error(said)
	}
	if left, _ := filepath.Glob("pg_wal/*"); len(left) > 0 {
		t.Errorf("restore left %v", left)
	}
}
