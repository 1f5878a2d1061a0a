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

// change writes blocks of a file of the source anew.
func (w *world) change(name string, seed uint64, blocks ...int64) {
	w.t.Helper()
	f, err := os.OpenFile(filepath.Join(w.source, name), os.O_RDWR, 0)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, b := range blocks {
		if _, err := f.WriteAt(backuptest.Pages(seed+uint64(b), 1), b*8192); err != nil {
			w.t.Fatal(err)
		}
	}
	if err := f.Close(); err != nil {
		w.t.Fatal(err)
	}
}

// chain takes a full backup and two incremental ones, between which all kinds of things change.
func (w *world) chain() (labels []string) {
	w.t.Helper()
	full := w.target.Take(w.t, w.source, 0, "")
	w.change("base/5/big", 100, 0, 1, 2, 130, 131, 600, 699)
	w.change("pg_tblspc/16400/"+backuptest.Version+"/5/16401", 200, 7)
	w.remove("base/5/1003")
	backuptest.Write(w.t, w.source, "base/5/2000", backuptest.Pages(300, 5))
	one := w.target.Take(w.t, w.source, 1, full.Label)
	w.change("base/5/big", 400, 1, 131, 132, 500)
	if err := os.Truncate(filepath.Join(w.source, "base/5/big"), 650*8192+100); err != nil {
		w.t.Fatal(err)
	}
	backuptest.Write(w.t, w.source, "base/5/1003", backuptest.Pages(500, 2))
	if err := os.MkdirAll(filepath.Join(w.source, "base/7"), 0o750); err != nil {
		w.t.Fatal(err)
	}
	backuptest.Write(w.t, w.source, "base/7/1", backuptest.Pages(600, 20))
	two := w.target.Take(w.t, w.source, 2, one.Label)
	return []string{full.Label, one.Label, two.Label}
}

func (w *world) remove(name string) {
	w.t.Helper()
	if err := os.Remove(filepath.Join(w.source, name)); err != nil {
		w.t.Fatal(err)
	}
}

func TestAnIncrementalBackupIsRestoredWithAllThatItBuildsUpon(t *testing.T) {
	w := newWorld(t, repo.Target{Name: "here"})
	labels := w.chain()
	o := w.options(labels[2], "a")
	r := w.restore(o)
	w.same(o.DataDir)
	if len(r.Chain) != 3 {
		t.Errorf("%+v", r)
	}
}

func TestADeltaFetchesWhatDiffers(t *testing.T) {
	w := newWorld(t, repo.Target{Name: "here"})
	labels := w.chain()
	o := w.options(labels[0], "a")
	w.restore(o)
	o.Label, o.Delta = labels[2], true
	r := w.restore(o)
	w.same(o.DataDir)
	if r.Written > 40*8192 || r.Removed == 0 || r.Resumed {
		t.Errorf("%+v", r)
	}
	r = w.restore(o)
	w.same(o.DataDir)
	if r.Written > 9000 || r.Fetched > 100<<10 { // pg_control and tablespace_map
		t.Errorf("a second delta: %+v", r)
	}
}
