package take

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"pg_manage/executor/repo/catalog"
	"pg_manage/schema/postgres"
)

const lostSession = "the session that holds the server in backup mode"

// postmaster is a server that is a child of the test, so that nothing is left of it after
// a kill -9: who else would reap it depends on the machine.
type postmaster struct {
	process *os.Process
	ended   chan struct{}
}

// launch starts the server as a child of the test.
func (s *server) launch() *postmaster {
	s.t.Helper()
	var p *postmaster
	waitFor(s.t, "the server runs", func() bool {
		if p == nil || p.isOver() { // the last processes of a killed one hold its memory for a while
			cmd := s.command(s.bin+"/postgres", "-D", s.data)
			if err := cmd.Start(); err != nil {
				s.t.Fatal(err)
			}
			started := &postmaster{cmd.Process, make(chan struct{})}
			go func() {
				defer close(started.ended)
				cmd.Wait() //nolint:errcheck // killed
			}()
			p = started
		}
		_, err := s.trySQL("SELECT 1")
		return err == nil
	})
	s.t.Cleanup(p.crash)
	return p
}

func (p *postmaster) isOver() bool {
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}

// crash ends it with kill -9.
func (p *postmaster) crash() {
	p.process.Kill() //nolint:errcheck // it may have ended
	<-p.ended
}

// restart ends the server in a mode of pg_ctl and starts it again.
func (s *server) restart(mode string) {
	s.t.Helper()
	s.run(s.bin+"/pg_ctl", "-D", s.data, "-w", "-m", mode, "stop")
	s.start()
}

// TestServerThatComesBackEndsTheBackup has the server die in several ways in the middle of
// a copy, and run again before its end: what was copied is of no use then.
func TestServerThatComesBackEndsTheBackup(t *testing.T) {
	s := newPG(t).primary()
	ends := func(name string, die func()) {
		t.Helper()
		o, events := s.options()
		if err := s.during(t.Context(), o, events, die); err == nil || !strings.Contains(err.Error(), lostSession) {
			t.Errorf("%s: got %v", name, err)
		}
		s.unlisted(o)
	}
	ends("restart", func() { s.restart("fast") })
	ends("immediate restart", func() { s.restart("immediate") })
	s.stop()
	p := s.launch()
	ends("kill -9 of another process", func() {
		s.run("/bin/kill", "-9", s.sql("SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'"))
		s.await("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pg_manage backup'", "0")
	})
	ends("kill -9 of the postmaster", func() {
		p.crash()
		s.launch()
	})
	o, _ := s.options()
	s.mustTake(o)
}

// TestStandbyThatIsRestartedEndsTheBackup also has the primary restart, which is nothing to
// the backup of its standby.
func TestStandbyThatIsRestartedEndsTheBackup(t *testing.T) {
	s := newPG(t).primary("archive_timeout = 1")
	b := s.standby("standby")
	o, events := b.options()
	if err := b.during(t.Context(), o, events, func() { b.restart("fast") }); err == nil || !strings.Contains(err.Error(), lostSession) {
		t.Errorf("got %v", err)
	}
	b.unlisted(o)

	o, events = b.options()
	o.SwitchWAL = func(context.Context, postgres.LSN) error { _, err := s.trySQL("SELECT pg_switch_wal()"); return err }
	if err := b.during(t.Context(), o, events, func() { s.restart("immediate") }); err != nil {
		t.Errorf("the primary was restarted: %v", err)
	}
	if l := b.listed(o); len(l) != 1 {
		t.Errorf("listed are %v", l)
	}
}

// TestServerThatDiesBehindTheCopyIsWaitedFor has it die when nothing is missing but WAL,
// which it archives once it runs again.
func TestServerThatDiesBehindTheCopyIsWaitedFor(t *testing.T) {
	p := newPG(t)
	open := filepath.Join(p.root, "open")
	s := p.primary("archive_command = 'test -e " + open + " && { " + p.archiveCommand() + "; }'")
	s.sql("CREATE TABLE t (n int); INSERT INTO t SELECT generate_series(1, 1000)")
	o, _ := s.options()
	waits := &waited{Archive: o.Archive, reached: make(chan struct{})}
	o.Archive = waits
	s.stop()
	server := s.launch()
	done := make(chan error, 1)
	go func() {
		_, err := Take(t.Context(), o)
		done <- err
	}()
	select {
	case err := <-done:
		t.Fatalf("it ended without its WAL: %v", err)
	case <-waits.reached:
	}
	server.crash()
	if l := s.listed(o); len(l) > 0 {
		t.Errorf("%v is listed without its WAL", l)
	}
	s.write(open, "")
	s.launch()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	o.Archive = waits.Archive
	all, err := o.Catalog.List(t.Context())
	if err != nil || len(all) != 1 {
		t.Fatalf("%+v, %v", all, err)
	}
	r := s.restore(o, &all[0].Info, "restored")
	r.write(r.data+"/recovery.signal", "")
	r.start()
	if n := r.sql("SELECT count(*) FROM t"); n != "1000" {
		t.Errorf("the restored server has %s rows of 1000", n)
	}
}

// waited tells when the archive is asked for the WAL of the backup, behind the copy.
type waited struct {
	Archive
	mu      sync.Mutex
	asked   int
	reached chan struct{}
}

func (a *waited) Has(ctx context.Context, name string) (bool, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.asked++; a.asked == 2 { // the first is the look before the copy
		close(a.reached)
	}
	return a.Archive.Has(ctx, name)
}

// TestFullDiskOfTheNodeEndsAnIncrementalBackup has no room in the state directory for the
// index of the parent.
func TestFullDiskOfTheNodeEndsAnIncrementalBackup(t *testing.T) {
	s := newPG(t).primary()
	o, events := s.options()
	o.StateDir = filepath.Join(s.root, "small")
	s.mkdir(o.StateDir)
	if err := unix.Mount("tmpfs", o.StateDir, "tmpfs", 0, "size=256k,mode=0777"); err != nil {
		t.Fatalf("a small file system needs root: %v", err)
	}
	t.Cleanup(func() { unix.Unmount(o.StateDir, unix.MNT_DETACH) }) //nolint:errcheck // goes with the directory
	s.sql("CREATE TABLE t AS SELECT generate_series(1, 1000) n")
	full := s.mustTake(o)
	hog := filepath.Join(o.StateDir, "hog")
	f, err := os.Create(hog)
	if err != nil {
		t.Fatal(err)
	}
	for n := 0; err == nil; n++ {
		_, err = f.Write(make([]byte, 4096))
	}
	if cerr := f.Close(); !errors.Is(err, unix.ENOSPC) || cerr != nil {
		t.Fatal(err, cerr)
	}
	o.Parent = full.Label
	err = s.mustFail(t.Context(), o, "no space left on device")
	if err == nil || !strings.Contains(err.Error(), o.StateDir) {
		t.Errorf("where the space is missing is not said: %v", err)
	}
	// Where any backup will do, a full one is better than none.
	o.Parent, o.Incremental = "", true
	if second := s.mustTake(o); second.Kind != catalog.Full || !strings.Contains(events.notices(), "no space left on device") {
		t.Errorf("got %+v, and it said %s", second, events.notices())
	}
	if err := os.Remove(hog); err != nil {
		t.Fatal(err)
	}
	o.Parent = full.Label
	if info := s.mustTake(o); info.Parent != full.Label {
		t.Errorf("got %+v", info)
	}
}
