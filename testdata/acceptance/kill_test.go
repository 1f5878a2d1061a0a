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

// applyKilled runs apply and kills it with SIGKILL when the nth event of a type comes.
// It says at which step that was, and whether it came to that.
func (s *site) applyKilled(event string, nth int) (step string, killed bool) {
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
	seen := 0
	for lines.Scan() {
		var p progress
		if json.Unmarshal(lines.Bytes(), &p) != nil || p.Type != event {
			continue
		}
		if seen++; seen == nth && !killed {
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

// TestKillApply kills apply after each of its steps in turn, and in the middle of each: the next apply always finishes the work.
func TestKillApply(t *testing.T) {
	t.Parallel()
	for _, event := range []string{"step_done", "step_started"} {
		t.Run(event, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, "trixie", "node1", "node2")
			s.declare([]string{"node1", "node2"})
			for nth := 1; ; nth++ {
				step, killed := s.applyKilled(event, nth)
				if !killed {
					if nth < 15 {
						t.Fatalf("apply had only %d events of type %s", nth-1, event)
					}
					break
				}
				r := s.run("apply", "--auto-approve")
				if r.code != exitOK {
					t.Fatalf("killed at %s %s, the next apply failed:\n%s\n%s", event, step, r.stdout, r.stderr)
				}
				if p := s.plan(); p.code != exitOK {
					t.Fatalf("killed at %s %s, then applied: the plan is not empty:\n%s\n%s", event, step, p.stdout, p.stderr)
				}
				t.Logf("killed at %s %s: finished by the next apply in %s", event, step, r.took.Round(time.Millisecond))
				replicated(t, s.node("node1"), s.node("node2"))
				s.archived("node1")
				s.reset("node1", "node2")
			}
			s.settled()
		})
	}
}
