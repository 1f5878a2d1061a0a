package executor

import (
	"context"
	"strings"
	"testing"
	"time"

	"pg_manage/planner"
)

// observed is a runner on a cluster c whose node is seen as f says, given how often it was looked at.
func observed(f func(look int) *planner.NodeFacts) (*runner, *planner.Step) {
	looks := 0
	p := &planner.Plan{Steps: []planner.Step{{ID: "c/n/x", Cluster: "c", Node: "n", Kind: planner.KindDropSlot}}}
	env := Env{
		Observe: func(context.Context, string, string) *planner.NodeFacts { looks++; return f(looks) },
		Wait:    Wait{Poll: time.Millisecond, Stream: time.Minute},
	}
	return newRunner(p, env), &p.Steps[0]
}

// After a restart of its upstream a standby connects again by itself, seconds later.
func TestRequireWaitsForStreaming(t *testing.T) {
	r, s := observed(func(look int) *planner.NodeFacts {
		f := &planner.NodeFacts{Server: planner.ServerFacts{Running: true, Accepting: true, InRecovery: true}}
		if look > 5 {
			f.Server.Receiver = &planner.Receiver{Status: "streaming"}
		}
		return f
	})
	s.Pre = []planner.Condition{{Node: "n", Fact: planner.FactStreaming, Want: "true"}}
	if err := r.require(t.Context(), s); err != nil {
		t.Error(err)
	}
	r, s = observed(func(int) *planner.NodeFacts { return &planner.NodeFacts{Server: planner.ServerFacts{Accepting: true}} })
	r.env.Wait.Stream = 20 * time.Millisecond
	s.Pre = []planner.Condition{{Node: "n", Fact: planner.FactStreaming, Want: "true"}}
	if err := r.require(t.Context(), s); err == nil || !strings.Contains(err.Error(), "streaming") {
		t.Errorf("a standby that never streams: %v", err)
	}
}

// Nothing else is waited for: a changed world is no reason to go on later.
func TestRequireDoesNotWaitOtherwise(t *testing.T) {
	last := 0
	r, s := observed(func(look int) *planner.NodeFacts {
		last = look
		return &planner.NodeFacts{Data: planner.DataFacts{State: planner.DataForeign}}
	})
	s.Pre = []planner.Condition{{Node: "n", Fact: planner.FactDataState, Want: "absent"}}
	if err := r.require(t.Context(), s); err == nil || last != 2 {
		t.Errorf("%v after %d looks", err, last)
	}
}

// What was out of reach when the lease was taken may be held by another run.
func TestNoStepWithoutLease(t *testing.T) {
	r, s := observed(func(int) *planner.NodeFacts { return &planner.NodeFacts{} })
	r.env.Lease = &LeaseOptions{Holder: "me"}
	if _, err := r.step(t.Context(), s); err == nil || !strings.Contains(err.Error(), "when the lease on the cluster was taken") {
		t.Error(err)
	}
}
