// Package executor carries out a plan on real hosts: it runs the steps in their
// order, as many at a time as may be, checks before each what the plan took for
// granted and after each what it was to bring about.
package executor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"pg_manage/executor/event"
	"pg_manage/executor/node"
	"pg_manage/executor/remote"
	"pg_manage/planner"
	"pg_manage/schema"
)

// DefaultParallelism is how many steps run at a time.
const DefaultParallelism = 10

// Binary is one of our programs, ready to be copied to a node.
type Binary struct {
	Content io.ReadCloser
	Size    int64
	SHA256  string
}

// Env is the world that a plan is carried out in.
type Env struct {
	Config *schema.Config
	// Host gives the connection to a node, made anew when it was lost.
	Host func(ctx context.Context, cluster, node string) (remote.Host, error)
	// Observe looks at a node; a node that cannot be looked at has Unreachable set.
	Observe func(ctx context.Context, cluster, node string) *planner.NodeFacts
	// Binary opens one of our programs for an architecture.
	Binary      func(arch, name string) (Binary, error)
	Sink        event.Sink // nil drops the events
	Parallelism int        // 0 is DefaultParallelism
	// Abort is for the second interruption: when it ends, running steps are left at once. nil never ends.
	Abort context.Context
	// Lease says who takes the clusters, and how long to wait for another holder. nil takes no lease.
	Lease *LeaseOptions
	Now   func() time.Time // nil is time.Now
	Wait  Wait
}

// Wait bounds how long a step waits for what it brought about to be seen. Zero values are the defaults.
type Wait struct {
	Poll    time.Duration // between two looks; 500 ms
	Short   time.Duration // for what should be there at once; 10 s
	Service time.Duration // for a server to answer and to take new settings; 60 s
	Stream  time.Duration // for a standby to stream; 120 s
	Archive time.Duration // for a WAL segment to arrive in the archive; 120 s
}

func (w Wait) orDefaults() Wait {
	for _, x := range []struct {
		v *time.Duration
		d time.Duration
	}{
		{&w.Poll, 500 * time.Millisecond},
		{&w.Short, 10 * time.Second},
		{&w.Service, 60 * time.Second},
		{&w.Stream, 120 * time.Second},
		{&w.Archive, 120 * time.Second},
	} {
		if *x.v <= 0 {
			*x.v = x.d
		}
	}
	return w
}

// ErrInterrupted is the reason why steps were not begun, or were left.
var ErrInterrupted = errors.New("interrupted")

// Run carries out a plan. When ctx ends, running steps are finished and no further
// one is begun; when env.Abort ends, running ones are left as they are. A step that
// fails takes those that need it with it, and no others. Blocked steps are not run.
// The error says that nothing could be begun at all: a lease could not be had.
func Run(ctx context.Context, p *planner.Plan, env Env) (*Report, error) {
	r := newRunner(p, env)
	start := time.Now()
	r.emit(event.Event{Type: event.RunStarted})
	err := r.lease(ctx)
	if err == nil {
		r.runSteps(ctx)
	} else {
		for i := range r.report.Results {
			r.skipped(i, err.Error())
		}
	}
	r.release()
	r.report.Interrupted = ctx.Err() != nil
	r.report.Elapsed = time.Since(start)
	over := event.Event{Type: event.RunDone, Elapsed: r.report.Elapsed}
	if err != nil {
		over.Error = err.Error()
	}
	r.emit(over)
	return r.report, err
}

type runner struct {
	plan   *planner.Plan
	env    Env
	report *Report
	index  map[string]int

	hard     context.Context        // running steps end with it
	cancel   context.CancelFunc     // of hard
	clusters map[string]*clusterRun // by name
	mu       sync.Mutex
	facts    map[string]*planner.NodeFacts // newest known, by cluster/node
	places   map[string][]node.Place       // whose catalogues are asked for with every look at a node, by cluster/node
}

// clusterRun is what the steps of one cluster share.
type clusterRun struct {
	ctx    context.Context // ends with hard, and when a lease is lost
	cancel context.CancelCauseFunc
	leases []*Lease
	leased map[string]bool // the nodes that they are on
}

func newRunner(p *planner.Plan, env Env) *runner {
	if env.Sink == nil {
		env.Sink = event.Discard{}
	}
	if env.Parallelism <= 0 {
		env.Parallelism = DefaultParallelism
	}
	if env.Abort == nil {
		env.Abort = context.Background()
	}
	if env.Now == nil {
		env.Now = time.Now
	}
	env.Wait = env.Wait.orDefaults()
	r := &runner{plan: p, env: env, report: newReport(p), index: map[string]int{}, clusters: map[string]*clusterRun{}, facts: map[string]*planner.NodeFacts{}, places: map[string][]node.Place{}}
	r.hard, r.cancel = context.WithCancel(env.Abort)
	for i, s := range p.Steps {
		r.index[s.ID] = i
		if r.clusters[s.Cluster] == nil {
			c := &clusterRun{leased: map[string]bool{}}
			c.ctx, c.cancel = context.WithCancelCause(r.hard)
			r.clusters[s.Cluster] = c
		}
	}
	return r
}

func (r *runner) emit(e event.Event) {
	e.Time = r.env.Now()
	r.env.Sink.Emit(e)
}

func (r *runner) emitStep(s *planner.Step, e event.Event) {
	e.Step, e.Cluster, e.Node = s.ID, s.Cluster, s.Node
	r.emit(e)
}

// notice tells something that a person should know about a step.
func (r *runner) notice(s *planner.Step, format string, args ...any) {
	r.emitStep(s, event.Event{Type: event.Notice, Message: fmt.Sprintf(format, args...)})
}

func (r *runner) runSteps(ctx context.Context) {
	tasks := make([]task, len(r.plan.Steps))
	for i, s := range r.plan.Steps {
		tasks[i].blocked = s.Blocked
		for _, id := range s.Needs {
			if j, ok := r.index[id]; ok && j != i {
				tasks[i].needs = append(tasks[i].needs, j)
			}
		}
	}
	sch := &scheduler{
		tasks: tasks, parallelism: r.env.Parallelism,
		run:     func(i int) error { return r.runStep(i) },
		blocked: func(i int) { r.skipped(i, "blocked: "+r.plan.Steps[i].Blocked) },
		skip: func(i, because int) {
			how := "was not done"
			if r.report.Results[because].Status == StatusFailed {
				how = "failed"
			}
			r.skipped(i, "it needs "+r.plan.Steps[because].ID+", which "+how)
		},
		interrupted: func(i int) { r.skipped(i, ErrInterrupted.Error()) },
	}
	sch.schedule(ctx)
}

func (r *runner) skipped(i int, reason string) {
	r.report.Results[i].Reason = reason
	r.emitStep(&r.plan.Steps[i], event.Event{Type: event.Skipped, Message: reason})
}

// runStep runs one step and records what became of it.
func (r *runner) runStep(i int) error {
	s, res := &r.plan.Steps[i], &r.report.Results[i]
	start := time.Now()
	r.emitStep(s, event.Event{Type: event.Started, Message: s.Summary})
	ctx := r.clusters[s.Cluster].ctx
	already, err := r.step(ctx, s)
	if err != nil && ctx.Err() != nil {
		if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
			err = fmt.Errorf("%w; the step was left because: %w", err, cause)
		} else {
			err = fmt.Errorf("%w: the step was left as it was: %w", ErrInterrupted, err)
		}
	}
	res.Duration, res.Already = time.Since(start), already
	if err != nil {
		res.Status, res.Err, res.Error = StatusFailed, err, err.Error()
		r.emitStep(s, event.Event{Type: event.Failed, Message: s.Summary, Elapsed: res.Duration, Error: res.Error})
		return err
	}
	res.Status = StatusDone
	e := event.Event{Type: event.Done, Message: s.Summary, Elapsed: res.Duration}
	if already {
		e.Message += " (already so)"
	}
	r.emitStep(s, e)
	return nil
}
