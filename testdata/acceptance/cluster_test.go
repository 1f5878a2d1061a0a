package acceptance

import (
	"fmt"
	"strings"
	"testing"

	"pg_manage/testdata/lab"
)

// password is what the tests declare for replication; it must never be seen anywhere.
const password = "s3cret-'quoted' \\ and spaced"

// suites are the Debian releases that the main job is proven on.
func suites() []string { return []string{"trixie", "bookworm"} }

// clusterFile is a cluster file for the named nodes, the first of them the primary.
// Each further entry of extra goes into the cluster block as it stands.
func clusterFile(version int, nodes []string, extra ...string) string {
	var b strings.Builder
	b.WriteString("target \"vault\" {\n  url = \"ssh://backup@{{vault}}/backup\"\n}\n\n")
	fmt.Fprintf(&b, "cluster \"main\" {\n  version = %d\n", version)
	b.WriteString("  connection { user = \"postgres\" }\n")
	for i, n := range nodes {
		name, upstream, _ := strings.Cut(n, "<")
		role := "standby"
		if i == 0 {
			role = "primary"
		}
		fmt.Fprintf(&b, "  node %q {\n    host = \"{{%s}}\"\n    role = %q\n", name, name, role)
		if upstream != "" {
			fmt.Fprintf(&b, "    upstream = %q\n", upstream)
		}
		b.WriteString("  }\n")
	}
	b.WriteString("  replication {\n    user     = \"replicator\"\n    password = env(\"REPLICATION_PASSWORD\")\n  }\n")
	b.WriteString("  archive { target = \"vault\" }\n")
	for _, e := range extra {
		b.WriteString("  " + e + "\n")
	}
	b.WriteString("}\n")
	return b.String()
}

// site is a lab with an operator whose folder declares a cluster on it.
type site struct {
	*operator
	version int
}

// newSite starts hosts of a suite under the given names, and a backup host that their postgres users may log in to.
func newSite(t testing.TB, suite string, nodes ...string) *site {
	t.Helper()
	specs := []lab.NodeSpec{{Name: "vault", Suite: suite, Backup: true}}
	for _, n := range nodes {
		specs = append(specs, lab.NodeSpec{Name: n, Suite: suite})
	}
	l := lab.Start(t, lab.Options{Nodes: specs})
	for _, n := range nodes {
		if err := l.Trust(n, "postgres", "vault", "backup"); err != nil {
			t.Fatal(err)
		}
	}
	s := &site{operator: newOperator(t, l), version: lab.PostgresOf(suite)}
	s.env = append(s.env, "REPLICATION_PASSWORD="+password)
	return s
}

func (s *site) node(name string) *lab.Node { return s.lab.Node(name) }

// declare writes the cluster file.
func (s *site) declare(nodes []string, extra ...string) {
	s.t.Helper()
	s.write("cluster.hcl", clusterFile(s.version, nodes, extra...))
}

// archived waits until the newest complete segment of the primary is in the archive.
func (s *site) archived(primary string) {
	s.t.Helper()
	// Of a segment in which nothing is written there is no end, and from 17 on its name is given nevertheless.
	psql(s.t, s.node(primary), "SELECT pg_logical_emit_message(false, 'test', 'something')")
	wal := psql(s.t, s.node(primary), "SELECT pg_walfile_name(pg_switch_wal())")
	path := fmt.Sprintf("/backup/pg_archlog/main/%s/%s.zst", wal[:16], wal)
	eventually(s.t, aWhile, wal+" in the archive", func() bool {
		_, err := s.node("vault").Exec("test", "-s", path)
		return err == nil
	})
}

// streams checks that a standby streams from where it should.
func (s *site) streams(standby, upstream string) {
	s.t.Helper()
	eventually(s.t, aWhile, standby+" streams from "+upstream, func() bool {
		out, err := tryPSQL(s.node(standby), "SELECT status || ' ' || sender_host FROM pg_stat_wal_receiver")
		return err == nil && out == "streaming "+s.node(upstream).IP
	})
}

// noSecret looks for the password in every place of a node where it must not be.
func (s *site) noSecret(names ...string) {
	s.t.Helper()
	for _, name := range names {
		n := s.node(name)
		out, err := n.Exec("grep", "-rlF", "--exclude-dir=proc", "--exclude-dir=sys", "--exclude-dir=dev", "s3cret-", "/etc", "/var/lib/postgresql", "/var/log", "/tmp", "/run")
		if err != nil && !strings.Contains(err.Error(), "exit status") {
			s.t.Fatal(err)
		}
		for _, path := range strings.Fields(out) {
			if !strings.HasSuffix(path, "/passfile") {
				s.t.Errorf("%s: the password stands in %s", name, path)
			} else if mode := n.Run(s.t, "stat", "-c", "%a %U", path); mode != "600 postgres" {
				s.t.Errorf("%s: %s is %s", name, path, mode)
			}
		}
	}
}
