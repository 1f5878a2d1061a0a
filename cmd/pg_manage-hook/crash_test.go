package main

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"pg_manage/executor/repo"
	"pg_manage/executor/wal"
	"pg_manage/executor/wal/call/patient"
)

// TestKilledAtAnyMoment: archivers and hooks are killed while three hooks archive and
// one restores. Whatever was acknowledged is there, and nothing else was ever seen.
func TestKilledAtAnyMoment(t *testing.T) {
	const files = 45
	n := newNode(t)
	n.configure(func(c *wal.Config) {
		c.Targets = append(c.Targets, repo.Target{Name: "cloud", Scheme: "file", Path: n.root + "/cloud", ArchiveDir: "pg_archlog"})
	})
	n.must(0, "init")
	for i := range files {
		n.segment(i + 1)
	}
	stop := make(chan struct{})
	var killer, all sync.WaitGroup
	kills := 0
	killer.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(time.Duration(rand.IntN(120)) * time.Millisecond): // at any moment is the point
			}
			for _, pid := range n.processes() {
				if syscall.Kill(pid, syscall.SIGKILL) == nil {
					kills++
				}
			}
		}
	})
	for w := range 3 {
		all.Go(func() {
			for i := w + 1; i <= files; i += 3 {
				for try := 0; ; try++ {
					cmd := n.command("archive", "pg_wal/"+seg(i))
					if err := cmd.Start(); err != nil {
						t.Error(err)
						return
					}
					var dead *time.Timer
					if try < 2 && rand.IntN(3) == 0 {
						dead = time.AfterFunc(time.Duration(rand.IntN(40))*time.Millisecond, func() { cmd.Process.Kill() }) //nolint:errcheck // it may have ended
					}
					status := statusOf(t, cmd.Wait())
					if dead != nil {
						dead.Stop()
					}
					if got, err := n.stored(i); err == nil && !bytes.Equal(got, content(i)) || err != nil && !os.IsNotExist(err) {
						t.Errorf("%s is seen as %d bytes, %v", seg(i), len(got), err)
					}
					if status == 0 {
						n.safe(i)
						break
					}
					if try > 100 {
						t.Errorf("%s is not stored after %d tries", seg(i), try)
						return
					}
				}
			}
		})
	}
	all.Go(func() {
		for i := 1; i <= files; i++ {
			for { // until it is archived
				status, said := n.call("restore", "--retries", "0", seg(i), "pg_wal/RECOVERYXLOG")
				if status == 0 {
					break
				}
				if _, err := n.stored(i); status != 1 && status != 200 {
					t.Errorf("%s: %d: %s, %v", seg(i), status, said, err)
					return
				}
			}
			got, err := os.ReadFile(n.data + "/pg_wal/RECOVERYXLOG")
			if err != nil || !bytes.Equal(got, content(i)) {
				t.Errorf("%s came back as %d other bytes, %v", seg(i), len(got), err)
			}
		}
	})
	all.Wait()
	close(stop)
	killer.Wait()
	if kills < 3 {
		t.Errorf("only %d archivers were killed", kills)
	}
	t.Logf("%d archivers were killed", kills)
	// The queue has lost nothing either.
	n.must(0, "archive", "pg_wal/"+seg(1))
	waitFor(t, func() bool {
		got, _ := filepath.Glob(n.root + "/cloud/pg_archlog/main/*/*.zst")
		return len(got) == files && !strings.Contains(n.must(0, "status", "--local"), `"queued":1`)
	})
	for i := 1; i <= files; i++ {
		for _, target := range []string{n.target, n.root + "/cloud"} {
			if got, err := n.storedAt(target, i); err != nil || !bytes.Equal(got, content(i)) {
				t.Errorf("%s: %s has %d other bytes, %v", seg(i), target, len(got), err)
			}
		}
	}
}

// TestAHungArchiverHoldsNobody: a call does the work alone once it has lost patience,
// and what the archiver does when it comes back to life harms nothing.
func TestAHungArchiverHoldsNobody(t *testing.T) {
	n := newNode(t)
	for i := range 4 {
		n.must(0, "archive", n.segment(i+1))
	}
	n.serving()
	pid := n.kill(syscall.SIGSTOP)
	if pid == 0 {
		t.Fatal("no archiver runs")
	}
	var all sync.WaitGroup
	all.Go(func() {
		if status, said := n.call("archive", n.segment(5)); status != 0 {
			t.Errorf("archive: %d: %s", status, said)
		}
	})
	n.restored(1)
	all.Wait()
	n.safe(5)
	if err := os.WriteFile(n.data+"/pg_wal/RECOVERYXLOG", []byte("of another call"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool { return n.archiver() == pid })
	n.must(0, "archive", n.segment(6))
	n.safe(6)
	waitFor(t, func() bool { left, _ := filepath.Glob(n.data + "/pg_wal/xlogtemp*"); return len(left) == 0 })
	if b, err := os.ReadFile(n.data + "/pg_wal/RECOVERYXLOG"); err != nil || string(b) != "of another call" {
		t.Errorf("what PostgreSQL reads became %d bytes, %v", len(b), err)
	}
}

// TestAnArchiverThatIsToldToEndSendsItsCallersOn: PostgreSQL would stop on a restore
// that failed for that.
func TestAnArchiverThatIsToldToEndSendsItsCallersOn(t *testing.T) {
	n := newNode(t)
	n.must(0, "archive", n.segment(1))
	pid := n.serving()
	waiting := n.command("restore", "--wait", "0", "--poll-interval", "1", seg(2), "pg_wal/RECOVERYXLOG")
	var out bytes.Buffer
	waiting.Stderr = &out
	if err := waiting.Start(); err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool { st, _ := n.status(); return st.Goroutines > 0 && busyCalls(n, waiting.Process.Pid) })
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool { p := n.archiver(); return p != 0 && p != pid })
	n.must(0, "archive", n.segment(2))
	if err := waiting.Wait(); err != nil {
		t.Errorf("%v: %s", err, out.String())
	}
	got, err := os.ReadFile(n.data + "/pg_wal/RECOVERYXLOG")
	if err != nil || !bytes.Equal(got, content(2)) {
		t.Errorf("%d other bytes, %v", len(got), err)
	}
}

// busyCalls says whether a hook has connected to its archiver.
func busyCalls(n *node, hook int) bool {
	fds, err := filepath.Glob("/proc/" + strconv.Itoa(hook) + "/fd/*")
	if err != nil {
		n.t.Fatal(err)
	}
	for _, fd := range fds {
		if to, err := os.Readlink(fd); err == nil && strings.HasPrefix(to, "socket:") {
			return true
		}
	}
	return false
}

// TestTenThousandSegmentsThroughOneArchiver: neither descriptors nor goroutines nor
// memory grow.
func TestTenThousandSegmentsThroughOneArchiver(t *testing.T) {
	const files = 10_000
	n := newNode(t)
	t.Chdir(n.data)
	o := patient.Options{Full: []string{programs + "/pg_manage", "hook"}, Alone: func() int { t.Error("it was done alone"); return 99 }}
	sparse := func(i int) {
		head := content(i)[:4096]
		n.write("pg_wal/"+seg(i), head)
		if err := os.Truncate("pg_wal/"+seg(i), segSize); err != nil {
			t.Fatal(err)
		}
		n.write("pg_wal/archive_status/"+seg(i)+".ready", nil)
	}
	const ahead = 40
	for i := 1; i <= ahead; i++ {
		sparse(i)
	}
	n.must(0, "archive", "pg_wal/"+seg(1)) // alone, and the archiver is there for all of them
	n.serving()
	var early wal.ArchiverStatus
	var fds, pid int
	for i := 1; i <= files; i++ {
		sparse(i + ahead)
		o.Args = []string{"--config", n.config, "archive", "pg_wal/" + seg(i)}
		if status := patient.Run(o); status != 0 {
			t.Fatalf("%s: %d", seg(i), status)
		}
		for _, f := range []string{"pg_wal/archive_status/" + seg(i) + ".ready", "pg_wal/" + seg(i)} {
			if err := os.Remove(f); err != nil {
				t.Fatal(err)
			}
		}
		if i == 500 {
			early, _ = n.status()
			pid, fds = early.PID, openFiles(t, early.PID)
			t.Logf("after %d: %d goroutines, %d descriptors, %s", i, early.Goroutines, fds, highWater(t, pid))
		}
	}
	waitFor(t, func() bool { // what it works on ahead
		kept, err := filepath.Glob(n.target + "/pg_archlog/main/*/*.zst")
		return err == nil && len(kept) == files+ahead
	})
	late, _ := n.status()
	t.Logf("after %d: %d goroutines, %d descriptors, %s", files, late.Goroutines, openFiles(t, pid), highWater(t, pid))
	if late.PID != pid || late.Stored < files {
		t.Errorf("then %+v, now %+v", early, late)
	}
	waitFor(t, func() bool { // the last of it ends; what leaked stays
		now, _ := n.status()
		return now.Goroutines <= early.Goroutines+8 && openFiles(t, pid) <= fds+8
	})
}

func openFiles(t *testing.T, pid int) int {
	t.Helper()
	fds, err := os.ReadDir("/proc/" + strconv.Itoa(pid) + "/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(fds)
}

func highWater(t *testing.T, pid int) string {
	t.Helper()
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "VmHWM:") {
			return strings.Join(strings.Fields(line), " ")
		}
	}
	t.Fatal("no VmHWM")
	return ""
}
