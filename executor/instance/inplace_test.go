package instance

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pg_manage/executor/remote"
	"pg_manage/planner"
)

func put(t *testing.T, file, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// local is an instance in a directory of this machine, behind a link, so that no rename can replace it.
func local(t *testing.T) (*Instance, string) {
	t.Helper()
	dir := t.TempDir()
	real, data := filepath.Join(dir, "real"), filepath.Join(dir, "da'ta")
	if err := os.Mkdir(real, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(real, data); err != nil {
		t.Fatal(err)
	}
	return New(remote.NewLocal("here"), planner.Instance{DataDir: data, ConfigDir: data, Major: 17}), real
}

func names(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return strings.Join(all, " ")
}

func TestInPlace(t *testing.T) {
	i, real := local(t)
	in := i.building(true)
	for _, f := range []string{"PG_VERSION", "base/1/2", "global/pg_control", ".hidden", "..odd"} {
		put(t, filepath.Join(in, f), f)
	}
	if present, inPlace, err := i.emptyDir(t.Context()); !present || !inPlace || err != nil {
		t.Fatal(present, inPlace, err)
	}
	if err := i.swap(t.Context(), true, true, ""); err != nil {
		t.Fatal(err)
	}
	if got := names(t, real); got != "..odd .hidden PG_VERSION base global" {
		t.Errorf("moved up: %s", got)
	}
	if st, err := os.Stat(real); err != nil || st.Mode().Perm() != 0o700 {
		t.Errorf("the mode is %v %v", st.Mode(), err)
	}
	if _, _, err := i.emptyDir(t.Context()); err == nil {
		t.Error("a data directory is called empty")
	}
	// A finished move that was not tidied up: nothing of the data goes.
	put(t, filepath.Join(real, ".pg_manage-building/moving"), "base\nglobal\n")
	if err := os.Mkdir(in, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, _, err := i.emptyDir(t.Context()); err == nil {
		t.Error("a data directory is called empty because of a list")
	}
	if err := i.removeLeftover(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	if got := names(t, real); got != "..odd .hidden PG_VERSION base global" {
		t.Errorf("after tidying up: %s", got)
	}
}

// TestInPlaceCutOff leaves the move at each name in turn.
func TestInPlaceCutOff(t *testing.T) {
	all := []string{"base", "global", "pg_wal", "postgresql.conf"}
	for n := range len(all) + 1 {
		i, real := local(t)
		in := i.building(true)
		put(t, filepath.Join(real, ".pg_manage-building/moving"), strings.Join(all, "\n")+"\n")
		put(t, filepath.Join(in, "PG_VERSION"), "17")
		for k, name := range all {
			at := in
			if k < n {
				at = real
			}
			put(t, filepath.Join(at, name), "x")
		}
		if present, inPlace, err := i.emptyDir(t.Context()); !present || !inPlace || err != nil {
			t.Fatal(n, present, inPlace, err)
		}
		put(t, filepath.Join(real, "thesis"), "precious")
		if _, _, err := i.emptyDir(t.Context()); err == nil || !strings.Contains(err.Error(), "thesis") {
			t.Errorf("%d: %v", n, err)
		}
		if err := i.removeLeftover(t.Context(), true); err != nil {
			t.Fatal(err)
		}
		if got := names(t, real); got != "thesis" {
			t.Errorf("%d: left are %s", n, got)
		}
	}
	i, real := local(t)
	put(t, filepath.Join(real, ".pg_manage-building/thesis"), "precious")
	if err := i.removeLeftover(t.Context(), true); err == nil || !strings.Contains(err.Error(), "thesis") {
		t.Error(err)
	}
	i, real = local(t)
	put(t, filepath.Join(real, "lost+found"), "")
	if _, _, err := i.emptyDir(t.Context()); err == nil || !strings.Contains(err.Error(), "lost+found") {
		t.Error(err)
	}
}

func TestForeignConfig(t *testing.T) {
	dir := t.TempDir()
	i := New(remote.NewLocal("here"), planner.Instance{DataDir: dir + "/data", ConfigDir: dir + "/etc", Major: 17})
	conf := dir + "/etc/postgresql.conf"
	if err := i.refuseForeignConfig(t.Context()); err != nil {
		t.Error(err)
	}
	for text, ours := range map[string]bool{
		"port = 1\n":                          true,
		"data_directory = '" + dir + "/data'": true,
		"data_directory = '" + dir + "/data.pg_manage-building'":       true,
		"data_directory = '" + dir + "/data/.pg_manage-building/data'": true,
		"data_directory = '" + dir + "/link'":                          true,
		"data_directory = '/srv/theirs'":                               false,
		"DATA_DIRECTORY '/srv/theirs' # theirs":                        false,
	} {
		put(t, conf, text)
		put(t, dir+"/data/x", "")
		_ = os.Symlink(dir+"/data", dir+"/link")
		if err := i.refuseForeignConfig(t.Context()); (err == nil) != ours {
			t.Errorf("%s: %v", text, err)
		}
		if err := i.Start(t.Context()); !ours && !strings.Contains(err.Error(), "/srv/theirs") {
			t.Errorf("%s: start: %v", text, err)
		}
	}
}
