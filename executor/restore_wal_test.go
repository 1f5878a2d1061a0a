package executor_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pg_manage/planner"
	"pg_manage/schema"
)

// TestARestoreKeepsWALOnItsDisk: pg_wal of both nodes is a link. The restored one, and the standby
// that is built from it, have theirs beside, and the old data has all of its own.
func TestARestoreKeepsWALOnItsDisk(t *testing.T) {
	w := newWorld(t, "n1", "n2")
	w.build()
	w.nas()
	w.declare(strings.ReplaceAll(backedUp, "prefer-standby", "primary"), "n1", "n2")
	w.apply()
	w.settled()
	disk := w.dir + "/disk"
	if err := os.Mkdir(disk, 0o700); err != nil {
		t.Fatal(err)
	}
	w.own(disk)
	for _, n := range []string{"n2", "n1"} {
		w.asOwner(w.program("pg_ctl"), "-D", w.data(n), "-w", "-m", "fast", "stop")
		w.asOwner("mv", w.data(n)+"/pg_wal", disk+"/"+n)
		w.asOwner("ln", "-s", disk+"/"+n, w.data(n)+"/pg_wal")
	}
	w.apply() // which starts them
	w.settled()
	w.sql("n1", "CREATE TABLE after_backup ()")
	c := w.cfg.Clusters[0]
	w.restore = &planner.RestoreRequest{
		Cluster: w.name,
		Want:    schema.Restore{Target: c.Backups[0].Target, Cluster: w.name, Backup: w.labels()[0], Timeline: "current", RecoveryTarget: schema.RecoveryTarget{Immediate: true, Inclusive: true}},
	}
	w.apply()
	w.restore = nil
	w.settled()
	for n, how := range map[string]string{"n1": "restored", "n2": "rebuilt"} {
		to, err := os.Readlink(w.data(n) + "/pg_wal")
		if err != nil || !strings.HasPrefix(to, disk+"/"+n+"."+how+"-") {
			t.Errorf("%s: pg_wal leads to %q: %v", n, to, err)
		}
		if in, _ := filepath.Glob(to + "/0000000*"); len(in) == 0 {
			t.Errorf("%s: there is no WAL in %s", n, to)
		}
		old, _ := filepath.Glob(w.data(n) + ".old-*/pg_wal")
		if len(old) != 1 {
			t.Fatalf("%s: the old data is at %v", n, old)
		}
		if to, err := os.Readlink(old[0]); err != nil || to != disk+"/"+n {
			t.Errorf("%s: the old pg_wal leads to %q: %v", n, to, err)
		}
		if in, _ := filepath.Glob(old[0] + "/0000000*"); len(in) == 0 {
			t.Errorf("%s: the old WAL is gone", n)
		}
		if got := w.sql(n, "SELECT count(*) FROM pg_class WHERE relname = 'after_backup'"); got != "0" {
			t.Errorf("%s is not as it was when the backup was taken", n)
		}
	}
}
