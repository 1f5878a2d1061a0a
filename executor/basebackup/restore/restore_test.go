package restore

import (
	"os"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"pg_manage/executor/basebackup/backuptest"
	"pg_manage/executor/repo"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a data directory, its backups, and where they are restored to.
type world struct {
	t      testing.TB
	source string
	space  string
	target *backuptest.Target
	dir    string // everything lies in it
}

func newWorld(t testing.TB, to repo.Target) *world {
	t.Helper()
	dir := t.TempDir()
	w := &world{t: t, dir: dir, source: filepath.Join(dir, "source"), space: filepath.Join(dir, "space")}
	backuptest.DataDir(t, w.source, w.space)
	w.target = backuptest.Open(t, w.mkdir("target"), to, nil)
	return w
}

func (w *world) mkdir(name string) string {
	w.t.Helper()
	name = filepath.Join(w.dir, name)
	if err := os.MkdirAll(name, 0o700); err != nil {
		w.t.Fatal(err)
	}
	return name
}

// options restore a backup to a new place.
func (w *world) options(label, name string) Options {
	return Options{
		Catalog: w.target.Catalog, Label: label, DataDir: filepath.Join(w.dir, name), TempDir: w.mkdir("temp"),
		Tablespaces: map[string]string{"16400": filepath.Join(w.dir, name+"-space")}, Workers: 2, Notice: func(s string) { w.t.Log(s) },
	}
}

func (w *world) restore(o Options) *Report {
	w.t.Helper()
	r, err := Restore(w.t.Context(), o)
	if err != nil {
		w.t.Fatal(err)
	}
	if left, err := os.ReadDir(o.TempDir); err != nil || len(left) > 0 {
		w.t.Fatalf("left in the temporary directory: %v, %v", left, err)
	}
	return r
}

// same compares a restored directory with the source as it is now.
func (w *world) same(dir string) {
	w.t.Helper()
	backuptest.Same(w.t, backuptest.Tree(w.t, dir, "backup_manifest", "tablespace_map"), backuptest.Tree(w.t, w.source))
	if _, err := os.Stat(filepath.Join(dir, "backup_manifest")); err != nil {
		w.t.Error(err)
	}
}

func TestAFullBackupIsRestoredAsItWas(t *testing.T) {
	w := newWorld(t, repo.Target{Name: "here"})
	full := w.target.Take(t, w.source, 0, "")
	o := w.options(full.Label, "a")
	r := w.restore(o)
	w.same(o.DataDir)
	if r.Files != full.Files || r.Bytes != full.Size || r.Written != r.Bytes {
		t.Errorf("%+v, backup has %d files of %d bytes", r, full.Files, full.Size)
	}
}
