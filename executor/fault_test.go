package executor_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"pg_manage/executor"
	"pg_manage/executor/event"
	"pg_manage/executor/remote"
	"pg_manage/executor/remote/remotetest"
	"pg_manage/planner"
)

// abortAt ends a run in the middle of the first step that was not interrupted before.
type abortAt struct {
	*eventLog
	mu     sync.Mutex
	seen   map[string]bool
	cancel context.CancelFunc
}

func (a *abortAt) Emit(e event.Event) {
	a.eventLog.Emit(e)
	a.mu.Lock()
	defer a.mu.Unlock()
	// A build or restore is left when it has copied something.
	copies := strings.HasSuffix(e.Step, string(planner.KindBuild)) || strings.HasSuffix(e.Step, string(planner.KindRestore))
	at := e.Type == event.Started && !copies || e.Type == event.Progress
	if at && !a.seen[e.Step] {
		a.seen[e.Step] = true
		a.cancel()
	}
}

// TestAbortedAtEveryStep: each step in turn is left in its middle, and applying again
// always finishes the work.
func TestAbortedAtEveryStep(t *testing.T) {
	w := newWorld(t, "n1", "n2")
	w.declare("", "n1", "n2")
	sink := &abortAt{eventLog: w.log, seen: map[string]bool{}}
	for round := 0; ; round++ {
		p := w.plan()
		if len(p.Steps) == 0 {
			break
		}
		if round > 40 {
			t.Fatalf("no end after %d rounds: %v", round, p.Steps)
		}
		for _, f := range p.Findings {
			t.Logf("round %d: %s: %s", round, f.Summary, f.Detail)
		}
		w.abortOnce(sink, p)
	}
	w.settled()
	if len(sink.seen) < 10 {
		t.Errorf("only %d steps were interrupted: %v", len(sink.seen), sink.seen)
	}
	w.sql("n1", "CREATE TABLE t ()")
	w.eventually("the table on the standby", func() bool {
		return w.sql("n2", "SELECT count(*) FROM pg_class WHERE relname = 't'") == "1"
	})
	left, _ := filepath.Glob(w.dir + "/*/data.*")
	if len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// abortOnce runs a plan until a step that was not left before is in its middle.
func (w *world) abortOnce(sink *abortAt, p *planner.Plan) {
	w.t.Helper()
	abort, cancel := context.WithCancel(w.t.Context())
	defer cancel()
	sink.cancel = cancel
	env := w.env()
	env.Abort, env.Sink, env.Parallelism = abort, sink, 1
	graceful, stop := context.WithCancel(w.t.Context())
	defer stop()
	context.AfterFunc(abort, stop) // the second interruption comes after the first
	r, err := executor.Run(graceful, p, env)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, x := range r.Results {
		if x.Status == executor.StatusFailed && !errors.Is(x.Err, executor.ErrInterrupted) {
			w.t.Fatalf("%s: %s", x.Step, x.Error)
		}
	}
}

// losing is a host whose connection breaks under the command number at.
type losing struct {
	remote.Host
	mu   sync.Mutex
	left int
	done bool // the command was carried out before the connection broke
}

func (l *losing) Run(ctx context.Context, cmd remote.Command) (remote.Result, error) {
	l.mu.Lock()
	l.left--
	now := l.left == 0
	l.mu.Unlock()
	if !now {
		return l.Host.Run(ctx, cmd)
	}
	if l.done {
		l.Host.Run(ctx, cmd)
	}
	return remote.Result{}, &remote.LostError{Host: l.Name(), Command: cmd.Shown(), Err: errors.New("the cable was cut")}
}

// TestLostConnections: the connection breaks under the first command of every step,
// in the next round under the second, and so on; from the first again when a step was done.
func TestLostConnections(t *testing.T) {
	w := newWorld(t, "n1")
	w.declare("", "n1")
	at, steps := 0, 0
	for round := 0; ; round++ {
		p := w.plan()
		if at++; len(p.Steps) != steps {
			at, steps = 1, len(p.Steps)
		}
		if len(p.Steps) == 0 {
			break
		}
		if round > 60 {
			t.Fatalf("no end after %d rounds: %v", round, p.Steps)
		}
		env := w.env()
		env.Lease = nil
		var mu sync.Mutex
		calls := 0
		env.Host = func(context.Context, string, string) (remote.Host, error) {
			mu.Lock()
			defer mu.Unlock()
			calls++
			left := at
			if calls > 1 {
				left = 1 + (round+calls)%3
			}
			return &losing{Host: w.host, left: left, done: calls%2 == 0}, nil
		}
		r, err := executor.Run(t.Context(), p, env)
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range r.Results {
			t.Logf("round %d: %s %s %s %s", round, x.Step, x.Status, x.Reason, x.Error)
			var lost *remote.LostError
			if x.Status == executor.StatusFailed && !errors.As(x.Err, &lost) {
				t.Fatalf("round %d: %s: %s", round, x.Step, x.Error)
			}
		}
	}
	w.settled()
}

// TestInterrupted: the first interruption lets the running step end and begins no other.
func TestInterrupted(t *testing.T) {
	w := newWorld(t, "n1")
	w.declare("", "n1")
	p := w.plan()
	blocked := &p.Steps[len(p.Steps)-1]
	blocked.Blocked = "for a reason"
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	env := w.env()
	env.Parallelism = 1
	env.Sink = sinkFunc(func(e event.Event) {
		w.log.Emit(e)
		if e.Type == event.Started {
			cancel()
		}
	})
	r, err := executor.Run(ctx, p, env)
	if err != nil {
		t.Fatal(err)
	}
	if !r.Interrupted || r.Count(executor.StatusDone) != 1 || r.Count(executor.StatusFailed) != 0 {
		t.Errorf("%+v", r)
	}
	for _, x := range r.Results {
		want := "interrupted"
		switch {
		case x.Status == executor.StatusDone:
			continue
		case x.Step == blocked.ID:
			want = "blocked: for a reason"
		}
		if x.Status != executor.StatusSkipped || x.Reason != want {
			t.Errorf("%s: %s %q, want skipped: %s", x.Step, x.Status, x.Reason, want)
		}
	}
	if got := w.log.count(event.Started, ""); got != 1 {
		t.Errorf("%d steps were begun", got)
	}
	if n := w.log.count(event.Skipped, "") + w.log.count(event.Done, ""); n != len(p.Steps) {
		t.Errorf("%d of %d steps gave a last event", n, len(p.Steps))
	}
}

// TestLeaseHeld: a second run of the same cluster does nothing, and says who is at it.
func TestLeaseHeld(t *testing.T) {
	w := newWorld(t, "n1")
	w.declare("", "n1")
	l, err := executor.AcquireLease(t.Context(), w.host, "n1", owner(t).Username, executor.LeaseDir(w.state("n1")), executor.LeaseOptions{Holder: "ann@laptop", Operation: "apply"})
	if err != nil {
		t.Fatal(err)
	}
	p := w.plan()
	r, err := executor.Run(t.Context(), p, w.env())
	var held *executor.HeldError
	if !errors.As(err, &held) || held.Holder != "ann@laptop" || r.Count(executor.StatusSkipped) != len(p.Steps) {
		t.Errorf("%v %+v", err, r)
	}

	// A run that loses its lease stops.
	l.Release()
	env := w.env()
	env.Lease.Heartbeat = 20 * time.Millisecond
	env.Sink = sinkFunc(func(e event.Event) {
		if e.Type == event.Started && strings.HasSuffix(e.Step, string(planner.KindInit)) {
			if _, err := executor.Unlock(t.Context(), w.host, "n1", owner(t).Username, executor.LeaseDir(w.state("n1"))); err != nil {
				t.Error(err)
			}
		}
	})
	r, err = executor.Run(t.Context(), p, env)
	if err != nil {
		t.Fatal(err)
	}
	if x := r.Result(w.name + "/n1/init-instance"); x.Status != executor.StatusFailed || !errors.Is(x.Err, executor.ErrLeaseLost) {
		t.Errorf("%+v", x)
	}
	w.apply()
	w.settled()
}

type sinkFunc func(event.Event)

func (f sinkFunc) Emit(e event.Event) { f(e) }

// TestBuildRefuses: a build that cannot or must not go through leaves the data
// directory of the node as it was.
func TestBuildRefuses(t *testing.T) {
	w := newWorld(t, "n1", "n2")
	w.declare("", "n1", "n2")
	p := w.plan()
	build := *p.Step(w.name + "/n2/build-standby")
	build.Needs = nil
	var first []planner.Step
	for _, s := range p.Steps {
		if s.ID != w.name+"/n2/start" && s.ID != build.ID && s.ID != w.name+"/n2/write-hba" {
			first = append(first, s)
		}
	}
	q := *p
	q.Steps = first
	w.run(&q)
	data := w.data("n2")

	try := func(what, want string, change func(*planner.Step)) {
		t.Helper()
		s := build
		change(&s)
		q.Steps = []planner.Step{s}
		r, err := executor.Run(t.Context(), &q, w.env())
		if err != nil {
			t.Fatal(err)
		}
		if x := r.Results[0]; x.Status != executor.StatusFailed || !strings.Contains(x.Error, want) {
			t.Errorf("%s: %s %s, want %q", what, x.Status, x.Error, want)
		} else {
			t.Logf("%s: %s", what, x.Error)
		}
		if _, err := os.Stat(data + ".pg_manage-building"); !os.IsNotExist(err) {
			t.Errorf("%s: the copy was left behind", what)
		}
	}
	detail := func(f func(*planner.BuildDetail)) func(*planner.Step) {
		return func(s *planner.Step) {
			d := s.Detail.(planner.BuildDetail)
			f(&d)
			s.Detail = d
		}
	}
	try("another cluster", "system identifier", detail(func(d *planner.BuildDetail) { d.SystemIdentifier = "42" }))
	try("no such slot", "does not exist", detail(func(d *planner.BuildDetail) { d.Slot = "nowhere" }))
	try("nobody listens", "onnection refused", detail(func(d *planner.BuildDetail) { d.SourcePort = remotetest.FreePort(t) }))
	if _, err := os.Stat(data); !os.IsNotExist(err) {
		t.Errorf("the data directory appeared: %v", err)
	}

	w.asOwner("mkdir", "-p", data)
	w.asOwner("touch", data+"/precious")
	try("not empty", "precious", func(s *planner.Step) { s.Pre = nil })
	try("not a data directory", "no PostgreSQL data directory", func(s *planner.Step) {
		s.Pre = nil
		detail(func(d *planner.BuildDetail) { d.MoveAside = true })(s)
	})
	try("the plan is stale", "precondition", func(*planner.Step) {})
	if _, err := os.Stat(data + "/precious"); err != nil {
		t.Error(err)
	}
}

// TestMoveAside: the data of another cluster is kept beside the standby that takes its place.
func TestMoveAside(t *testing.T) {
	w := newWorld(t, "n1", "n2")
	w.declare("", "n1", "n2")
	w.asOwner("mkdir", "-p", filepath.Dir(w.data("n2")))
	w.asOwner(w.program("initdb"), "-D", w.data("n2"), "--no-sync")
	before := w.observe(t.Context(), w.name, "n2").Data.SystemIdentifier
	primary := w.cfg.Clusters[0]
	both := primary.Nodes
	primary.Nodes = both[:1]
	w.apply()
	primary.Nodes = both
	w.apply()
	w.settled()
	old, err := filepath.Glob(w.data("n2") + ".old-*")
	if err != nil || len(old) != 1 {
		t.Fatalf("moved aside: %v, %v", old, err)
	}
	out := w.asOwner(w.program("pg_controldata"), old[0])
	if !strings.Contains(out, before) {
		t.Errorf("what was moved aside is not the old cluster %s: %s", before, out)
	}
}
