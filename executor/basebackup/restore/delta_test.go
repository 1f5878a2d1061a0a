package restore

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"pg_manage/executor/basebackup/backuptest"
	"pg_manage/executor/repo"
)

// The content of a directory that a delta must leave alone, or must not.
func TestADeltaTakesAwayWhatIsPostgreSQLsAndNothingElse(t *testing.T) {
	w := newWorld(t, repo.Target{Name: "here"})
	full := w.target.Take(t, w.source, 0, "")
	o := w.options(full.Label, "a")
	w.restore(o)
	dir, space := o.DataDir, filepath.Join(w.dir, "a-space")
	outside := filepath.Join(w.dir, "outside")
	backuptest.Write(t, outside, "precious", []byte("theirs"))

	gone := []string{"base/5/9999", "base/9/1", "global/9", "pg_replslot/x/state", "recovery.signal", "backup_label", "pg_manage.restored", "pg_wal/archive_status/x.ready", "pg_wal/000000010000000000000003", "pg_stat/x"}
	for _, name := range gone {
		backuptest.Write(t, dir, name, []byte("old"))
	}
	backuptest.Write(t, dir, "pg_wal/archive_status/000000010000000000000003.done", nil)
	backuptest.Write(t, space, backuptest.Version+"/5/9", []byte("old"))
	stay := map[string]string{"log/server.log": "log", "server.key": "key", "pg_hba.local": "x"}
	for name, text := range stay {
		backuptest.Write(t, dir, name, []byte(text))
	}
	backuptest.Write(t, space, "PG_14_202107181/5/1", []byte("another version"))
	backuptest.Write(t, dir, "postgresql.conf", []byte("mine"))
	backuptest.Write(t, dir, "pg_wal/000000010000000000000004", []byte("not archived"))
	backuptest.Write(t, dir, "pg_wal/00000002.history", []byte("history"))
	// Links where PostgreSQL has files and directories lead out.
	for _, name := range []string{"base/5/1005", "pg_xact", "base/5/big"} {
		if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
		to := outside
		if name != "pg_xact" {
			to = filepath.Join(outside, "precious")
		}
		if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	o.Delta, o.KeepFiles = true, []string{"postgresql.conf"}
	r := w.restore(o)

	for _, name := range gone {
		if _, err := os.Lstat(filepath.Join(dir, name)); err == nil {
			t.Errorf("%s is still there", name)
		}
	}
	if _, err := os.Lstat(filepath.Join(space, backuptest.Version, "5/9")); err == nil {
		t.Error("a file of the tablespace is still there")
	}
	stay["postgresql.conf"] = "mine"
	for name, text := range stay {
		if b, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(b) != text {
			t.Errorf("%s: %q, %v", name, b, err)
		}
	}
	if _, err := os.Stat(filepath.Join(space, "PG_14_202107181/5/1")); err != nil {
		t.Error(err)
	}
	if entries, err := os.ReadDir(outside); err != nil || len(entries) != 1 {
		t.Errorf("outside: %v, %v", entries, err)
	}
	if b, err := os.ReadFile(filepath.Join(outside, "precious")); err != nil || string(b) != "theirs" {
		t.Errorf("outside: %q, %v", b, err)
	}
	if b, err := os.ReadFile(filepath.Join(r.OldWAL, "000000010000000000000004")); err != nil || string(b) != "not archived" || !strings.HasPrefix(r.OldWAL, dir+".old-wal-") {
		t.Errorf("%s: %q, %v", r.OldWAL, b, err)
	}
	if _, err := os.Stat(filepath.Join(r.OldWAL, "000000010000000000000003")); err == nil {
		t.Error("archived WAL was kept")
	}
	// All else is the backup's.
	for name := range stay {
		if name != "postgresql.conf" {
			if err := os.RemoveAll(filepath.Join(dir, strings.Split(name, "/")[0])); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := os.RemoveAll(filepath.Join(space, "PG_14_202107181")); err != nil {
		t.Fatal(err)
	}
	o.KeepFiles = nil
	w.restore(o)
	w.same(dir)
}

func TestWALMayLieElsewhere(t *testing.T) {
	w := newWorld(t, repo.Target{Name: "here"})
	full := w.target.Take(t, w.source, 0, "")
	o := w.options(full.Label, "a")
	o.WALDir = filepath.Join(w.dir, "wal")
	w.restore(o)
	isLink := func(want string) {
		t.Helper()
		if to, err := os.Readlink(filepath.Join(o.DataDir, "pg_wal")); err != nil || to != want {
			t.Fatalf("%q, %v", to, err)
		}
		if _, err := os.Stat(filepath.Join(want, "archive_status")); err != nil {
			t.Error(err)
		}
	}
	isLink(o.WALDir)
	backuptest.Write(t, o.WALDir, "000000010000000000000004", []byte("not archived"))
	// A delta keeps where it is, and moves WAL aside there.
	first := o.WALDir
	o.Delta, o.WALDir = true, ""
	if r := w.restore(o); !strings.HasPrefix(r.OldWAL, first+".old-wal-") {
		t.Errorf("%+v", r)
	}
	isLink(first)
	// It moves to another place; what was there stays.
	backuptest.Write(t, first, "000000010000000000000004", []byte("not archived"))
	o.WALDir = filepath.Join(w.dir, "wal2")
	w.restore(o)
	isLink(o.WALDir)
	if _, err := os.Stat(filepath.Join(first, "000000010000000000000004")); err != nil {
		t.Error(err)
	}
	// From a directory to a link.
	second := w.options(full.Label, "b")
	w.restore(second)
	backuptest.Write(t, second.DataDir, "pg_wal/000000010000000000000007", []byte("not archived"))
	second.Delta, second.WALDir = true, filepath.Join(w.dir, "wal3")
	if r := w.restore(second); !strings.HasPrefix(r.OldWAL, second.DataDir+".old-wal-") {
		t.Errorf("%+v", r)
	}
	o = second
	isLink(second.WALDir)
}

func TestATablespaceMovesWithADelta(t *testing.T) {
	w := newWorld(t, repo.Target{Name: "here"})
	full := w.target.Take(t, w.source, 0, "")
	o := w.options(full.Label, "a")
	w.restore(o)
	old := o.Tablespaces["16400"]
	o.Delta = true
	o.Tablespaces = map[string]string{"16400": filepath.Join(w.dir, "elsewhere\nand \\on")}
	w.restore(o)
	w.same(o.DataDir)
	if _, err := os.Stat(filepath.Join(old, backuptest.Version)); err != nil {
		t.Errorf("what lies at the old place is not ours to remove: %v", err)
	}
	b, err := os.ReadFile(filepath.Join(o.DataDir, "tablespace_map"))
	if want := "16400 " + w.dir + "/elsewhere\\\nand \\\\on\n"; err != nil || string(b) != want {
		t.Errorf("%q, %v", b, err)
	}
}

func TestEveryFormOfAChainIsRestored(t *testing.T) {
	sealed, _ := encrypted(t)
	for name, to := range map[string]repo.Target{"lz4": {Compression: "lz4"}, "gzip": {Compression: "gzip"}, "none": {Compression: "none"}, "age": sealed} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, to)
			labels := w.chain()
			o := w.options(labels[2], "a")
			w.restore(o)
			w.same(o.DataDir)
			o.Label, o.Delta = labels[0], true
			w.restore(o)
			o.Label = labels[2]
			w.restore(o)
			w.same(o.DataDir)
		})
	}
}

func TestTwoRestoresAtOnceAreNone(t *testing.T) {
	w := newWorld(t, repo.Target{Name: "here"})
	full := w.target.Take(t, w.source, 0, "")
	o := w.options(full.Label, "a")
	o.Workers = 1
	tried := false
	var second error
	o.Progress = func(int64, int64) {
		if !tried {
			tried = true
			other := w.options(full.Label, "a")
			_, second = Restore(t.Context(), other)
		}
	}
	w.restore(o)
	if second == nil || !strings.Contains(second.Error(), "another restore is at work") {
		t.Errorf("%v", second)
	}
	w.same(o.DataDir)
}

func TestTheModeOfTheDataDirectoryIsTheBackups(t *testing.T) {
	for _, mode := range []os.FileMode{0o700, 0o750} {
		w := newWorld(t, repo.Target{Name: "here"})
		if err := os.Chmod(filepath.Join(w.source, "global"), mode); err != nil {
			t.Fatal(err)
		}
		full := w.target.Take(t, w.source, 0, "")
		o := w.options(full.Label, "a")
		old := unix.Umask(0)
		w.restore(o)
		unix.Umask(old)
		info, err := os.Stat(o.DataDir)
		if err != nil || info.Mode().Perm() != mode {
			t.Errorf("%v, %v, want %v", info.Mode(), err, mode)
		}
	}
}
