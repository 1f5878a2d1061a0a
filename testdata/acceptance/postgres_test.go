package acceptance

import (
	"strings"
	"testing"
	"time"

	"pg_manage/testdata/lab"
)

// psql asks the instance at the default port of a node, as postgres through its unix socket, and returns the unaligned rows.
func psql(t testing.TB, n *lab.Node, sql string) string {
	t.Helper()
	out, err := tryPSQL(n, sql)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// tryPSQL is psql for a statement that may fail.
func tryPSQL(n *lab.Node, sql string) (string, error) {
	out, err := n.ExecInput(sql, "runuser", "-u", "postgres", "--",
		"psql", "--no-psqlrc", "--quiet", "--no-align", "--tuples-only", "--set=ON_ERROR_STOP=1", "--dbname=postgres")
	return strings.TrimSpace(out), err
}

// aWhile is far longer than what a test waits for takes, also on a machine that does much else.
const aWhile = 2 * time.Minute

// eventually waits until a condition holds, and fails the test when it does not within the limit.
func eventually(t testing.TB, limit time.Duration, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(limit); !condition(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %s", what, limit)
		}
	}
}

// replicated writes a row on the primary and waits until the standby shows it.
func replicated(t testing.TB, primary, standby *lab.Node) {
	t.Helper()
	psql(t, primary, "CREATE TABLE IF NOT EXISTS proof (at timestamptz PRIMARY KEY)")
	row := psql(t, primary, "INSERT INTO proof VALUES (clock_timestamp()) RETURNING at")
	eventually(t, aWhile, "a row of "+primary.Name+" on "+standby.Name, func() bool {
		out, err := tryPSQL(standby, "SELECT count(*) FROM proof WHERE at = '"+row+"'")
		return err == nil && out == "1"
	})
}
