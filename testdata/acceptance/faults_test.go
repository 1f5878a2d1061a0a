package acceptance

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestFaults puts one fault after another in the way: each gives an error that says what,
// where and what to do, nothing is lost, and once it is mended the next apply does the work.
func TestFaults(t *testing.T) {
	t.Parallel()
	s := newSite(t, "trixie", "node1", "node2")
	both := []string{"node1", "node2"}

	t.Run("before there is anything", s.in(func() {
		s.declare(both, "prot = 5433")
		s.run("plan").want(s.t, exitError).says(s.t, "cluster.hcl", "prot", `Did you mean "port"`)
		s.declare(both)
		env := s.env
		s.env = nil
		s.run("plan").want(s.t, exitError).says(s.t, "REPLICATION_PASSWORD", "cluster.hcl")
		s.env = env
	}))

	t.Run("wrong key", s.in(func() {
		key := filepath.Join(s.lab.SSHDir, "id_ed25519")
		if err := os.Rename(key, key+".away"); err != nil {
			s.t.Fatal(err)
		}
		if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key).CombinedOutput(); err != nil {
			s.t.Fatalf("%v: %s", err, out)
		}
		r := s.run("plan")
		if err := os.Rename(key+".away", key); err != nil {
			s.t.Fatal(err)
		}
		r.want(s.t, exitError).says(s.t, "node1", "authorized_keys")
	}))

	t.Run("changed and unknown host key", s.in(func() {
		known := filepath.Join(s.lab.SSHDir, "known_hosts")
		was, err := os.ReadFile(known)
		if err != nil {
			s.t.Fatal(err)
		}
		key, err := s.node("node1").HostKey()
		if err != nil {
			s.t.Fatal(err)
		}
		other, err := s.node("node2").HostKey()
		if err != nil {
			s.t.Fatal(err)
		}
		blob := func(line string) string { // the key alone, whatever form the line has
			for _, f := range strings.Fields(line) {
				if strings.HasPrefix(f, "AAAA") {
					return f
				}
			}
			s.t.Fatalf("no key in %q", line)
			return ""
		}
		for text, want := range map[string]string{
			strings.ReplaceAll(string(was), blob(key), blob(other)): "CHANGED",
			"": "unknown host key",
		} {
			if err := os.WriteFile(known, []byte(text), 0o600); err != nil {
				s.t.Fatal(err)
			}
			s.run("plan").want(s.t, exitError).says(s.t, want, "SHA256:")
		}
		if err := os.WriteFile(known, was, 0o600); err != nil {
			s.t.Fatal(err)
		}
	}))

	t.Run("sudo", s.in(func() {
		s.write("cluster.hcl", strings.Replace(clusterFile(s.version, both), `user = "postgres"`, `user = "nosudo"`, 1))
		s.run("plan").want(s.t, exitError).says(s.t, "nosudo may not run commands as postgres")
	}))

	t.Run("PostgreSQL not installed, or another version", s.in(func() {
		s.declare(both)
		s.node("node2").Run(s.t, "mv", "/usr/lib/postgresql/17", "/usr/lib/away")
		s.run("plan").want(s.t, exitError).says(s.t, "PostgreSQL 17 is not installed on node2", "apt-get install postgresql-17")
		s.node("node2").Run(s.t, "mv", "/usr/lib/away", "/usr/lib/postgresql/17")
		s.write("cluster.hcl", clusterFile(16, both))
		s.run("plan").want(s.t, exitError).says(s.t, "PostgreSQL 16 is not installed on node1", "17")
		s.declare(both)
	}))

	t.Run("host down before the first apply", s.in(func() {
		if err := s.node("node2").PowerOff(); err != nil {
			s.t.Fatal(err)
		}
		s.run("apply", "--auto-approve").want(s.t, exitError).says(s.t, "node2", "BLOCKED")
		if _, err := s.node("node1").Exec("test", "-e", "/var/lib/postgresql/17/main"); err == nil {
			s.t.Error("a cluster was created while a node that may hold data was down")
		}
		if err := s.node("node2").PowerOn(); err != nil {
			s.t.Fatal(err)
		}
	}))

	t.Run("target without our key", s.in(func() {
		s.node("vault").Run(s.t, "mv", "/home/backup/.ssh/authorized_keys", "/home/backup/.ssh/away")
		s.run("apply", "--auto-approve").want(s.t, exitError).says(s.t, "ssh-ed25519 AAAA", "authorized_keys", "backup")
		s.node("vault").Run(s.t, "mv", "/home/backup/.ssh/away", "/home/backup/.ssh/authorized_keys")
	}))

	t.Run("port taken", s.in(func() {
		n := s.node("node1")
		if err := n.Command("perl", "-MIO::Socket::INET", "-e", `$s = IO::Socket::INET->new(LocalAddr => "0.0.0.0:5432", Listen => 1, ReuseAddr => 1) or die; sleep 600`).Start(); err != nil {
			s.t.Fatal(err)
		}
		eventually(s.t, aWhile, "the port is taken", func() bool {
			_, err := n.Exec("sh", "-c", "ss -Hltn | grep -q :5432")
			return err == nil
		})
		s.run("apply", "--auto-approve").want(s.t, exitError).says(s.t, "5432", "node1", "taken")
		n.Run(s.t, "sh", "-c", "kill $(ss -Hltnp | grep :5432 | grep -o 'pid=[0-9]*' | cut -d= -f2)")
	}))

	t.Run("foreign data directory", s.in(func() {
		n := s.node("node2")
		n.Shell(s.t, "postgres", "mkdir -p /var/lib/postgresql/17/main && echo precious >/var/lib/postgresql/17/main/thesis.txt")
		s.run("apply", "--auto-approve", "--allow-data-loss=node2").want(s.t, exitError).says(s.t, "node2", "thesis.txt")
		if got := n.Run(s.t, "cat", "/var/lib/postgresql/17/main/thesis.txt"); got != "precious" {
			s.t.Errorf("the file holds %q", got)
		}
		n.Run(s.t, "rm", "-r", "/var/lib/postgresql/17/main")
	}))

	t.Run("disk full while a standby is built", s.in(func() {
		n := s.node("node2")
		n.Run(s.t, "sh", "-c", "install -d -o postgres -g postgres -m 755 /var/lib/postgresql/17")
		if err := n.SmallDisk("/var/lib/postgresql/17", 36); err != nil {
			s.t.Fatal(err)
		}
		s.run("apply", "--auto-approve").want(s.t, exitError).says(s.t, "node2", "space")
		if _, err := n.Exec("test", "-e", "/var/lib/postgresql/17/main/PG_VERSION"); err == nil {
			s.t.Error("half a data directory stands where a whole one belongs")
		}
		n.Run(s.t, "umount", "/var/lib/postgresql/17")
		s.converge()
		replicated(s.t, s.node("node1"), n)
	}))

	t.Run("data of another cluster", s.in(func() {
		n := s.node("node2")
		n.Shell(s.t, "postgres", `pg_ctlcluster 17 main stop; rm -rf /var/lib/postgresql/17/main
			/usr/lib/postgresql/17/bin/initdb -D /var/lib/postgresql/17/main >/dev/null; echo keep >/var/lib/postgresql/17/main/keepsake`)
		s.plan().want(s.t, exitDataLoss).says(s.t, "belongs to another cluster", "--allow-data-loss=node2")
		s.run("apply", "--auto-approve").want(s.t, exitError).says(s.t, "--allow-data-loss=node2")
		s.apply("--allow-data-loss=node2")
		s.settled()
		if got := n.Shell(s.t, "postgres", "cat /var/lib/postgresql/17/main.old-*/keepsake"); got != "keep" {
			s.t.Errorf("the old data directory was not kept whole: %q", got)
		}
		replicated(s.t, s.node("node1"), n)
		n.Shell(s.t, "postgres", "rm -rf /var/lib/postgresql/17/main.old-*")
	}))

	t.Run("cable cut while a standby is built", s.in(func() {
		n := s.node("node2")
		psql(s.t, s.node("node1"), "CREATE TABLE IF NOT EXISTS bulk AS SELECT g, repeat(md5(g::text), 20) FROM generate_series(1, 120000) g")
		n.Shell(s.t, "postgres", "pg_ctlcluster 17 main stop -m immediate; rm -rf /var/lib/postgresql/17/main")
		r := s.interfere("build-standby", func(*exec.Cmd) {
			if err := n.Cut(); err != nil {
				s.t.Error(err)
			}
		})
		r.want(s.t, exitError).says(s.t, "node2")
		s.t.Logf("apply ended %s after it began, with the cable cut", r.took.Round(time.Second))
		if err := n.Join(); err != nil {
			s.t.Fatal(err)
		}
		s.converge("--lock-timeout=2m")
		replicated(s.t, s.node("node1"), n)
	}))

	t.Run("interrupted, and two at once", s.in(func() {
		n := s.node("node2")
		n.Shell(s.t, "postgres", "pg_ctlcluster 17 main stop -m immediate; rm -rf /var/lib/postgresql/17/main")
		r := s.interfere("build-standby", func(cmd *exec.Cmd) {
			// The copy stands still meanwhile: it must not be over before the other one comes.
			eventually(s.t, aWhile, "a copy that can be held", func() bool {
				_, err := n.Exec("pkill", "-STOP", "-x", "pg_basebackup")
				return err == nil
			})
			defer func() { _, _ = n.Exec("pkill", "-CONT", "-x", "pg_basebackup") }() // it may have been ended
			s.run("apply", "--auto-approve").want(s.t, exitError).says(s.t, "locked by", "apply")
			if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
				s.t.Error(err)
			}
		})
		r.want(s.t, 130)
		s.converge()
		replicated(s.t, s.node("node1"), n)
	}))

	t.Run("host down afterwards", s.in(func() {
		if err := s.node("node2").PowerOff(); err != nil {
			s.t.Fatal(err)
		}
		s.declare(both, `parameters = { work_mem = "9MB" }`)
		s.run("apply", "--auto-approve").want(s.t, exitError).says(s.t, "node2")
		if got := psql(s.t, s.node("node1"), "SHOW work_mem"); got != "9MB" {
			s.t.Errorf("node1 was kept from its setting by a host that is down: work_mem is %s", got)
		}
		s.run("status").want(s.t, exitError).says(s.t, "node2")
		if err := s.node("node2").PowerOn(); err != nil {
			s.t.Fatal(err)
		}
		s.converge()
		replicated(s.t, s.node("node1"), s.node("node2"))
	}))

	t.Run("two primaries", s.in(func() {
		s.declare(both)
		s.converge()
		n := s.node("node2")
		n.Shell(s.t, "postgres", "pg_ctlcluster 17 main promote")
		eventually(s.t, aWhile, "node2 is promoted", func() bool { return psql(s.t, n, "SELECT pg_is_in_recovery()") == "f" })
		s.run("apply", "--auto-approve", "--allow-data-loss=node2").want(s.t, exitError).says(s.t, "node1: system identifier", "node2: system identifier", "timeline 2")
		n.Shell(s.t, "postgres", "pg_ctlcluster 17 main stop")
		// Its timeline is ahead: whose commits count is for a person to say, not for a flag.
		s.run("apply", "--auto-approve", "--allow-data-loss=node2").want(s.t, exitError).says(s.t, "timeline 2", "mv /var/lib/postgresql/17/main /var/lib/postgresql/17/main.away", "00000002.history")
		n.Shell(s.t, "postgres", "mv /var/lib/postgresql/17/main /var/lib/postgresql/17/main.away")
		s.node("vault").Run(s.t, "rm", "-f", "/backup/pg_archlog/main/00000002.history")
		s.converge()
		replicated(s.t, s.node("node1"), n)
	}))
}

// interfere runs apply and does something when a step of a kind has started.
func (s *site) interfere(kind string, do func(*exec.Cmd)) result {
	s.t.Helper()
	cmd := s.command("apply", "--auto-approve", "--json")
	out, err := cmd.StdoutPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	var stdout, stderr strings.Builder
	cmd.Stderr = &stderr
	start := time.Now()
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	done := false
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		fmt.Fprintln(&stdout, lines.Text())
		var p progress
		if json.Unmarshal(lines.Bytes(), &p) == nil && p.Type == "step_started" && strings.Contains(p.Step+"/", "/"+kind+"/") && !done {
			done = true
			do(cmd)
		}
	}
	_ = cmd.Wait()
	if !done {
		s.t.Fatalf("no step %s was started:\n%s\n%s", kind, stdout.String(), stderr.String())
	}
	return result{command: "apply --auto-approve --json", stdout: stdout.String(), stderr: stderr.String(), code: cmd.ProcessState.ExitCode(), took: time.Since(start)}
}
