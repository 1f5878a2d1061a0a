package take

import (
	"os"
	"path/filepath"
	"testing"
)

// TestATablespaceBehindARelativeLinkIsNotLeftOut: an administrator who moves one may link to it
// as he likes, and a backup without it must not be listed.
func TestATablespaceBehindARelativeLinkIsNotLeftOut(t *testing.T) {
	s := newPG(t).primary("autovacuum = off")
	s.mkdir(s.root + "/space")
	s.sql("CREATE TABLESPACE space LOCATION '" + s.root + "/space'")
	s.sql("CREATE TABLE t TABLESPACE space AS SELECT generate_series(1, 1000) n")
	oid := s.sql("SELECT oid FROM pg_tablespace WHERE spcname = 'space'")
	s.stop()
	link := filepath.Join(s.data, "pg_tblspc", oid)
	if err := os.Remove(link); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("../../space", link); err != nil {
		t.Fatal(err)
	}
	o, _ := s.options()
	want := "pg_tblspc/" + oid + " links to ../../space"
	o.Cold = true
	s.mustFail(t.Context(), o, want)
	s.start()
	o.Cold = false
	s.mustFail(t.Context(), o, want)
}
