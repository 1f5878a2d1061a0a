package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"pg_manage/planner"
)

func lossy() *planner.Plan {
	return &planner.Plan{Clusters: []string{"main"}, Steps: []planner.Step{
		{ID: "main/node1/start", Cluster: "main", Node: "node1", Summary: "start PostgreSQL", Effect: planner.EffectNone},
		{ID: "main/node2/build-standby", Cluster: "main", Node: "node2", Summary: "build standby from node1", Effect: planner.EffectDataLoss},
	}}
}

func harmless() *planner.Plan {
	p := lossy()
	p.Steps = p.Steps[:1]
	return p
}

func TestConsent(t *testing.T) {
	for _, tc := range []struct {
		name   string
		plan   *planner.Plan
		person bool
		o      applyOptions
		types  string
		want   string // in the error; "" for consent
	}{
		{"yes", harmless(), true, applyOptions{}, "yes\n", ""},
		{"only yes will do", harmless(), true, applyOptions{}, "y\n", "not approved"},
		{"YES is not yes", harmless(), true, applyOptions{}, "YES\n", "not approved"},
		{"end of input", harmless(), true, applyOptions{}, "", "not approved"},
		{"nobody to ask", harmless(), false, applyOptions{}, "yes\n", "no terminal"},
		{"approved beforehand", harmless(), false, applyOptions{autoApprove: true}, "", ""},
		{"auto-approve does not cover data loss", lossy(), false, applyOptions{autoApprove: true}, "", "--allow-data-loss=node2"},
		{"not even at a terminal", lossy(), true, applyOptions{autoApprove: true}, "yes\nnode2\n", "--allow-data-loss=node2"},
		{"nobody to ask about data loss", lossy(), false, applyOptions{}, "", "--allow-data-loss=node2"},
		{"another node's name", lossy(), false, applyOptions{autoApprove: true, allowLoss: []string{"node1"}}, "", "--allow-data-loss=node2"},
		{"another cluster's node", lossy(), false, applyOptions{autoApprove: true, allowLoss: []string{"other/node2"}}, "", "--allow-data-loss=node2"},
		{"consent by flag", lossy(), false, applyOptions{autoApprove: true, allowLoss: []string{"node2"}}, "", ""},
		{"with the cluster", lossy(), false, applyOptions{autoApprove: true, allowLoss: []string{"main/node2"}}, "", ""},
		{"the flag alone is no approval", lossy(), false, applyOptions{allowLoss: []string{"node2"}}, "", "no terminal"},
		{"typed", lossy(), true, applyOptions{}, "yes\nnode2\n", ""},
		{"typed wrong", lossy(), true, applyOptions{}, "yes\nyes\n", "data loss on node2 was not approved"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var out bytes.Buffer
			a := &app{stdin: strings.NewReader(tc.types), stdout: io.Discard, stderr: &out, person: tc.person}
			err := a.consent(t.Context(), &tc.o, tc.plan)
			switch {
			case tc.want == "" && err != nil:
				t.Errorf("refused: %v", err)
			case tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)):
				t.Errorf("got %v, want an error with %q", err, tc.want)
			}
		})
	}
}

func TestConsentInterrupted(t *testing.T) {
	in, w := io.Pipe()
	defer w.Close()
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errInterrupted)
	a := &app{stdin: in, stdout: io.Discard, stderr: io.Discard, person: true}
	err := a.consent(ctx, &applyOptions{}, harmless())
	if code, _ := exitCode(ctx, err); code != exitInterrupted {
		t.Errorf("got %v, exit status %d", err, code)
	}
}

func TestStale(t *testing.T) {
	saved := lossy()
	saved.Fingerprint, saved.Facts = "a", map[string]string{"main/declaration": "1", "main/node1/server": "2", "main/node3/server": "3"}
	same := lossy()
	same.Fingerprint, same.Facts = "a", saved.Facts
	if err := stale(saved, same, "again"); err != nil {
		t.Errorf("refused: %v", err)
	}
	other := lossy()
	other.Fingerprint, other.Facts = "b", map[string]string{"main/declaration": "1", "main/node1/server": "9", "main/node2/server": "4"}
	err := stale(saved, other, "pg_manage plan --out x")
	for _, want := range []string{"stale", "main/node1/server", "main/node2/server", "main/node3/server", "pg_manage plan --out x"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q in it", err, want)
		}
	}
	if err != nil && strings.Contains(err.Error(), "main/declaration") {
		t.Errorf("names a fact that has not changed: %v", err)
	}
	done := &planner.Plan{Fingerprint: "c"}
	if err := stale(saved, done, "again"); err == nil || !strings.Contains(err.Error(), "already been applied") {
		t.Errorf("got %v", err)
	}
}

func TestPlanStatus(t *testing.T) {
	blocked := lossy()
	blocked.Steps[0].Blocked = "because"
	for _, tc := range []struct {
		name     string
		plan     *planner.Plan
		detailed bool
		want     int
	}{
		{"empty", &planner.Plan{}, true, exitOK},
		{"steps", harmless(), true, exitChanges},
		{"steps, not detailed", harmless(), false, exitOK},
		{"data loss", lossy(), true, exitDataLoss},
		{"blocked", blocked, true, exitError},
		{"blocked, not detailed", blocked, false, exitError},
	} {
		if got, _ := exitCode(t.Context(), planStatus(tc.plan, tc.detailed)); got != tc.want {
			t.Errorf("%s: exit status %d, want %d", tc.name, got, tc.want)
		}
	}
}

func TestExitCode(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	if code, err := exitCode(ctx, errors.New("x")); code != exitError || err == nil {
		t.Errorf("an error gives %d", code)
	}
	cancel(errInterrupted)
	if code, _ := exitCode(ctx, errors.New("x")); code != exitInterrupted {
		t.Errorf("an error after an interrupt gives %d", code)
	}
	if code, _ := exitCode(ctx, nil); code != exitOK {
		t.Errorf("success after an interrupt gives %d", code)
	}
}

func TestSecondInterruptLeaves(t *testing.T) {
	a := &app{}
	ctx, leave, stop := a.interrupts()
	defer stop()
	said := make(chan struct{})
	a.atInterrupt(func() { close(said) })
	interrupt(t)
	select {
	case <-ctx.Done():
	case <-time.After(time.Minute):
		t.Fatal("the first interrupt does not end the context")
	}
	<-said
	if !errors.Is(context.Cause(ctx), errInterrupted) {
		t.Errorf("the cause is %v", context.Cause(ctx))
	}
	interrupt(t)
	select {
	case <-leave:
	case <-time.After(time.Minute):
		t.Fatal("the second interrupt does not leave")
	}
}
