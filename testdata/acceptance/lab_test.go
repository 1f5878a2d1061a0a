package acceptance

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"pg_manage/testdata/lab"
)

// TestLab shows that the ground holds on which all other tests stand.
func TestLab(t *testing.T) {
	t.Parallel()
	l := lab.Start(t, lab.Options{Nodes: []lab.NodeSpec{
		{Name: "node1"},
		{Name: "node2"},
		{Name: "vault", Backup: true},
	}})
	node1, node2 := l.Node("node1"), l.Node("node2")

	t.Run("logins", func(t *testing.T) {
		for _, n := range []string{"node1", "node2", "vault"} {
			for _, user := range []string{"root", "postgres", "admin", "nosudo"} {
				r := finish(t, l.SSH(user, n, "id -un; hostname")).want(t, 0)
				if got, want := r.stdout, user+"\n"+n+"\n"; got != want {
					t.Errorf("%s on %s: %q, want %q", user, n, got, want)
				}
			}
		}
		finish(t, l.SSH("admin", "node1", "sudo -n -u postgres id -un")).want(t, 0).says(t, "postgres")
		finish(t, l.SSH("nosudo", "node1", "sudo -n true")).want(t, 1).says(t, "password is required")
		finish(t, l.SSH("backup", "vault", "touch /backup/mine && stat -c %U /backup/mine")).want(t, 0).says(t, "backup")
		finish(t, l.SSH("backup", "node1", "true")).want(t, 255)
	})

	t.Run("host keys differ and are known", func(t *testing.T) {
		a, err := node1.HostKey()
		if err != nil {
			t.Fatal(err)
		}
		b, err := node2.HostKey()
		if err != nil {
			t.Fatal(err)
		}
		if a == b {
			t.Error("node1 and node2 have one host key")
		}
		finish(t, l.SSH("root", node1.IP, "true")).want(t, 0)
	})

	t.Run("trust", func(t *testing.T) {
		finish(t, l.SSH("postgres", "node1", "ssh -o BatchMode=yes backup@vault id -un")).want(t, 255)
		if err := l.Trust("node1", "postgres", "vault", "backup"); err != nil {
			t.Fatal(err)
		}
		finish(t, l.SSH("postgres", "node1", "ssh -o BatchMode=yes backup@vault id -un")).want(t, 0).says(t, "backup")
	})

	t.Run("cable", func(t *testing.T) {
		if err := node2.Cut(); err != nil {
			t.Fatal(err)
		}
		r := finish(t, l.SSH("root", "node2", "true")).want(t, 255)
		if r.took < time.Second {
			t.Errorf("ssh to a node without a cable failed within %s: %s", r.took, r.stderr)
		}
		if _, err := node1.Exec("ssh-keyscan", "-T", "1", node2.IP); err == nil {
			t.Error("node1 reaches node2 without a cable")
		}
		if err := node2.Join(); err != nil {
			t.Fatal(err)
		}
		finish(t, l.SSH("root", "node2", "true")).want(t, 0)
	})

	t.Run("power", func(t *testing.T) {
		node2.Run(t, "sh", "-c", "echo kept >/root/file; sync; sleep 3600 >/dev/null 2>&1 &")
		if err := node2.PowerOff(); err != nil {
			t.Fatal(err)
		}
		if _, err := node2.Exec("true"); err == nil {
			t.Error("a command ran on a node without power")
		}
		finish(t, l.SSH("root", "node2", "true")).want(t, 255)
		if err := node2.PowerOn(); err != nil {
			t.Fatal(err)
		}
		if got := node2.Run(t, "cat", "/root/file"); got != "kept" {
			t.Errorf("the file holds %q after the power came back", got)
		}
		if got := node2.Run(t, "ps", "-e", "-o", "args"); strings.Contains(got, "sleep") {
			t.Errorf("a process outlived the power cut:\n%s", got)
		}
		finish(t, l.SSH("root", "node2", "true")).want(t, 0)
	})

	t.Run("disk", func(t *testing.T) {
		node1.Run(t, "install", "-d", "-o", "postgres", "-m", "700", "/srv/small")
		if err := node1.FillDisk("/srv", 0); err == nil {
			t.Fatal("FillDisk filled a disk of this machine")
		}
		if err := node1.SmallDisk("/srv/small", 8); err != nil {
			t.Fatal(err)
		}
		if got := node1.Run(t, "stat", "-c", "%U %a", "/srv/small"); got != "postgres 700" {
			t.Errorf("the small disk belongs to %s", got)
		}
		if err := node1.FillDisk("/srv/small", 64); err != nil {
			t.Fatal(err)
		}
		_, err := node1.Exec("runuser", "-u", "postgres", "--", "dd", "if=/dev/zero", "of=/srv/small/f", "bs=1k", "count=128")
		if err == nil || !strings.Contains(err.Error(), "No space left") {
			t.Errorf("writing to a full disk: %v", err)
		}
		if err := node1.FreeDisk("/srv/small"); err != nil {
			t.Fatal(err)
		}
		node1.Shell(t, "postgres", "dd if=/dev/zero of=/srv/small/f bs=1k count=128 2>/dev/null")
	})

	t.Run("postgres", func(t *testing.T) { instanceLives(t, node1) })
}

// TestLabSuites shows that every PostgreSQL that the tests rest on runs in the lab, and that two labs run side by side.
func TestLabSuites(t *testing.T) {
	t.Parallel()
	for _, suite := range []string{"bookworm", "trixie"} {
		t.Run(suite, func(t *testing.T) {
			t.Parallel()
			l := lab.Start(t, lab.Options{Nodes: []lab.NodeSpec{{Name: "node1", Suite: suite}}})
			instanceLives(t, l.Node("node1"))
		})
	}
}

// instanceLives makes, starts, asks, powers down and recovers an instance.
func instanceLives(t *testing.T, n *lab.Node) {
	version := fmt.Sprint(n.Postgres)
	n.Run(t, "pg_createcluster", version, "main")
	n.Shell(t, "postgres", "pg_ctlcluster "+version+" main start")
	if got := psql(t, n, "SHOW server_version_num"); !strings.HasPrefix(got, version) {
		t.Errorf("server_version_num is %s, want major version %s", got, version)
	}
	if got := psql(t, n, "SHOW server_encoding"); got != "UTF8" {
		t.Errorf("server_encoding is %s", got)
	}
	psql(t, n, "CREATE TABLE t AS SELECT 1 AS one")
	if err := n.PowerOff(); err != nil {
		t.Fatal(err)
	}
	if err := n.PowerOn(); err != nil {
		t.Fatal(err)
	}
	n.Shell(t, "postgres", "pg_ctlcluster "+version+" main start")
	if got := psql(t, n, "SELECT one FROM t"); got != "1" {
		t.Errorf("after crash recovery: %q", got)
	}
	n.Shell(t, "postgres", "pg_ctlcluster "+version+" main stop") // waits for ever when the postmaster is not reaped
}
