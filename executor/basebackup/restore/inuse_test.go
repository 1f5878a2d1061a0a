package restore

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"pg_manage/executor/basebackup/backuptest"
	"pg_manage/executor/repo"
)

// TestADeltaOverACopyLeavesTheTablespacesOfTheOriginalAlone: the links of a copy made with
// cp -a lead to those of the server that runs on the original.
func TestADeltaOverACopyLeavesTheTablespacesOfTheOriginalAlone(t *testing.T) {
	w := newWorld(t, repo.Target{Name: "here"})
	full := w.target.Take(t, w.source, 0, "")
	o := w.options(full.Label, "a")
	o.WALDir = filepath.Join(w.dir, "a-wal")
	w.restore(o)
	live, space := o.DataDir, o.Tablespaces["16400"]
	backuptest.Write(t, space, backuptest.Version+"/5/16401", []byte("newer than the backup"))
	copied := filepath.Join(w.dir, "copy")
	if out, err := exec.Command("cp", "-a", live, copied).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	server := exec.Command("sleep", "1000")
	server.Dir = live
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	running := true
	stop := func() {
		if running {
			_ = server.Process.Kill()
			_ = server.Wait()
		}
		running = false
	}
	defer stop()
	backuptest.Write(t, live, "postmaster.pid", fmt.Appendf(nil, "%d\n%s\n", server.Process.Pid, live))

	o.DataDir, o.Delta, o.WALDir = copied, true, ""
	elsewhere := filepath.Join(w.dir, "space-of-the-copy")
	before := backuptest.Tree(t, live)
	for what, tt := range map[string]struct {
		space, wal string
		want       string
	}{
		"a tablespace":                 {space, filepath.Join(w.dir, "wal-of-the-copy"), "tablespace 16400, " + space},
		"a tablespace by another path": {w.link(space), filepath.Join(w.dir, "wal-of-the-copy"), "tablespace 16400"},
		"its WAL":                      {elsewhere, "", "the directory of WAL"},
	} {
		t.Run(what, func(t *testing.T) {
			w.t = t
			o := o
			o.Tablespaces, o.WALDir = map[string]string{"16400": tt.space}, tt.wal
			w.refused(o, tt.want)
			w.refused(o, fmt.Sprintf("the server that runs on %s (process %d)", live, server.Process.Pid))
		})
	}
	w.t = t
	backuptest.Same(t, backuptest.Tree(t, live), before)

	o.Tablespaces, o.WALDir = map[string]string{"16400": elsewhere}, filepath.Join(w.dir, "wal-of-the-copy")
	w.restore(o)
	backuptest.Same(t, backuptest.Tree(t, live), before)
	// A postmaster.pid that a crash has left is no server.
	stop()
	o.DataDir, o.WALDir, o.Tablespaces = live, "", map[string]string{"16400": space}
	w.restore(o)
}

// link gives another path to a directory.
func (w *world) link(dir string) string {
	w.t.Helper()
	name := dir + "-link"
	if err := os.Symlink(dir, name); err != nil {
		w.t.Fatal(err)
	}
	return name
}
