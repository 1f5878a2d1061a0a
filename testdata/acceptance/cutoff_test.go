package acceptance

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"pg_manage/testdata/lab"
)

// copyFile declares a cluster on node2 that begins with the backups of main.
const copyFile = `target "vault" { url = "ssh://backup@{{vault}}/backup" }
cluster "copy" {
  version = 17
  connection { user = "postgres" }
  node "node2" {
    host = "{{node2}}"
    role = "primary"
  }
  archive { target = "vault" }
  bootstrap {
    restore {
      target  = "vault"
      cluster = "main"
    }
  }
}
`

// TestOperatorIsCutOff cuts the way between the operator and two nodes while one is backed up and verified and the other
// is restored: the nodes end their work by themselves and leave nothing half done, and the same commands do it then.
func TestOperatorIsCutOff(t *testing.T) {
	t.Parallel()
	s := newSite(t, "trixie", "node1", "node2")
	n1, n2 := s.node("node1"), s.node("node2")
	s.declare([]string{"node1"}, `backup "manual" { target = "vault" }`)
	s.converge()
	bulk(t, n1)
	labels := s.another(s.backups())
	copied := &site{operator: newOperator(t, s.lab), version: s.version}
	copied.env = s.env
	copied.write("cluster.hcl", copyFile)
	throttle := func(mbit int, nodes ...string) {
		for _, n := range nodes {
			if err := s.node(n).Throttle(mbit); err != nil {
				t.Error(err)
			}
		}
	}
	running := func(n *lab.Node, command string) {
		eventually(t, time.Minute, command+" runs on "+n.Name, func() bool {
			_, err := n.Exec("pgrep", "-f", "pg_manage node "+command)
			return err == nil
		})
	}
	stored := s.stored()
	ends := map[string]func() result{}
	restoring, restored := make(chan struct{}), make(chan result, 1)
	go func() {
		defer close(restored)
		restored <- copied.interfere("restore-backup", func(*exec.Cmd) {
			throttle(1, "node2") // not before, as the program has to get there too
			close(restoring)
		})
	}()
	ends["restore"] = func() result { return <-restored }
	select {
	case <-restoring:
	case r := <-restored:
		t.Fatalf("it restored nothing:\n%s%s", r.stdout, r.stderr)
	}
	throttle(1, "node1", "vault")
	ends["verify"] = s.begin("verify", "main", labels[0])
	running(n1, "verify")
	ends["backup"] = s.begin("backup", "main", "--full")
	s.copying()
	running(n2, "restore")
	for _, n := range []string{"node1", "node2"} {
		if err := s.node(n).CutOff(); err != nil {
			t.Fatal(err)
		}
	}
	for what, end := range ends {
		r := end().want(t, exitError)
		if node := map[bool]string{true: "node2", false: "node1"}[what == "restore"]; !strings.Contains(r.stdout+r.stderr, node) || !strings.Contains(r.stdout+r.stderr, "lost") {
			t.Errorf("%s says:\n%s%s", what, r.stdout, r.stderr)
		}
		t.Logf("%s ended %s after it began, and said:\n%s", what, r.took.Round(time.Second), r.stderr)
	}
	s.unheld(n1)
	s.quiet(n2)
	if after := s.stored(); !slices.Equal(after, stored) {
		t.Errorf("the target has %q, and had %q before", after, stored)
	}
	if _, err := n2.Exec("test", "-e", "/var/lib/postgresql/17/main/global/pg_control"); err == nil {
		t.Error("half a restore could be started")
	}
	for _, n := range []string{"node1", "node2"} {
		if err := s.node(n).LetIn(); err != nil {
			t.Fatal(err)
		}
	}
	throttle(0, "node1", "node2", "vault")
	s.listed(labels)
	s.ok("backup", "main", "--full", "--lock-timeout=2m")
	s.listed(s.backups())
	copied.converge("--lock-timeout=2m")
	if got := psql(t, n2, "SELECT count(*) FROM bulk"); got != "150000" {
		t.Errorf("bulk has %s rows on node2", got)
	}
}
