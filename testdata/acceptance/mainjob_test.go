package acceptance

import (
	"fmt"
	"strings"
	"testing"
)

// TestMainJob walks the whole way on real hosts: from empty machines to a running,
// streaming, archiving cluster, and on through the changes that a cluster lives through.
func TestMainJob(t *testing.T) {
	t.Parallel()
	for _, suite := range suites() {
		t.Run(suite, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, suite, "node1", "node2", "node3")
			t.Run("from nothing", s.in(func() { fromNothing(s) }))
			t.Run("parameters", s.in(func() { parameters(s) }))
			t.Run("standby gone", s.in(func() { standbyGone(s) }))
			t.Run("third node", s.in(func() { thirdNode(s) }))
			t.Run("status and check", s.in(func() { statusAndCheck(s) }))
		})
	}
}

// in makes a part of a walk a subtest that fails by itself and ends the walk.
func (s *site) in(part func()) func(*testing.T) {
	return func(t *testing.T) {
		if s.t.Failed() {
			t.Fatal("an earlier part failed")
		}
		outer := s.t
		s.t = t
		defer func() { s.t = outer }()
		part()
	}
}

func fromNothing(s *site) {
	s.declare([]string{"node1", "node2"})
	s.plan().want(s.t, exitChanges).says(s.t, "create a new PostgreSQL", "build standby from node1").silentOn(s.t, "s3cret")
	for _, n := range []string{"node1", "node2"} { // plan leaves no trace
		if out := s.node(n).Run(s.t, "sh", "-c", "ls -A /var/lib/postgresql /etc/postgresql /tmp | grep -v '^/\\|^$\\|^.ssh$' || true"); out != "" {
			s.t.Errorf("plan wrote on %s: %s", n, out)
		}
	}
	s.apply().silentOn(s.t, "s3cret")
	s.settled()
	replicated(s.t, s.node("node1"), s.node("node2"))
	s.archived("node1")
	s.streams("node2", "node1")
	s.noSecret("node1", "node2")
	if got := psql(s.t, s.node("node1"), "SHOW data_checksums"); got != "on" {
		s.t.Errorf("data_checksums is %s", got)
	}
	s.apply() // a second time: nothing to do
	s.settled()
}

func parameters(s *site) {
	started := func(n string) string { return psql(s.t, s.node(n), "SELECT pg_postmaster_start_time()") }
	before1, before2 := started("node1"), started("node2")

	s.declare([]string{"node1", "node2"}, `parameters = { work_mem = "8MB", log_min_duration_statement = "2s" }`)
	r := s.plan().want(s.t, exitChanges).says(s.t, "reload PostgreSQL", "work_mem")
	if strings.Contains(r.stdout, "restart PostgreSQL") {
		s.t.Errorf("a reload would do:\n%s", r.stdout)
	}
	s.converge()
	for _, n := range []string{"node1", "node2"} {
		if got := psql(s.t, s.node(n), "SHOW work_mem"); got != "8MB" {
			s.t.Errorf("%s: work_mem is %s", n, got)
		}
	}
	if started("node1") != before1 || started("node2") != before2 {
		s.t.Error("a reload restarted a server")
	}

	order := func(first, second string) {
		a, b := psql(s.t, s.node(first), "SELECT extract(epoch FROM pg_postmaster_start_time())"), psql(s.t, s.node(second), "SELECT extract(epoch FROM pg_postmaster_start_time())")
		if a >= b {
			s.t.Errorf("%s restarted at %s, not before %s at %s", first, a, second, b)
		}
	}
	s.declare([]string{"node1", "node2"}, `parameters = { work_mem = "8MB", max_connections = 150 }`)
	s.plan().want(s.t, exitChanges).says(s.t, "restart PostgreSQL", "max_connections")
	s.converge()
	order("node2", "node1") // raised: the standby first
	replicated(s.t, s.node("node1"), s.node("node2"))

	s.declare([]string{"node1", "node2"}, `parameters = { work_mem = "8MB", max_connections = 90 }`)
	s.converge()
	order("node1", "node2") // lowered: the primary first
	replicated(s.t, s.node("node1"), s.node("node2"))

	// Somebody changed things by hand: postgresql.auto.conf wins over files, so it is reset.
	psql(s.t, s.node("node1"), "ALTER SYSTEM SET work_mem = '1MB'")
	psql(s.t, s.node("node1"), "SELECT pg_reload_conf()")
	eventually(s.t, aWhile, "work_mem by hand", func() bool { return psql(s.t, s.node("node1"), "SHOW work_mem") == "1MB" })
	s.converge()
	if got := psql(s.t, s.node("node1"), "SHOW work_mem"); got != "8MB" {
		s.t.Errorf("work_mem is %s after ALTER SYSTEM was undone", got)
	}

	// A value that PostgreSQL refuses is refused before anything changes.
	s.declare([]string{"node1", "node2"}, `parameters = { work_mem = "8MBytes", max_connections = 90 }`)
	s.run("apply", "--auto-approve").want(s.t, exitError).says(s.t, "work_mem")
	s.declare([]string{"node1", "node2"})
	s.converge()
	if got := psql(s.t, s.node("node1"), "SHOW max_connections"); got != "100" {
		s.t.Errorf("max_connections is %s after it was taken out of the file", got)
	}
}

func standbyGone(s *site) {
	n := s.node("node2")
	n.Shell(s.t, "postgres", fmt.Sprintf("pg_ctlcluster %d main stop -m immediate; rm -rf /var/lib/postgresql/%[1]d/main", s.version))
	s.plan().want(s.t, exitChanges).says(s.t, "build standby from node1")
	s.converge()
	replicated(s.t, s.node("node1"), n)
	s.streams("node2", "node1")
}

func thirdNode(s *site) {
	s.declare([]string{"node1", "node2", "node3<node2"})
	s.converge()
	s.streams("node3", "node2")
	replicated(s.t, s.node("node1"), s.node("node3"))

	s.declare([]string{"node1", "node2", "node3"}) // from a cascade to beside node2
	s.plan().want(s.t, exitChanges).says(s.t, "primary_conninfo")
	s.converge()
	s.streams("node3", "node1")
	if got := psql(s.t, s.node("node2"), "SELECT count(*) FROM pg_replication_slots"); got != "0" {
		s.t.Errorf("node2 keeps %s slots that nobody uses", got)
	}
	s.declare([]string{"node1", "node2", "node3<node2"})
	s.converge()
	s.streams("node3", "node2")

	// A node that leaves the file is forgotten, not touched.
	s.declare([]string{"node1", "node2"})
	s.plan()
	if got := psql(s.t, s.node("node3"), "SELECT pg_is_in_recovery()"); got != "t" {
		s.t.Errorf("node3 was touched: in recovery is %s", got)
	}
	s.declare([]string{"node1", "node2", "node3<node2"})
	s.converge()
}

func statusAndCheck(s *site) {
	s.run("status").want(s.t, exitOK).says(s.t, "node1", "node2", "node3", "primary", "streaming").silentOn(s.t, "s3cret")
	var doc map[string]any
	s.json(&doc, "status")
	s.run("check", "primary", "node1").want(s.t, 0)
	s.run("check", "standby", "node1").want(s.t, 1)
	s.run("check", "standby", "node2").want(s.t, 0)
	s.run("check", "primary", "node2").want(s.t, 1)

	// A saved plan: applied once, refused the second time and when the facts have changed.
	s.declare([]string{"node1", "node2", "node3<node2"}, `parameters = { work_mem = "7MB" }`)
	s.ok("plan", "--out", "saved.plan").says(s.t, "apply saved.plan")
	s.ok("show", "saved.plan").says(s.t, "work_mem")
	s.ok("apply", "--auto-approve", "saved.plan")
	s.settled()
	s.run("apply", "--auto-approve", "saved.plan").want(s.t, exitError)
	s.declare([]string{"node1", "node2", "node3<node2"})
	s.ok("plan", "--out", "stale.plan")
	psql(s.t, s.node("node1"), "ALTER SYSTEM SET work_mem = '1MB'")
	psql(s.t, s.node("node1"), "SELECT pg_reload_conf()")
	s.run("apply", "--auto-approve", "stale.plan").want(s.t, exitError).says(s.t, "node1")
	s.converge()
}
