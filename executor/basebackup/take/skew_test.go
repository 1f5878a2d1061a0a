package take

import (
	"testing"
	"time"

	"pg_manage/executor/basebackup/restore"
	"pg_manage/executor/repo/catalog"
)

// TestAnOlderServerBuildsUponAYoungerParent takes an incremental backup of a standby that lags
// behind the parent, with a clock that does too. Blocks are compared, so that all is well.
func TestAnOlderServerBuildsUponAYoungerParent(t *testing.T) {
	s := newPG(t).primary("autovacuum = off")
	s.sql("CREATE TABLE t (n int); INSERT INTO t SELECT generate_series(1, 10000)")
	b := s.standby("standby")
	b.await("SELECT pg_last_wal_replay_lsn() >= '"+s.sql("SELECT pg_current_wal_lsn()")+"'", "t")
	b.sql("SELECT pg_wal_replay_pause()")
	b.await("SELECT pg_get_wal_replay_pause_state()", "paused")
	s.sql("INSERT INTO t SELECT generate_series(10001, 20000); CHECKPOINT")
	o, _ := s.options()
	full := s.mustTake(o)

	o, _ = b.options()
	o.Node, o.Incremental = "node2", true
	o.Now = func() time.Time { return time.Now().Add(-time.Hour) }
	info := b.mustTake(o)
	if info.Parent != full.Label || info.StartLSN >= full.StartLSN || !info.StartTime.Before(full.StartTime) {
		t.Errorf("%+v, parent %+v", info, full)
	}
	r := &server{s.pg, s.root + "/restored", s.port + 10}
	if _, err := restore.Restore(t.Context(), restore.Options{Catalog: o.Catalog, Label: info.Label, DataDir: r.data, TempDir: t.TempDir()}); err != nil {
		t.Fatal(err)
	}
	s.ownAll(r.data)
	r.run(r.bin+"/pg_verifybackup", "-n", r.data)
	r.configure("archive_mode = off", "primary_conninfo = ''", "restore_command = 'cp "+s.archive+"/$(echo %f | cut -c 1-16)/%f %p || cp "+s.archive+"/%f %p'")
	r.run("mv", r.data+"/standby.signal", r.data+"/recovery.signal")
	s.sql("SELECT pg_switch_wal()")
	r.start()
	if n := r.sql("SELECT count(*) FROM t WHERE n <= 10000"); n != "10000" {
		t.Errorf("the restored server has %s rows of 10000", n)
	}
	if all, err := o.Catalog.List(t.Context()); err != nil || len(all) != 2 || all[0].Kind != catalog.Incremental || all[0].Broken != "" {
		t.Errorf("%+v, %v", all, err)
	}
}
