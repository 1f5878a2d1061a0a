package executor_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestACopyIsNotSteeredByWhatItsSourceWasToldByHand: a cluster whose WAL goes elsewhere by
// settings of its own files is copied. The copy must neither archive there nor clean up
// there while it recovers, and must end its recovery where it is told to.
func TestACopyIsNotSteeredByWhatItsSourceWasToldByHand(t *testing.T) {
	w := newWorld(t, "n1", "n2")
	w.build()
	w.nas()
	foreign := w.dir + "/foreign"
	if err := os.Mkdir(foreign, 0o700); err != nil {
		t.Fatal(err)
	}
	w.own(foreign)
	const backups = "backup \"nightly\" {\n target = \"nas\"\n max_age = \"24h\"\n}"
	w.declare("", "n1")
	w.apply()
	conf := w.data("n1") + "/postgresql.conf"
	text, err := os.ReadFile(conf)
	if err != nil {
		t.Fatal(err)
	}
	own := "archive_mode = on\narchive_command = 'cp %p " + foreign + "/%f'\narchive_cleanup_command = 'touch " + foreign + "/cleaned'\nrecovery_min_apply_delay = '1d'\nrecovery_target_inclusive = off\n"
	if err := os.WriteFile(conf, append([]byte(own), text...), 0o600); err != nil {
		t.Fatal(err)
	}
	w.asOwner(w.program("pg_ctl"), "-D", w.data("n1"), "-w", "-l", "/dev/null", "restart")
	w.declare(backups, "n1")
	w.apply()
	w.settled()
	if got := w.sql("n1", "SHOW archive_mode"); got != "on" {
		t.Fatalf("archive_mode of the source is %s", got)
	}
	source := w.name
	w.name += "copy"
	defer os.RemoveAll(w.home() + "/.pg_manage/" + w.name)
	w.declare("bootstrap {\n restore {\n  target = \"nas\"\n  cluster = \""+source+"\"\n }\n}", "n2")
	w.apply()
	w.settled()
	w.sql("n2", "CREATE TABLE t AS SELECT generate_series(1, 1000)")
	w.sql("n2", "SELECT pg_switch_wal()")
	if got := w.sql("n2", "SELECT setting, sourcefile FROM pg_settings WHERE name = 'archive_mode'"); !strings.HasPrefix(got, "off|") {
		t.Errorf("the copy archives as its source does: archive_mode is %s", got)
	}
	for _, name := range []string{"00000002*", "cleaned"} {
		if there, _ := filepath.Glob(foreign + "/" + name); len(there) > 0 {
			t.Errorf("the copy wrote into the archive of its source: %v", there)
		}
	}
}
