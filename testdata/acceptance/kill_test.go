package acceptance

import (
	"bufio"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
)

// progress is an event of apply --json, as far as this test needs it.
type progress struct {
	Type string `json:"type"`
	Step string `json:"step"`
}

// applyKilled runs apply and kills it with SIGKILL at the first event that when picks.
// It says at which step that was, and whether it came to that.
func (s *site) applyKilled(when func(progress) bool) (step string, killed bool) {
	s.t.Helper()
	cmd := s.command("apply", "--auto-approve", "--json")
	out, err := cmd.StdoutPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	var stderr strings.Builder
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var p progress
		if json.Unmarshal(lines.Bytes(), &p) == nil && !killed && when(p) {
			step, killed = p.Step, true
			_ = cmd.Process.Kill()
		}
	}
	err = cmd.Wait()
	if !killed && err != nil {
		s.t.Fatalf("apply: %v\n%s", err, stderr.String())
	}
	return step, killed
}

// reset makes the hosts empty machines again.
func (s *site) reset(names ...string) {
	s.t.Helper()
	for _, name := range names {
		s.node(name).Run(s.t, "sh", "-c", fmt.Sprintf(`pid=$(head -1 /var/lib/postgresql/%[1]d/main/postmaster.pid 2>/dev/null) && kill -QUIT "$pid" && while kill -0 "$pid" 2>/dev/null; do sleep 0.05; done
			rm -rf /var/lib/postgresql/%[1]d /etc/postgresql/%[1]d /var/lib/postgresql/.pg_manage /var/log/postgresql/*`, s.version))
	}
	s.node("vault").Run(s.t, "sh", "-c", "rm -rf /backup/*")
}

// recovers applies after a kill and checks that the work is whole; then the hosts are emptied again.
func (s *site) recovers(where, step string) {
	s.t.Helper()
	r := s.run("apply", "--auto-approve")
	if r.code != exitOK {
		s.t.Fatalf("killed at %s %s, the next apply failed:\n%s\n%s", where, step, r.stdout, r.stderr)
	}
	if p := s.plan(); p.code != exitOK {
		s.t.Fatalf("killed at %s %s, then applied: the plan is not empty:\n%s\n%s", where, step, p.stdout, p.stderr)
	}
	s.t.Logf("killed at %s %s: finished by the next apply in %s", where, step, r.took.Round(time.Millisecond))
	replicated(s.t, s.node("node1"), s.node("node2"))
	s.archived("node1")
	s.reset("node1", "node2")
}

// TestKillApply kills apply after each of its steps in turn, and in the middle of those that
// change the most: the next apply always finishes the work.
func TestKillApply(t *testing.T) {
	t.Parallel()
	t.Run("after each step", func(t *testing.T) {
		t.Parallel()
		s := newSite(t, "trixie", "node1", "node2")
		s.declare([]string{"node1", "node2"})
		for nth := 1; ; nth++ {
			seen := 0
			step, killed := s.applyKilled(func(p progress) bool {
				if p.Type == "step_done" {
					seen++
				}
				return seen == nth
			})
			if !killed {
				if nth < 15 {
					t.Fatalf("apply had only %d steps", nth-1)
				}
				break
			}
			s.recovers("the end of", step)
		}
		s.settled()
	})
	t.Run("in the middle", func(t *testing.T) {
		t.Parallel()
		s := newSite(t, "trixie", "node1", "node2")
		s.declare([]string{"node1", "node2"})
		for _, kind := range []string{"install-binaries", "init-instance", "create-archive", "write-settings", "start", "replication-role", "build-standby"} {
			step, killed := s.applyKilled(func(p progress) bool { return p.Type == "step_started" && strings.Contains(p.Step+"/", "/"+kind+"/") })
			if !killed {
				t.Fatalf("apply had no step %s", kind)
			}
			s.recovers("the start of", step)
		}
	})
}
