package instance

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"pg_manage/executor/remote"
	"pg_manage/planner"
)

// TestTheTablespacesOfAnInterruptedCopyAreClearedWithIt: else the next one would find them full.
// What anything else may use stays.
func TestTheTablespacesOfAnInterruptedCopyAreClearedWithIt(t *testing.T) {
	for _, inPlace := range []bool{false, true} {
		dir := t.TempDir()
		data := filepath.Join(dir, "da'ta")
		i := New(remote.NewLocal("here"), planner.Instance{DataDir: data, ConfigDir: data, Major: 17})
		other, works := filepath.Join(dir, "elsewhere"), filepath.Join(dir, "works")
		link := func(in, name, to string) {
			t.Helper()
			if err := os.MkdirAll(filepath.Join(in, "pg_tblspc"), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(to, filepath.Join(in, "pg_tblspc", name)); err != nil {
				t.Fatal(err)
			}
		}
		in := i.building(inPlace)
		put(t, filepath.Join(in, "PG_VERSION"), "17")
		space := func(name string) string { return filepath.Join(dir, "space "+name) }
		for _, name := range []string{"1", "2", "3", "4", "5"} {
			put(t, filepath.Join(space(name), "PG_17_202406281/5/1"), "rows")
			link(in, name, space(name))
		}
		link(in, "6", filepath.Join(dir, "not-made"))
		put(t, filepath.Join(space("2"), "thesis.txt"), "precious")
		link(data+".old-20261122T120000Z", "2", other)
		link(data+".old-20261122T120000Z", "3", space("3"))
		if err := os.Symlink(space("4"), other); err != nil {
			t.Fatal(err)
		}
		link(works, "9", other)
		if !inPlace {
			link(data, "5", space("5"))
		}
		server := exec.Command("sleep", "1000")
		server.Dir = works
		if err := server.Start(); err != nil {
			t.Fatal(err)
		}
		err := i.removeLeftover(t.Context(), inPlace)
		_ = server.Process.Kill()
		_ = server.Wait()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(in); err == nil {
			t.Error("the interrupted copy is still there")
		}
		want := map[string]string{"1": "", "2": "PG_17_202406281 thesis.txt", "3": "PG_17_202406281", "4": "PG_17_202406281", "5": "PG_17_202406281"}
		if inPlace {
			want["5"] = ""
		}
		for name, want := range want {
			if got := names(t, space(name)); got != want {
				t.Errorf("in place %v: tablespace %s holds %q, not %q", inPlace, name, got, want)
			}
		}
	}
}
