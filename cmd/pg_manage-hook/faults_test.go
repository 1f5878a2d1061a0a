package main

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"pg_manage/executor/repo"
	"pg_manage/executor/wal"
)

// TestADamagedFileIsNeverPlaced: neither when it was fetched ahead nor when it was not.
func TestADamagedFileIsNeverPlaced(t *testing.T) {
	n := newNode(t)
	for i := 1; i <= 6; i++ {
		n.must(0, "archive", n.segment(i))
	}
	for i, damage := range map[int]func(b []byte) []byte{
		3: func(b []byte) []byte { return b[:len(b)/2] },
		5: func(b []byte) []byte { b[len(b)/2] ^= 1; return b },
	} {
		file := filepath.Join(n.target, "pg_archlog/main", seg(i)[:16], seg(i)+".zst")
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, damage(b), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	n.end() // nothing is remembered
	damaged := func(i, want int) {
		t.Helper()
		if err := os.Remove(n.data + "/pg_wal/R"); err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		n.must(want, "restore", "--retries", "0", seg(i), "pg_wal/R")
		if left, _ := filepath.Glob(n.data + "/pg_wal/[Rx]*"); len(left) > 0 {
			t.Errorf("left %v", left)
		}
	}
	damaged(3, 200)
	n.restored(1)
	n.restored(2)
	if err := os.Remove(n.data + "/pg_wal/RECOVERYXLOG"); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		damaged(3, 200)
	}
	n.write("standby.signal", nil)
	damaged(3, 2)
	n.restored(4)
	if err := os.Remove(n.data + "/pg_wal/RECOVERYXLOG"); err != nil {
		t.Fatal(err)
	}
	damaged(5, 2)
	n.restored(6)
	n.must(1, "restore", seg(7), "pg_wal/R")
}

// TestAQueueWithoutRoomIsAFailure: what cannot wait for a target that is away is not
// acknowledged, and goes on once there is room.
func TestAQueueWithoutRoomIsAFailure(t *testing.T) {
	if os.Getuid() != 0 {
		return // root alone can make a small disk
	}
	n := newNode(t)
	queue := filepath.Dir(n.config) + "/queue/cloud"
	if err := os.MkdirAll(queue, 0o700); err != nil {
		t.Fatal(err)
	}
	mount(t, queue, "size=200k")
	n.configure(func(c *wal.Config) {
		c.Targets = append(c.Targets, repo.Target{Name: "cloud", Scheme: "file", Path: n.root + "/cloud", ArchiveDir: "a"})
	})
	full, said := 0, ""
	for i := 1; i < 6 && full == 0; i++ {
		var status int
		if status, said = n.call("archive", n.segment(i)); status != 0 {
			full = i
		}
	}
	if full < 2 || !strings.Contains(said, "queue") || !strings.Contains(said, "no space") {
		t.Fatalf("the queue was full at %d: %s", full, said)
	}
	n.must(1, "archive", "pg_wal/"+seg(full))
	n.must(0, "init") // the second target is there now
	waitFor(t, func() bool { status, _ := n.call("archive", "pg_wal/"+seg(full)); return status == 0 })
	waitFor(t, func() bool {
		got, _ := filepath.Glob(n.root + "/cloud/a/main/*/*.zst")
		return len(got) == full
	})
	n.end()
}

// TestWhatWasFetchedForAnotherClusterIsNotGiven: one that was restored into the place of
// the data directory, while the archiver of the old one was still there. PostgreSQL takes
// WAL of another cluster for the end of its own, and would open the database there.
func TestWhatWasFetchedForAnotherClusterIsNotGiven(t *testing.T) {
	n := newNode(t)
	for i := range 3 {
		n.must(0, "archive", n.segment(i+1))
	}
	pid := n.serving()
	n.restored(1)
	waitFor(t, func() bool {
		_, err := os.Stat(filepath.Join(filepath.Dir(n.config), "spool", strconv.Itoa(pid), seg(2)))
		return err == nil
	})
	control := make([]byte, 512)
	binary.LittleEndian.PutUint64(control, system+1)
	binary.LittleEndian.PutUint32(control[8:], 1700)
	n.write("global/pg_control", control)
	n.must(200, "restore", "--retries", "0", seg(2), "pg_wal/RECOVERYXLOG")
	if got := n.archiver(); got != pid {
		t.Errorf("the archiver is another: %d, not %d", got, pid)
	}
}
