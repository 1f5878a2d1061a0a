package acceptance

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"pg_manage/testdata/lab"
)

// nightly is a rule that an apply fulfils once.
const nightly = `backup "nightly" {
    target  = "vault"
    max_age = "24h"
    keep { full = 3 }
  }`

// backupList is what `backups --json` tells, as far as the tests want it.
type backupList struct {
	Clusters []struct {
		Cluster string `json:"cluster"`
		Backups []struct {
			Label  string `json:"label"`
			Kind   string `json:"kind"`
			Parent string `json:"parent"`
			Broken string `json:"broken"`
			Proven string `json:"proven"`
		} `json:"backups"`
	} `json:"clusters"`
}

// backups gives the labels of a cluster's backups, oldest first.
func (s *site) backups() []string {
	s.t.Helper()
	var doc backupList
	s.json(&doc, "backups")
	var labels []string
	for _, c := range doc.Clusters {
		for _, b := range c.Backups {
			if b.Broken != "" {
				s.t.Errorf("%s is broken: %s", b.Label, b.Broken)
			}
			labels = append(labels, b.Label)
		}
	}
	return labels
}

// newest is the label of the newest backup.
func (s *site) newest() string {
	s.t.Helper()
	all := s.backups()
	if len(all) == 0 {
		s.t.Fatal("there is no backup")
	}
	return all[len(all)-1]
}

// TestBackups takes, restores, proves and goes back in time with every PostgreSQL that the lab has.
func TestBackups(t *testing.T) {
	t.Parallel()
	for _, suite := range []string{"bullseye", "bookworm", "trixie", "sid"} {
		t.Run(suite, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, suite, "node1")
			s.declare([]string{"node1"}, nightly)
			n := s.node("node1")
			t.Run("the first backup", s.in(func() {
				s.converge()
				if got := s.backups(); len(got) != 1 {
					s.t.Errorf("apply left the backups %q", got)
				}
			}))
			t.Run("full and incremental", s.in(func() { fullAndIncremental(s, n) }))
			t.Run("restored files", s.in(func() { restoredFiles(s, n) }))
			t.Run("by hand", s.in(func() { byHand(s, n) }))
			t.Run("verify and drill", s.in(func() {
				s.ok("verify", "main", "--all")
				s.ok("verify", "main", "--drill")
				var doc backupList
				s.json(&doc, "backups")
				if b := doc.Clusters[0].Backups; b[len(b)-1].Proven == "" {
					s.t.Errorf("the drill left no proof: %+v", b)
				}
			}))
			t.Run("in place to a point in time", s.in(func() { inPlace(s, n) }))
		})
	}
}

func pgbin(n *lab.Node, program string) string {
	return fmt.Sprintf("/usr/lib/postgresql/%d/bin/%s", n.Postgres, program)
}

func fullAndIncremental(s *site, n *lab.Node) {
	n.Shell(s.t, "postgres", pgbin(n, "pgbench")+" --quiet --initialize --scale=5 postgres")
	psql(s.t, n, "CREATE UNLOGGED TABLE fleeting AS SELECT 1 AS a")
	if n.Postgres >= 17 {
		s.declare([]string{"node1"}, nightly, `parameters = { summarize_wal = "on" }`)
		s.converge()
	}
	s.ok("backup", "main", "--full")
	full := s.newest()
	psql(s.t, n, "UPDATE pgbench_accounts SET abalance = 42 WHERE aid % 1000 = 7")
	s.ok("backup", "main", "--incremental")
	var doc backupList
	s.json(&doc, "backups")
	all := doc.Clusters[0].Backups
	if last := all[len(all)-1]; last.Kind != "incremental" || last.Parent != full {
		s.t.Errorf("the newest backup is %+v, not an incremental one on %s", last, full)
	}
	s.settled()
}

// request is what a node is asked to restore a backup into a directory.
func (s *site) request(n *lab.Node, label, dir string, delta bool) string {
	s.t.Helper()
	state := "/var/lib/postgresql/.pg_manage/main/" + n.Name
	var hook struct {
		Targets []map[string]any `json:"targets"`
	}
	if err := json.Unmarshal([]byte(n.Run(s.t, "cat", state+"/hook.json")), &hook); err != nil {
		s.t.Fatal(err)
	}
	b, err := json.Marshal(map[string]any{
		"version": 1, "label": label, "data_dir": dir, "delta": delta, "state_dir": state,
		"place": map[string]any{"target": hook.Targets[0], "backup_dir": "pg_hotbackup", "cluster": "main"},
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return string(b)
}

// restore restores a backup into a directory of the node, and has PostgreSQL verify what came of it.
func (s *site) restore(n *lab.Node, label, dir string, delta bool) {
	s.t.Helper()
	out, err := n.ExecInput(s.request(n, label, dir, delta), "runuser", "-u", "postgres", "--", "/var/lib/postgresql/.pg_manage/bin/pg_manage", "node", "restore")
	if err != nil {
		s.t.Fatalf("restore %s: %v: %s", label, err, out)
	}
	n.Shell(s.t, "postgres", pgbin(n, "pg_verifybackup")+" --no-parse-wal "+dir)
}

func restoredFiles(s *site, n *lab.Node) {
	labels := s.backups()
	const dir = "/var/lib/postgresql/scratch"
	for _, label := range labels {
		s.restore(n, label, dir, false)
		if label != labels[len(labels)-1] {
			n.Run(s.t, "rm", "-rf", dir)
		}
	}
	// Over a directory of the same cluster: only what differs comes anew.
	n.Shell(s.t, "postgres", `cd `+dir+` && f=$(find base -size +1M | head -n 1) && printf garbage | dd of=$f bs=1 seek=20000 conv=notrunc 2>/dev/null && rm global/pg_filenode.map && touch base/1/999999`)
	s.restore(n, labels[len(labels)-1], dir, true)
	n.Run(s.t, "rm", "-rf", dir)
}

// byHand restores with the shell script of the examples: tar and zstd, and nothing of ours.
func byHand(s *site, n *lab.Node) {
	script, err := os.ReadFile("../../examples/restore-by-hand.sh")
	if err != nil {
		s.t.Fatal(err)
	}
	if _, err := n.ExecInput(string(script), "sh", "-c", "cat >/tmp/by-hand.sh"); err != nil {
		s.t.Fatal(err)
	}
	label := s.backups()[1]
	if !strings.HasSuffix(label, "-full") {
		s.t.Fatalf("%s is not full", label)
	}
	n.Shell(s.t, "postgres", fmt.Sprintf(`set -e
		cd /var/lib/postgresql && rm -rf copy hand && mkdir copy
		scp -q 'backup@vault:/backup/pg_hotbackup/main/%[1]s/*' copy/
		sh /tmp/by-hand.sh copy hand
		%[2]s --no-parse-wal hand
		cat >>hand/postgresql.auto.conf <<'END'
restore_command = 'ssh backup@vault "cat /backup/pg_archlog/main/$(echo %%f | cut -c 1-16)/%%f.zst" | zstd -dq >%%p'
recovery_target = 'immediate'
recovery_target_action = 'promote'
END
		[ -e hand/postgresql.conf ] || cp /etc/postgresql/%[3]d/main/*.conf hand/
		touch hand/recovery.signal hand/pg_ident.conf
		echo 'local all all peer' >hand/pg_hba.conf
		echo "port = 5499
			unix_socket_directories = '/tmp'
			listen_addresses = ''
			archive_mode = off" >hand/postgresql.conf
		%[4]s -D hand -w -t 60 -l hand.log start || { cat hand.log; exit 1; }`, label, pgbin(n, "pg_verifybackup"), n.Postgres, pgbin(n, "pg_ctl")))
	eventually(s.t, aWhile, "recovery by hand ends", func() bool {
		out, err := n.Exec("runuser", "-u", "postgres", "--", "psql", "-h", "/tmp", "-p", "5499", "-tAc", "SELECT pg_is_in_recovery()", "postgres")
		return err == nil && strings.TrimSpace(out) == "f"
	})
	if got := n.Shell(s.t, "postgres", "psql -h /tmp -p 5499 -tAc 'SELECT count(*) FROM pgbench_accounts' postgres"); got != "500000" {
		s.t.Errorf("pgbench_accounts has %s rows", got)
	}
	if n.Postgres >= 14 {
		n.Shell(s.t, "postgres", pgbin(n, "pg_amcheck")+" --install-missing -h /tmp -p 5499 --all")
	}
	n.Shell(s.t, "postgres", "cd /var/lib/postgresql; "+pgbin(n, "pg_ctl")+" -D hand -w -m fast stop >/dev/null; rm -rf copy hand hand.log")
}

// inPlace takes the cluster back to before a mistake.
func inPlace(s *site, n *lab.Node) {
	psql(s.t, n, "CREATE TABLE precious AS SELECT g FROM generate_series(1, 1000) g")
	before := psql(s.t, n, "SELECT clock_timestamp()")
	psql(s.t, n, "DROP TABLE precious")
	s.archived("node1")
	if r := s.run("restore", "main", "--to-time", before, "--auto-approve"); r.code == 0 {
		s.t.Fatalf("data was put aside without consent:\n%s", r.stdout)
	}
	s.ok("restore", "main", "--to-time", before, "--auto-approve", "--allow-data-loss=node1")
	if got := psql(s.t, n, "SELECT count(*) FROM precious"); got != "1000" {
		s.t.Errorf("precious has %s rows", got)
	}
	s.settled()
	if n.Postgres >= 14 {
		n.Shell(s.t, "postgres", pgbin(n, "pg_amcheck")+" --install-missing --all")
	}
	if got := psql(s.t, n, "SELECT count(*) FROM pg_settings WHERE name LIKE 'recovery_target%' AND source = 'configuration file' AND setting <> ''"); got != "0" {
		s.t.Errorf("%s recovery settings were left behind", got)
	}
	s.archived("node1")
}
