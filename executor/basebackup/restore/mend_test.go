package restore

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pg_manage/executor/basebackup/backuptest"
	"pg_manage/executor/repo"
)

// TestADeltaLeavesOtherNamesOfAFileAlone: whoever wants to be able to go back may have copied
// the directory with cp -al, and pg_upgrade --link leaves such files.
func TestADeltaLeavesOtherNamesOfAFileAlone(t *testing.T) {
	w := newWorld(t, repo.Target{Name: "here"})
	labels := w.chain()
	o := w.options(labels[0], "a")
	w.restore(o)
	twin := filepath.Join(w.mkdir("twin"), "big")
	if err := os.Link(filepath.Join(o.DataDir, "base/5/big"), twin); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(twin)
	if err != nil {
		t.Fatal(err)
	}
	o.Label, o.Delta = labels[2], true
	w.restore(o)
	w.same(o.DataDir)
	if after, err := os.ReadFile(twin); err != nil || string(after) != string(before) {
		t.Errorf("the other name of the file has another content now: %v", err)
	}
}

// TestWALThatAStandbyHasReceivedIsNoArchivedWAL: a standby marks what it receives as
// archived, whether or not the primary has archived it (walreceiver.c).
func TestWALThatAStandbyHasReceivedIsNoArchivedWAL(t *testing.T) {
	const name = "pg_wal/00000001000000000000000A"
	for what, c := range map[string]struct {
		state, timeline uint32
		newer           string
		kept            bool
	}{
		"a primary":              {6, 1, "", false},
		"a stopped primary":      {1, 1, "", false},
		"a standby":              {5, 1, "", true},
		"a stopped standby":      {2, 1, "", true},
		"a promoted standby":     {6, 2, "", true},
		"one promoted right now": {6, 1, "pg_wal/00000002000000000000000A", true},
		"one in crash recovery":  {4, 1, "", false},
	} {
		t.Run(what, func(t *testing.T) {
			w := newWorld(t, repo.Target{Name: "here"})
			full := w.target.Take(t, w.source, 0, "")
			o := w.options(full.Label, "a")
			w.restore(o)
			backuptest.Write(t, o.DataDir, name, []byte("the only copy"))
			backuptest.Write(t, o.DataDir, "pg_wal/archive_status/00000001000000000000000A.done", nil)
			if c.newer != "" {
				backuptest.Write(t, o.DataDir, c.newer, nil)
			}
			control, err := os.ReadFile(filepath.Join(o.DataDir, controlFile))
			if err != nil {
				t.Fatal(err)
			}
			binary.NativeEndian.PutUint32(control[16:], c.state)
			binary.NativeEndian.PutUint32(control[48:], c.timeline)
			backuptest.Write(t, o.DataDir, controlFile, control)
			o.Delta = true
			r := w.restore(o)
			w.same(o.DataDir)
			if _, err := os.Stat(filepath.Join(r.OldWAL, filepath.Base(name))); (err == nil) != c.kept || (r.OldWAL != "") != c.kept {
				t.Errorf("%q, %v", r.OldWAL, err)
			}
		})
	}
}

// TestAMarkThatWasLeftIsNoInterruptedRestore: all was done but the removal of the mark, and
// then the server was started.
func TestAMarkThatWasLeftIsNoInterruptedRestore(t *testing.T) {
	w := newWorld(t, repo.Target{Name: "here"})
	full := w.target.Take(t, w.source, 0, "")
	o := w.options(full.Label, "a")
	w.restore(o)
	mark := []byte(`{"label": "` + full.Label + `", "system_identifier": "` + full.SystemIdentifier + `", "places": {"pg_tblspc/16400": "` + o.Tablespaces["16400"] + `"}}`)
	backuptest.Write(t, o.DataDir, markerName, mark)
	// Killed right before: it goes on.
	if r := w.restore(o); !r.Resumed {
		t.Errorf("%+v", r)
	}
	w.same(o.DataDir)
	// The server was started.
	backuptest.Write(t, o.DataDir, markerName, mark)
	control, err := os.ReadFile(filepath.Join(o.DataDir, controlFile))
	if err != nil {
		t.Fatal(err)
	}
	control[32]++
	backuptest.Write(t, o.DataDir, controlFile, control)
	backuptest.Write(t, o.DataDir, "base/5/77777", []byte("precious"))
	backuptest.Write(t, o.DataDir, "pg_wal/00000001000000000000000A", []byte("the only copy"))
	if _, err := Restore(t.Context(), o); err == nil || !strings.Contains(err.Error(), "is not empty") {
		t.Errorf("a cluster that was in use is overwritten: %v", err)
	}
	if _, err := os.Stat(filepath.Join(o.DataDir, "base/5/77777")); err != nil {
		t.Fatal(err)
	}
	o.Delta = true
	r := w.restore(o)
	w.same(o.DataDir)
	if _, err := os.Stat(filepath.Join(r.OldWAL, "00000001000000000000000A")); err != nil || r.Resumed {
		t.Errorf("%+v, %v", r, err)
	}
}

// TestABackupHasNoMarkOfARestore: a backup with it could not be restored.
func TestABackupHasNoMarkOfARestore(t *testing.T) {
	w := newWorld(t, repo.Target{Name: "here"})
	left := []string{markerName, controlTemp, controlOld, markerName + ".pg_manage-tmp", "pg_manage.restored"}
	for _, name := range left {
		backuptest.Write(t, w.source, name, []byte("left"))
	}
	full := w.target.Take(t, w.source, 0, "")
	for _, name := range left {
		w.remove(name)
	}
	o := w.options(full.Label, "a")
	w.restore(o)
	w.same(o.DataDir)
}
