package verify

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/age"
	"go.uber.org/goleak"

	"pg_manage/executor/basebackup/backuptest"
	"pg_manage/executor/repo"
	"pg_manage/executor/repo/catalog"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// forms are all ways of storing.
func forms(t testing.TB) map[string]repo.Target {
	t.Helper()
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	key := filepath.Join(t.TempDir(), "key.txt")
	if err := os.WriteFile(key, []byte(id.String()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return map[string]repo.Target{
		"zstd": {}, "lz4": {Compression: "lz4"}, "gzip": {Compression: "gzip"}, "none": {Compression: "none"},
		"zstd and age": {Recipients: []string{id.Recipient().String()}, AgeIdentityFile: key},
	}
}

type world struct {
	source string
	target *backuptest.Target
	full   *catalog.Info
	incr   *catalog.Info
}

func newWorld(t testing.TB, to repo.Target) *world {
	t.Helper()
	dir := t.TempDir()
	w := &world{source: filepath.Join(dir, "source"), target: backuptest.Open(t, dir+"/target", to, nil)}
	backuptest.DataDir(t, w.source, filepath.Join(dir, "space"))
	w.full = w.target.Take(t, w.source, 0, "")
	f, err := os.OpenFile(filepath.Join(w.source, "base/5/big"), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(backuptest.Pages(99, 3), 5*8192); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	backuptest.Write(t, w.source, "base/5/3000", backuptest.Pages(98, 30))
	w.incr = w.target.Take(t, w.source, 1, w.full.Label)
	return w
}

func (w *world) verify(t testing.TB, label string, ancestors bool) *Report {
	t.Helper()
	temp := t.TempDir()
	r, err := Verify(t.Context(), w.target.Catalog, label, Options{Ancestors: ancestors, TempDir: temp})
	if err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(temp); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
	return r
}

func (w *world) file(label, name string) string { return filepath.Join(w.target.Dir, label, name) }

func TestSoundBackupsAreSoundInEveryForm(t *testing.T) {
	for name, to := range forms(t) {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, to)
			for _, label := range []string{w.full.Label, w.incr.Label} {
				r := w.verify(t, label, true)
				if !r.Sound() {
					t.Errorf("%v", r.Damages)
				}
				if r.Files != map[string]int64{w.full.Label: w.full.Files, w.incr.Label: w.incr.Files}[label] || r.Bytes == 0 {
					t.Errorf("%+v", r)
				}
			}
		})
	}
}

func flip(t testing.TB, name string, at int64) {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if at < 0 {
		at += int64(len(b))
	}
	b[at] ^= 0x40
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// A byte anywhere in any object is found, and the object is named.
func TestEveryFlippedByteIsFound(t *testing.T) {
	for name, to := range forms(t) {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, to)
			for _, info := range []*catalog.Info{w.full, w.incr} {
				for _, o := range objects(info) {
					places := []int64{o.Size / 2}
					if strings.Contains(name, "zstd") {
						places = []int64{0, o.Size / 2, o.Size - 1}
					}
					for _, at := range places {
						flip(t, w.file(info.Label, o.Name), at)
						r := w.verify(t, info.Label, false)
						if r.Sound() {
							t.Fatalf("%s: byte %d of %d is not found", o.Name, at, o.Size)
						}
						named := false
						for _, d := range r.Damages {
							named = named || d.Backup == info.Label && d.Object == o.Name
						}
						if !named {
							t.Errorf("%s of %s, byte %d: %v", o.Name, info.Label, at, r.Damages)
						}
						flip(t, w.file(info.Label, o.Name), at)
					}
				}
			}
			if r := w.verify(t, w.incr.Label, true); !r.Sound() {
				t.Fatal(r.Damages)
			}
		})
	}
}

func TestAllDamagesAreListedWithTheirFiles(t *testing.T) {
	w := newWorld(t, repo.Target{Compression: "none"}) // so that a flipped byte is one block's
	big := backuptest.Pages(1, 700)
	name := ""
	var stored []byte
	var at int
	for _, o := range w.full.Parts {
		b, err := os.ReadFile(w.file(w.full.Label, o.Name))
		if err != nil {
			t.Fatal(err)
		}
		if i := strings.Index(string(b), string(big[:8192])); i >= 0 {
			name, stored, at = o.Name, b, i
		}
	}
	if name == "" {
		t.Fatal("the file is in no part")
	}
	for _, block := range []int{3, 4, 600} {
		stored[at+block*8192+77] ^= 1
	}
	if err := os.WriteFile(w.file(w.full.Label, name), stored, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(w.file(w.full.Label, w.full.Manifest.Name)); err != nil {
		t.Fatal(err)
	}
	r := w.verify(t, w.full.Label, false)
	var lines []string
	for _, d := range r.Damages {
		lines = append(lines, d.String())
	}
	text := strings.Join(lines, "\n")
	for _, want := range []string{
		name + ": base/5/big, blocks 3 to 4: it is not of the sum in the index", name + ": base/5/big, block 600: it is not of the sum",
		name + ": its SHA-256 is", w.full.Manifest.Name + ": it is missing",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}

// What backup.json says decides which WAL expires.
func TestAFlippedDigitInBackupJSONIsFound(t *testing.T) {
	w := newWorld(t, repo.Target{})
	for _, key := range []string{`"start_lsn"`, `"stop_lsn"`, `"timeline"`, `"size"`, `"files"`} {
		for _, info := range []*catalog.Info{w.full, w.incr} {
			name := w.file(info.Label, "backup.json")
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			line := strings.Index(string(text), key)
			at := line + strings.IndexAny(string(text[line:]), ",\n") - 1
			for text[at] < '0' || text[at] > '9' {
				at--
			}
			changed := append([]byte(nil), text...)
			changed[at] ^= 1
			if err := os.WriteFile(name, changed, 0o600); err != nil {
				t.Fatal(err)
			}
			if r := w.verify(t, info.Label, false); r.Sound() {
				t.Errorf("%s of %s is not found", key, info.Label)
			}
			if err := os.WriteFile(name, text, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
}
