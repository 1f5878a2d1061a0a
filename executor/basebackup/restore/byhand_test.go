package restore

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/age"

	"pg_manage/executor/basebackup/backuptest"
	"pg_manage/executor/repo"
)

// byHand runs the script of the examples.
func (w *world) byHand(args ...string) (string, error) {
	w.t.Helper()
	for program, pkg := range map[string]string{"sh": "dash", "tar": "tar", "zstd": "zstd", "lz4": "lz4", "age": "age"} {
		if _, err := exec.LookPath(program); err != nil {
			w.t.Fatalf("%s is needed (Debian: the package %s)", program, pkg)
		}
	}
	out, err := exec.Command("sh", append([]string{"../../../examples/restore-by-hand.sh"}, args...)...).CombinedOutput()
	return string(out), err
}

// encrypted is a target with age, and the file of its key.
func encrypted(t testing.TB) (repo.Target, string) {
	t.Helper()
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	key := filepath.Join(t.TempDir(), "key.txt")
	if err := os.WriteFile(key, []byte(id.String()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return repo.Target{Name: "here", Recipients: []string{id.Recipient().String()}, AgeIdentityFile: key}, key
}

func TestTarAndZstdAloneRestoreAFullBackup(t *testing.T) {
	sealed, key := encrypted(t)
	for name, to := range map[string]repo.Target{"zstd": {}, "lz4": {Compression: "lz4"}, "gzip": {Compression: "gzip"}, "none": {Compression: "none"}, "age": sealed} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, to)
			full := w.target.Take(t, w.source, 0, "")
			backup, dir := filepath.Join(w.target.Dir, full.Label), filepath.Join(w.dir, "hand")
			args := []string{"-t", "16400=" + filepath.Join(w.dir, "hand-space"), backup, dir}
			if name == "age" {
				if out, err := w.byHand(args...); err == nil || !strings.Contains(out, "encrypted") {
					t.Errorf("without a key: %v: %s", err, out)
				}
				args = append([]string{"-k", key}, args...)
			}
			if out, err := w.byHand(args...); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			backuptest.Same(t, backuptest.Tree(t, dir, "backup_manifest", "tablespace_map"), backuptest.Tree(t, w.source))
			if out, err := w.byHand(args...); err == nil || !strings.Contains(out, "is not empty") {
				t.Errorf("over it: %v: %s", err, out)
			}
		})
	}
}

func TestDamageEndsARestoreByHand(t *testing.T) {
	w := newWorld(t, repo.Target{})
	full := w.target.Take(t, w.source, 0, "")
	incr := w.target.Take(t, w.source, 1, full.Label)
	dir := filepath.Join(w.dir, "hand")
	if out, err := w.byHand(filepath.Join(w.target.Dir, incr.Label), dir); err == nil || !strings.Contains(out, "incremental") {
		t.Errorf("%v: %s", err, out)
	}
	name := filepath.Join(w.target.Dir, full.Label, full.Parts[0].Name)
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 1
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := w.byHand(filepath.Join(w.target.Dir, full.Label), dir); err == nil || !strings.Contains(out, full.Parts[0].Name) {
		t.Errorf("%v: %s", err, out)
	}
	if _, err := os.Stat(dir); err == nil {
		t.Error("something was restored")
	}
}
