package take

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"pg_manage/executor/repo/catalog"
	"pg_manage/schema/postgres"
)

func TestColdBackup(t *testing.T) {
	s := newPG(t).primary()
	s.sql("CREATE TABLE t (n int); INSERT INTO t SELECT generate_series(1, 1000); CREATE UNLOGGED TABLE u (n int); INSERT INTO u VALUES (1)")
	o, _ := s.options()
	o.Cold = true
	if err := s.mustFail(t.Context(), o, "the server is running"); !errors.Is(err, errRunning) {
		t.Error(err)
	}
	s.stop()
	info := s.mustTake(o)
	if !info.Cold || info.WAL != catalog.WALIncluded || info.PostgreSQL == "" || info.StartLSN == 0 || info.StopLSN < info.StartLSN || info.Timeline != 1 {
		t.Errorf("got %+v", info)
	}
	r := s.restore(o, info, "restored")
	r.configure("restore_command = ''")
	r.start()
	if n := r.sql("SELECT (SELECT count(*) FROM t), (SELECT count(*) FROM u)"); n != "1000|1" {
		t.Errorf("the restored server has %s rows", n)
	}
	log, err := os.ReadFile(r.log())
	if err != nil || !strings.Contains(string(log), "database system was shut down at") {
		t.Errorf("the restored server had to recover: %v\n%s", err, log)
	}

	// A start during the copy makes it useless, even when the server is stopped again.
	o, events := s.options()
	o.Cold = true
	err = s.during(t.Context(), o, events, func() { s.start(); s.stop() })
	if err == nil || !strings.Contains(err.Error(), "the server was started during the cold backup") {
		t.Errorf("got %v", err)
	}
	if l := s.listed(o); len(l) != 1 {
		t.Errorf("listed are %v", l)
	}

	s.start()
	s.run(s.bin+"/pg_ctl", "-D", s.data, "-w", "-m", "immediate", "stop")
	s.mustFail(t.Context(), o, "was not shut down properly")
	o.SystemIdentifier = "1"
	s.mustFail(t.Context(), o, "this is another cluster's data")
}

func TestWithoutArchiveTheBackupHasItsWAL(t *testing.T) {
	s := newPG(t).primary("archive_mode = off", "max_wal_size = 2MB", "min_wal_size = 2MB")
	s.sql("CREATE TABLE t (n int); INSERT INTO t SELECT generate_series(1, 1000)")
	o, events := s.options()
	o.Archive = nil
	var info *catalog.Info
	err := s.during(t.Context(), o, events, func() {
		// More than the server would keep.
		for range 6 {
			s.sql("INSERT INTO t SELECT generate_series(1, 10000); SELECT pg_switch_wal(); CHECKPOINT")
		}
		if n := s.sql("SELECT count(*) FROM pg_replication_slots WHERE temporary"); n != "1" {
			t.Errorf("%s temporary slots", n)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	all, err := o.Catalog.List(t.Context())
	if err != nil || len(all) != 1 {
		t.Fatal(all, err)
	}
	info = &all[0].Info
	if info.WAL != catalog.WALIncluded || info.StopLSN-info.StartLSN < 6<<20 {
		t.Errorf("got %+v", info)
	}
	if n := s.sql("SELECT count(*) FROM pg_replication_slots"); n != "0" {
		t.Errorf("%s slots are left", n)
	}
	r := s.restore(o, info, "restored")
	r.configure("restore_command = ''")
	r.start()
	if n := r.sql("SELECT count(*) >= 1000 FROM t"); n != "t" {
		t.Error("rows are missing")
	}
}

func TestWALThatIsNotKeptIsTold(t *testing.T) {
	s := newPG(t).primary("archive_mode = off", "max_slot_wal_keep_size = 2MB", "max_wal_size = 2MB", "min_wal_size = 2MB")
	s.sql("CREATE TABLE t (n int)")
	o, events := s.options()
	o.Archive = nil
	err := s.during(t.Context(), o, events, func() {
		for range 8 {
			s.sql("INSERT INTO t SELECT generate_series(1, 10000); SELECT pg_switch_wal(); CHECKPOINT")
		}
	})
	if err == nil || !strings.Contains(err.Error(), "the session that holds the server in backup mode was lost (the server's log says why)") {
		t.Errorf("got %v", err)
	}
	s.unlisted(o)
}

func TestStandbyIsBackedUpWhileItsPrimaryIsIdle(t *testing.T) {
	s := newPG(t).primary("archive_timeout = 0", "autovacuum = off")
	s.sql("CREATE TABLE t (n int); INSERT INTO t SELECT generate_series(1, 1000)")
	b := s.standby("standby")
	b.await("SELECT pg_last_wal_replay_lsn() >= '"+s.sql("SELECT pg_current_wal_lsn()")+"'", "t")
	o, _ := b.options()
	var asked postgres.LSN
	o.SwitchWAL = func(_ context.Context, upTo postgres.LSN) error {
		asked = upTo
		_, err := s.trySQL("SELECT pg_switch_wal()")
		return err
	}
	info := b.mustTake(o)
	if !info.FromStandby || info.Timeline != 1 || asked != info.StopLSN && asked != 0 {
		t.Errorf("asked for %s, got %+v", asked, info)
	}
	r := b.restore(o, info, "restored")
	if err := os.Remove(r.data + "/standby.signal"); err != nil {
		t.Error(err)
	}
	r.write(r.data+"/recovery.signal", "")
	r.start()
	if n := r.sql("SELECT count(*) FROM t"); n != "1000" {
		t.Errorf("the restored server has %s rows of 1000", n)
	}

	// With nobody to end the segment the time-out says what can be done.
	o, events := b.options()
	o.ArchiveTimeout = 2 * time.Second
	s.sql("INSERT INTO t VALUES (1); CHECKPOINT")
	b.await("SELECT pg_last_wal_replay_lsn() >= '"+s.sql("SELECT pg_current_wal_lsn()")+"'", "t")
	b.mustFail(t.Context(), o, "the primary archives it, once its segment is full")
	if !strings.Contains(events.notices(), "SELECT pg_switch_wal()") {
		t.Errorf("notices: %s", events.notices())
	}

	// A promotion in the middle of it.
	o, events = b.options()
	err := b.during(t.Context(), o, events, func() { b.run(b.bin+"/pg_ctl", "-D", b.data, "-w", "promote") })
	if !errors.Is(err, errPromoted) {
		t.Errorf("got %v", err)
	}
	if l := b.listed(o); len(l) != 1 {
		t.Errorf("listed are %v", l)
	}

	// The new primary, on timeline 2, whose history must be in the archive.
	b.configure("archive_mode = on", "archive_command = '"+b.archiveCommand()+"'")
	b.stop()
	b.start()
	o, _ = b.options()
	if info := b.mustTake(o); info.Timeline != 2 || info.FromStandby {
		t.Errorf("got %+v", info)
	}
	if _, err := os.Stat(b.archive + "/00000002.history"); err != nil {
		t.Error(err)
	}
}
