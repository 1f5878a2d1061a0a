package acceptance

import (
	"strings"
	"testing"
)

// TestPastANewTablespace restores to a point behind a CREATE TABLESPACE that the backup does not
// know. It stops there, tells what to do, and goes on once that is done: in place, where the
// location holds what the server had there, and on another host, where it is not there.
func TestPastANewTablespace(t *testing.T) {
	t.Parallel()
	s := newSite(t, "trixie", "node1", "node2")
	n1, n2 := s.node("node1"), s.node("node2")
	s.declare([]string{"node1"}, `backup "manual" { target = "vault" }`)
	s.converge()
	const data, space = "/var/lib/postgresql/17/main", "/srv/late"
	s.ok("backup", "main", "--full")
	n1.Run(t, "install", "-d", "-o", "postgres", "-m", "700", space)
	psql(t, n1, "CREATE TABLESPACE late LOCATION '"+space+"'")
	psql(t, n1, "CREATE TABLE rows TABLESPACE late AS SELECT generate_series(1, 1000) g")
	s.archived("node1")
	sums := func() string {
		return n1.Run(t, "sh", "-c", "find "+space+" -type f -exec sha256sum {} + | sort")
	}
	rows := func(name string) {
		t.Helper()
		if got := psql(t, s.node(name), "SELECT count(*) || pg_tablespace_location(max(oid)::oid) FROM rows, pg_tablespace WHERE spcname = 'late'"); got != "1000"+space {
			t.Errorf("%s has %s", name, got)
		}
	}

	// Of another host's restore: the location is not there.
	copied := newOperator(t, s.lab)
	copied.env = s.env
	copied.write("cluster.hcl", copyFile)
	tells := func(r result) {
		t.Helper()
		text := strings.Join(strings.Fields(strings.ReplaceAll(r.want(t, exitError).stdout, "│", "")), " ") // it is wrapped
		for _, want := range []string{") that the base backup does not have, at " + space, "make it an empty directory of postgres, allow the link with chmod 700 " + data + "/pg_tblspc, and run this again"} {
			if !strings.Contains(text, want) {
				t.Errorf("it does not say %q:\n%s", want, r.stdout)
			}
		}
	}
	tells(copied.run("apply", "--auto-approve"))
	n2.Run(t, "install", "-d", "-o", "postgres", "-m", "700", space)
	n2.Shell(t, "postgres", "chmod 700 "+data+"/pg_tblspc")
	copied.apply()
	copied.settled()
	rows("node2")

	// In place. What the server had there stays as it is until a person moves it.
	args := []string{"restore", "main", "--latest", "--auto-approve", "--allow-data-loss=node1"}
	before := ""
	for i := range 2 { // again, without doing what it says
		tells(s.run(args...))
		if i == 0 { // what the server wrote when it was stopped is there
			before = sums()
		} else if after := sums(); after != before {
			t.Fatalf("the files at %s were touched:\n%s\nbefore:\n%s", space, after, before)
		}
	}
	n1.Run(t, "sh", "-c", "mv "+space+" "+space+".old && install -d -o postgres -m 700 "+space)
	tells(s.run(args...))
	n1.Shell(t, "postgres", "chmod 700 "+data+"/pg_tblspc")
	s.ok(args...)
	rows("node1")
	s.settled()
}
