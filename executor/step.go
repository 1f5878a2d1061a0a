package executor

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"pg_manage/executor/event"
	"pg_manage/executor/instance"
	"pg_manage/executor/remote"
	"pg_manage/planner"
	"pg_manage/schema/postgres"
)

// actLimit bounds the action of a step that copies no data.
const actLimit = 15 * time.Minute

// step brings about what a step is for: it looks, acts, and looks again. already says
// that nothing had to be done.
func (r *runner) step(ctx context.Context, s *planner.Step) (already bool, err error) {
	if r.env.Lease != nil && !r.clusters[s.Cluster].leased[s.Node] {
		return false, fmt.Errorf("%s could not be reached when the lease on the cluster was taken, so another run may hold it: plan again", s.Node)
	}
	defer r.withCatalog(s)()
	before, err := r.look(ctx, s)
	if err != nil {
		return false, err
	}
	if r.accomplished(ctx, s) {
		return true, nil
	}
	if err := r.require(ctx, s); err != nil {
		return false, err
	}
	already, err = r.act(ctx, s)
	var lost *remote.LostError
	if errors.As(err, &lost) && ctx.Err() == nil {
		return false, r.afterLoss(ctx, s, before, err)
	}
	if err != nil {
		return false, err
	}
	return already, r.confirm(ctx, s)
}

// look observes the step's node, unless what the step before it saw still serves.
// Before data is made or replaced, every node that the step asks about is looked at anew.
func (r *runner) look(ctx context.Context, s *planner.Step) (*planner.NodeFacts, error) {
	fresh := s.Effect == planner.EffectDataLoss || s.Kind == planner.KindInit || s.Kind == planner.KindBuild || s.Kind == planner.KindStart || s.Kind == planner.KindDropSlot || s.Kind == planner.KindRestore || s.Kind == planner.KindRecover || s.Kind == planner.KindStop
	if fresh {
		for _, c := range s.Pre {
			r.forget(s.Cluster, c.Node)
		}
		r.forget(s.Cluster, s.Node)
	}
	f := r.node(ctx, s.Cluster, s.Node)
	if f.Unreachable != "" { // once more: a connection that had been idle may be gone
		f = r.observe(ctx, s.Cluster, s.Node)
	}
	if f.Unreachable != "" {
		return nil, fmt.Errorf("%s cannot be looked at: %s", s.Node, f.Unreachable)
	}
	return f, nil
}

// node gives the newest facts of a node, observing it when there are none.
func (r *runner) node(ctx context.Context, cluster, node string) *planner.NodeFacts {
	r.mu.Lock()
	f := r.facts[cluster+"/"+node]
	r.mu.Unlock()
	if f != nil {
		return f
	}
	return r.observe(ctx, cluster, node)
}

func (r *runner) observe(ctx context.Context, cluster, node string) *planner.NodeFacts {
	f := r.env.Observe(ctx, cluster, node)
	if f == nil {
		f = &planner.NodeFacts{Unreachable: "the node was not looked at"}
	}
	r.askCatalogs(ctx, cluster, node, f)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.facts[cluster+"/"+node] = f
	return f
}

func (r *runner) forget(cluster, node string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.facts, cluster+"/"+node)
}

// require checks the preconditions; one that fails on older facts gets a second look. A
// standby whose upstream was restarted by an earlier step connects again only after
// wal_retrieve_retry_interval, and then has to replay, so for these there is a wait.
func (r *runner) require(ctx context.Context, s *planner.Step) error {
	for _, c := range s.Pre {
		if c.Check(r.node(ctx, s.Cluster, c.Node)) == nil {
			continue
		}
		deadline := time.Now().Add(r.env.Wait.Stream)
		err := c.Check(r.observe(ctx, s.Cluster, c.Node))
		for err != nil && (c.Fact == planner.FactStreaming || c.Fact == planner.FactLimit) && time.Now().Before(deadline) && ctx.Err() == nil {
			select {
			case <-ctx.Done():
			case <-time.After(r.env.Wait.Poll):
			}
			err = c.Check(r.observe(ctx, s.Cluster, c.Node))
		}
		if err != nil {
			return fmt.Errorf("precondition: %w; what was observed has changed since the plan was made, so nothing was done: plan again", err)
		}
	}
	return nil
}

// accomplished says that what the step is for is so already, as in a run after one
// that was interrupted. Some steps are for more than their postconditions tell: these
// look for themselves what is left to do.
func (r *runner) accomplished(ctx context.Context, s *planner.Step) bool {
	switch s.Kind {
	case planner.KindSettings, planner.KindReload, planner.KindRestart:
		return false
	}
	if len(s.Post) == 0 || !r.holds(ctx, s, false) || !r.holds(ctx, s, true) {
		return false
	}
	f := r.node(ctx, s.Cluster, s.Node)
	switch d := s.Detail.(type) {
	case planner.InitDetail:
		return r.madeSince(f, s)
	case planner.BuildDetail:
		src := r.node(ctx, s.Cluster, d.Source)
		return f.Data.SystemIdentifier != "" && f.Data.SystemIdentifier == src.Data.SystemIdentifier && (f.Data.StandbySignal || f.Server.InRecovery)
	}
	return true
}

// madeSince says that a data directory was made after the plan, so by this very plan:
// the upper half of a system identifier is the time of initdb in seconds
// (PostgreSQL's xlog.c, BootStrapXLOG).
func (r *runner) madeSince(f *planner.NodeFacts, s *planner.Step) bool {
	id, err := strconv.ParseUint(f.Data.SystemIdentifier, 10, 64)
	return err == nil && f.Data.MajorVersion == s.Instance.Major && int64(id>>32) >= r.plan.Created.Unix()
}

// holds says that all postconditions hold, on facts at hand or fresh ones.
func (r *runner) holds(ctx context.Context, s *planner.Step, fresh bool) bool {
	if fresh {
		r.refresh(ctx, s)
	}
	for _, c := range s.Post {
		if c.Check(r.node(ctx, s.Cluster, c.Node)) != nil {
			return false
		}
	}
	return true
}

func (r *runner) refresh(ctx context.Context, s *planner.Step) {
	seen := map[string]bool{}
	for _, c := range s.Post {
		if !seen[c.Node] {
			seen[c.Node] = true
			r.observe(ctx, s.Cluster, c.Node)
		}
	}
}

// confirm waits until the postconditions hold.
func (r *runner) confirm(ctx context.Context, s *planner.Step) error {
	r.forget(s.Cluster, s.Node)
	limit := r.patience(s)
	deadline := time.Now().Add(limit)
	start, _ := s.Detail.(planner.StartDetail)
	var reached postgres.LSN
	for {
		if r.holds(ctx, s, true) {
			return nil
		}
		if f := r.node(ctx, s.Cluster, s.Node); start.Replays && (f.Server.Running && !f.Server.Accepting || f.Server.ReplayLSN > reached) {
			// As long as it gets on, it takes what it takes.
			reached, deadline = f.Server.ReplayLSN, time.Now().Add(limit)
			message := s.Summary + ": replaying"
			if reached != 0 {
				message += ", at " + reached.String()
			}
			r.emitStep(s, event.Event{Type: event.Progress, Message: message})
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if time.Now().After(deadline) {
			break
		}
		select {
		case <-ctx.Done():
		case <-time.After(r.env.Wait.Poll):
		}
	}
	for _, c := range s.Post {
		if err := c.Check(r.node(ctx, s.Cluster, c.Node)); err != nil {
			err = fmt.Errorf("it was done, and for %s afterwards not seen to hold: %w", limit, err)
			if why := r.node(ctx, s.Cluster, c.Node).Server.Error; why != "" {
				err = fmt.Errorf("%w (%s)", err, why)
			}
			return r.withLog(ctx, s, err)
		}
	}
	return nil
}

// patience is how long the postconditions of a step may take.
func (r *runner) patience(s *planner.Step) time.Duration {
	w := r.env.Wait.Short
	for _, c := range s.Post {
		switch c.Fact {
		case planner.FactStreaming:
			w = max(w, r.env.Wait.Stream)
		case planner.FactAccepting, planner.FactSetting, planner.FactRole:
			w = max(w, r.env.Wait.Service)
		}
	}
	return w
}

// withLog adds the end of the server's log where the server is what disappointed.
func (r *runner) withLog(ctx context.Context, s *planner.Step, err error) error {
	switch s.Kind {
	case planner.KindStart, planner.KindRestart, planner.KindReload:
	default:
		return err
	}
	h, herr := r.env.Host(ctx, s.Cluster, s.Node)
	if herr != nil {
		return err
	}
	if tail := instance.New(h, s.Instance).LogTail(ctx, 15); tail != "" {
		return fmt.Errorf("%w\n%s", err, tail)
	}
	return err
}

// afterLoss finds out how a step ended whose connection broke: nobody knows, so the
// node is looked at again. A step that may safely be done twice is done once more.
func (r *runner) afterLoss(ctx context.Context, s *planner.Step, before *planner.NodeFacts, cause error) error {
	r.notice(s, "%v; looking how it ended", cause)
	deadline := time.Now().Add(r.env.Wait.Service)
	f := r.observe(ctx, s.Cluster, s.Node)
	for f.Unreachable != "" && time.Now().Before(deadline) && ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-time.After(r.env.Wait.Poll):
		}
		f = r.observe(ctx, s.Cluster, s.Node)
	}
	if f.Unreachable != "" {
		return fmt.Errorf("%w; %s cannot be looked at since: %s", cause, s.Node, f.Unreachable)
	}
	if repeatable(s.Kind) {
		if _, err := r.act(ctx, s); err != nil {
			return fmt.Errorf("%w (the second attempt, after: %w)", err, cause)
		}
		return r.confirm(ctx, s)
	}
	if s.Kind == planner.KindRestart && !f.Server.StartedAt.After(before.Server.StartedAt) {
		return fmt.Errorf("%w; the server was not restarted", cause)
	}
	if len(s.Post) == 0 {
		return cause
	}
	if s.Kind == planner.KindStart || s.Kind == planner.KindRestart {
		if err := r.confirm(ctx, s); err != nil {
			return fmt.Errorf("%w; and then: %w", cause, err)
		}
		return nil
	}
	if r.accomplished(ctx, s) {
		return nil
	}
	return fmt.Errorf("%w; it was not finished: apply again", cause)
}

// repeatable says that doing a step twice is the same as doing it once.
func repeatable(k planner.Kind) bool {
	switch k {
	case planner.KindInit, planner.KindBuild, planner.KindStart, planner.KindRestart, planner.KindCheckArchive,
		planner.KindBackup, planner.KindExpire, planner.KindProve, planner.KindRestore:
		return false
	}
	return true
}
