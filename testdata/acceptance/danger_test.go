package acceptance

import (
	"encoding/json"
	"os/exec"
	"strings"
	"sync"
	"testing"
)

// TestDanger tries what would cost a person data: each time what was there is there afterwards.
func TestDanger(t *testing.T) {
	t.Parallel()
	s := newSite(t, "trixie", "node1", "node2")
	both := []string{"node1", "node2"}
	s.declare(both)
	n1, n2 := s.node("node1"), s.node("node2")

	t.Run("the configuration of another instance", s.in(func() {
		n1.Run(s.t, "pg_createcluster", "--datadir=/srv/theirs", "--port=5499", "17", "main")
		n1.Run(s.t, "pg_ctlcluster", "17", "main", "start")
		before := n1.Run(s.t, "sh", "-c", "cat /etc/postgresql/17/main/*.conf | sha256sum")
		s.run("apply", "--auto-approve").want(s.t, exitError).says(s.t, "/etc/postgresql/17/main/postgresql.conf", "/srv/theirs")
		if after := n1.Run(s.t, "sh", "-c", "cat /etc/postgresql/17/main/*.conf | sha256sum"); after != before {
			s.t.Error("the configuration of another instance was changed")
		}
		if _, err := n1.Exec("test", "-e", "/var/lib/postgresql/17/main"); err == nil {
			s.t.Error("a data directory was made for a configuration that is not its own")
		}
		if got := n1.Shell(s.t, "postgres", "psql -p 5499 -tAc 'SELECT 1'"); got != "1" {
			s.t.Errorf("the other instance answers %q", got)
		}
		n1.Run(s.t, "pg_ctlcluster", "17", "main", "stop")
		s.run("apply", "--auto-approve").want(s.t, exitError).says(s.t, "/srv/theirs")
		n1.Run(s.t, "pg_dropcluster", "17", "main")
	}))

	t.Run("mount points, and kill -9 in the middle", s.in(func() {
		for _, n := range []string{"node1", "node2"} {
			s.node(n).Run(s.t, "install", "-d", "-o", "postgres", "-g", "postgres", "-m", "755", "/var/lib/postgresql/17", "/var/lib/postgresql/17/main")
			if err := s.node(n).SmallDisk("/var/lib/postgresql/17/main", 600); err != nil {
				s.t.Fatal(err)
			}
		}
		// A lost initdb leaves files that its own clearing away did not see.
		n1.Shell(s.t, "postgres", "mkdir -p /var/lib/postgresql/17/main/.pg_manage-building/data/base")
		s.interfere("init-instance", func(cmd *exec.Cmd) { _ = cmd.Process.Kill() })
		s.apply()
		replicated(s.t, n1, n2)
		psql(s.t, n1, "CREATE TABLE bulk AS SELECT g, repeat(md5(g::text), 20) FROM generate_series(1, 150000) g")
		n2.Shell(s.t, "postgres", "pg_ctlcluster 17 main stop; find /var/lib/postgresql/17/main -mindepth 1 -delete")
		s.interfere("build-standby", func(cmd *exec.Cmd) {
			eventually(s.t, aWhile, "a copy in the middle", func() bool {
				_, err := n2.Exec("test", "-e", "/var/lib/postgresql/17/main/.pg_manage-building/data/base/1")
				return err == nil
			})
			n2.Run(s.t, "sh", "-c", "kill -9 $(pgrep -x pg_basebackup); true")
			_ = cmd.Process.Kill()
		})
		s.converge("--lock-timeout=2m")
		replicated(s.t, n1, n2)

		// Killed while the finished copy moved up: some names are there, PG_VERSION is not.
		n2.Shell(s.t, "postgres", `pg_ctlcluster 17 main stop
			cd /var/lib/postgresql/17/main && mkdir -p .pg_manage-building/data
			for f in *; do [ "$f" = PG_VERSION ] || echo "$f"; done >.pg_manage-building/moving
			mv PG_VERSION global pg_wal .pg_manage-building/data/`)
		s.converge()
		replicated(s.t, n1, n2)
		n2.Shell(s.t, "postgres", "test ! -e /var/lib/postgresql/17/main/.pg_manage-building")

		// What somebody else put there is never cleared away with it.
		n2.Shell(s.t, "postgres", `pg_ctlcluster 17 main stop
			cd /var/lib/postgresql/17/main && mkdir -p .pg_manage-building/data && echo base >.pg_manage-building/moving
			mv PG_VERSION .pg_manage-building/data/; find . -mindepth 1 -maxdepth 1 ! -name base ! -name .pg_manage-building -exec rm -rf {} +; echo precious >thesis.txt`)
		s.run("apply", "--auto-approve", "--allow-data-loss=node2").want(s.t, exitError).says(s.t, "thesis.txt")
		if got := n2.Run(s.t, "cat", "/var/lib/postgresql/17/main/thesis.txt"); got != "precious" {
			s.t.Errorf("the file holds %q", got)
		}
		for _, n := range []string{"node1", "node2"} {
			s.node(n).Run(s.t, "sh", "-c", "pid=$(head -1 /var/lib/postgresql/17/main/postmaster.pid 2>/dev/null) && kill -QUIT $pid && while kill -0 $pid 2>/dev/null; do sleep 0.05; done; umount /var/lib/postgresql/17/main")
		}
		s.reset("node1", "node2")
	}))

	t.Run("killed between the two renames", s.in(func() {
		s.converge()
		n2.Shell(s.t, "postgres", `pg_ctlcluster 17 main stop; cd /var/lib/postgresql/17
			mv main main.old-20260101T000000Z; echo keep >main.old-20260101T000000Z/keepsake; cp -a main.old-20260101T000000Z main.pg_manage-building`)
		s.plan().want(s.t, exitChanges).says(s.t, "/var/lib/postgresql/17/main.old-20260101T000000Z")
		s.converge()
		replicated(s.t, n1, n2)
		if got := n2.Run(s.t, "cat", "/var/lib/postgresql/17/main.old-20260101T000000Z/keepsake"); got != "keep" {
			s.t.Errorf("the old data directory: %q", got)
		}
		// A primary whose only data was moved aside is not begun anew.
		n1.Shell(s.t, "postgres", "pg_ctlcluster 17 main stop; cd /var/lib/postgresql/17; mv main main.old-20260101T000000Z; rm -f /etc/postgresql/17/main/pg_manage.conf")
		n2.Shell(s.t, "postgres", "pg_ctlcluster 17 main stop; cd /var/lib/postgresql/17; mv main elsewhere; rm -rf main.old-*")
		s.run("apply", "--auto-approve").want(s.t, exitError).says(s.t, "main.old-20260101T000000Z")
		n1.Shell(s.t, "postgres", "test ! -e /var/lib/postgresql/17/main; cd /var/lib/postgresql/17; mv main.old-20260101T000000Z main")
		n2.Shell(s.t, "postgres", "cd /var/lib/postgresql/17; mv elsewhere main")
		s.converge()
		replicated(s.t, n1, n2)
	}))

	t.Run("secrets, with everything logged and every process seen", s.in(func() {
		s.reset("node1", "node2")
		s.declare(both, `parameters = { log_statement = "all", log_min_duration_statement = 0, log_replication_commands = "on" }`)
		seen := watchProcesses(s, "node1", "node2", "vault")
		s.ok("plan", "--out=p.bin")
		s.run("show", "p.bin").silentOn(s.t, "s3cret-")
		r := s.run("apply", "--auto-approve", "--json", "--debug").silentOn(s.t, "s3cret-", "SCRAM-SHA-256$")
		if r.code != exitOK {
			r = s.apply("--json").silentOn(s.t, "s3cret-", "SCRAM-SHA-256$")
		}
		s.settled()
		// Another password: standbys go on.
		s.env = append(s.env, "REPLICATION_PASSWORD=s3cret-2 other")
		pid := psql(s.t, n1, "SELECT pid FROM pg_stat_replication")
		s.apply("--json").silentOn(s.t, "s3cret-", "SCRAM-SHA-256$")
		s.settled()
		if now := psql(s.t, n1, "SELECT pid FROM pg_stat_replication"); now != pid {
			s.t.Errorf("a change of the password interrupted the stream: sender %q, then %q", pid, now)
		}
		psql(s.t, n1, "SELECT pg_terminate_backend(pid) FROM pg_stat_replication")
		eventually(s.t, aWhile, "the standby streams with the new password", func() bool {
			return psql(s.t, n1, "SELECT pid FROM pg_stat_replication WHERE state = 'streaming'") != ""
		})
		// A role that cannot be made gives no secret away.
		psql(s.t, n1, "DROP TABLE IF EXISTS x; ALTER ROLE replicator NOLOGIN")
		s.apply().silentOn(s.t, "s3cret-", "SCRAM-SHA-256$")
		s.settled()
		for _, text := range seen() {
			if strings.Contains(text, "s3cret-") || strings.Contains(text, "SCRAM-SHA-256$") {
				s.t.Errorf("a process list shows %q", text)
			}
		}
		s.noSecret("node1", "node2")
		for _, n := range []string{"node1", "node2"} {
			if out, err := s.node(n).Exec("grep", "-rlF", "--exclude-dir=bin", "SCRAM-SHA-256$", "/var/log", "/tmp", "/etc", "/var/lib/postgresql/.pg_manage"); err == nil {
				s.t.Errorf("%s: a verifier stands in %s", n, out)
			}
			if out := s.node(n).Run(s.t, "sh", "-c", "find /tmp /var/tmp /dev/shm /run -xdev -newer /etc/hostname -type f -user postgres ! -path '/run/postgresql/*' ! -path '/dev/shm/PostgreSQL*'; find /var/lib/postgresql /etc/postgresql -name '.*.tmp' -o -name '*.new'"); out != "" {
				s.t.Errorf("%s: left behind: %s", n, out)
			}
		}
		var lines int
		for _, l := range strings.Split(r.stdout, "\n") {
			if l != "" && json.Valid([]byte(l)) {
				lines++
			}
		}
		s.t.Logf("%d processes seen, %d events", len(seen()), lines)
	}))

	t.Run("a replication user of another name", s.in(func() {
		text := clusterFile(s.version, both)
		s.write("cluster.hcl", strings.Replace(text, `"replicator"`, `"streamer"`, 1))
		s.converge()
		replicated(s.t, n1, n2)
		if got := psql(s.t, n1, "SELECT usename FROM pg_stat_replication"); got != "streamer" {
			s.t.Errorf("the standby streams as %q", got)
		}
	}))

	t.Run("a limit that is lowered", s.in(func() {
		s.write("cluster.hcl", strings.Replace(clusterFile(s.version, both, `parameters = { max_connections = 150 }`), `"replicator"`, `"streamer"`, 1))
		s.converge()
		s.write("cluster.hcl", strings.Replace(clusterFile(s.version, both, `parameters = { max_connections = 90 }`), `"replicator"`, `"streamer"`, 1))
		s.converge() // the standby connects again only seconds after the primary's restart
		replicated(s.t, n1, n2)
	}))

	t.Run("a lost slot", s.in(func() {
		n2.Shell(s.t, "postgres", "pg_ctlcluster 17 main stop")
		psql(s.t, n1, "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots; CREATE TABLE IF NOT EXISTS more (t text)")
		for range 8 {
			psql(s.t, n1, "SELECT pg_switch_wal(); INSERT INTO more SELECT repeat(md5(g::text), 30) FROM generate_series(1, 15000) g")
		}
		s.archived("node1")
		psql(s.t, n1, "CHECKPOINT; CHECKPOINT")
		s.converge()
		replicated(s.t, n1, n2)
		log := n2.Run(s.t, "sh", "-c", "cat /var/log/postgresql/*.log")
		if !strings.Contains(log, "restored log file") {
			s.t.Error("the standby took nothing from the archive")
		}
	}))
}

// watchProcesses looks at the command lines and environments of all processes of nodes, over and over, until the
// result is called; it gives all that were seen.
func watchProcesses(s *site, names ...string) func() []string {
	seen, mu, wg, stop := map[string]bool{}, sync.Mutex{}, sync.WaitGroup{}, make(chan struct{})
	for _, name := range names {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				out, err := s.node(name).Exec("sh", "-c", `i=0; while [ $i -lt 40 ]; do i=$((i+1)); for p in /proc/[0-9]*; do tr '\0' ' ' <$p/cmdline; echo; tr '\0' ' ' <$p/environ; echo; done 2>/dev/null; sleep 0.02; done | sort -u`)
				if err != nil {
					continue
				}
				mu.Lock()
				for _, l := range strings.Split(out, "\n") {
					seen[l] = true
				}
				mu.Unlock()
			}
		})
	}
	once := sync.OnceFunc(func() { close(stop); wg.Wait() })
	return func() []string {
		once()
		var all []string
		for l := range seen {
			all = append(all, l)
		}
		return all
	}
}
