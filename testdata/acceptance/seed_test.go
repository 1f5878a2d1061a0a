package acceptance

import (
	"strings"
	"sync"
	"testing"
)

// TestClusterFromBackup builds a third node from a backup while the primary serves a load, and then takes the whole
// cluster back in time.
func TestClusterFromBackup(t *testing.T) {
	t.Parallel()
	s := newSite(t, "trixie", "node1", "node2", "node3")
	logged := `parameters = { log_replication_commands = "on" }`
	s.declare([]string{"node1", "node2"}, nightly, logged)
	s.converge()
	n1 := s.node("node1")
	n1.Shell(t, "postgres", pgbin(n1, "pgbench")+" --quiet --initialize --scale=10 postgres")
	s.ok("backup", "main")
	copies := func() int {
		return strings.Count(n1.Run(t, "sh", "-c", "cat /var/log/postgresql/*.log"), "BASE_BACKUP")
	}
	before := copies()

	t.Run("a third node from the backup", s.in(func() {
		stop := make(chan struct{})
		var load sync.WaitGroup
		load.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if out, err := n1.Exec("runuser", "-u", "postgres", "--", pgbin(n1, "pgbench"), "-n", "-c", "2", "-T", "2", "postgres"); err != nil {
					t.Errorf("the load: %v: %s", err, out)
					return
				}
			}
		})
		s.write("cluster.hcl", strings.Replace(clusterFile(s.version, []string{"node1", "node2", "node3"}, nightly, logged),
			"host = \"{{node3}}\"", "host = \"{{node3}}\"\n    seed_from = [\"backup\"]", 1))
		s.plan().want(s.t, exitChanges).says(s.t, "from base backup "+s.newest())
		s.apply()
		close(stop)
		load.Wait()
		s.settled()
		s.streams("node3", "node1")
		replicated(s.t, n1, s.node("node3"))
		if got := copies(); got != before {
			s.t.Errorf("the primary was asked for %d base backups", got-before)
		}
	}))

	t.Run("the whole cluster back in time", s.in(func() {
		psql(s.t, n1, "CREATE TABLE precious AS SELECT g FROM generate_series(1, 1000) g")
		before := psql(s.t, n1, "SELECT clock_timestamp()")
		psql(s.t, n1, "DROP TABLE precious")
		s.archived("node1")
		s.run("restore", "main", "--to-time", before, "--dry-run").says(s.t, "node1", "node2", "node3")
		s.ok("restore", "main", "--to-time", before, "--auto-approve", "--allow-data-loss=node1", "--allow-data-loss=node2", "--allow-data-loss=node3")
		for _, n := range []string{"node1", "node2", "node3"} {
			eventually(s.t, aWhile, "precious is on "+n, func() bool {
				out, err := tryPSQL(s.node(n), "SELECT count(*) FROM precious")
				return err == nil && out == "1000"
			})
		}
		s.settled()
		s.streams("node2", "node1")
		s.streams("node3", "node1")
		replicated(s.t, n1, s.node("node2"))
		replicated(s.t, n1, s.node("node3"))
		n1.Shell(s.t, "postgres", pgbin(n1, "pg_amcheck")+" --install-missing --all")
		if got := s.newest(); got == "" {
			s.t.Error("no backup of the new timeline")
		}
		s.ok("verify", "main", "--drill")
	}))
}
