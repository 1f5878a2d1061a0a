package view

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"pg_manage/executor/event"
	"pg_manage/planner"
)

// Progress shows the events of an apply as they come.
type Progress interface {
	event.Sink
	// Interrupted says that the running steps are finished, and no further one is begun.
	Interrupted()
	// Finish ends the display.
	Finish()
}

// stepState is a step that is under way.
type stepState struct {
	id          string
	begun       time.Time
	said        time.Time // when it was last told of
	done, total int64     // bytes
	message     string
}

// steps keeps what runs, in order of its beginning, and how steps are called.
type steps struct {
	plan    *planner.Plan
	long    bool // several clusters: nodes are named with theirs
	running []*stepState
	skipped string // why the step before was skipped
}

func newSteps(p *planner.Plan) steps {
	return steps{plan: p, long: len(clustersOf(p)) > 1}
}

// called is the node's name and the step's summary.
func (s *steps) called(id string) (node, summary string) {
	step := s.plan.Step(id)
	if step == nil {
		return "", id
	}
	node = clean(step.Node)
	if s.long {
		node = clean(step.Cluster) + "/" + node
	}
	return node + ": ", clean(step.Summary)
}

// take keeps the books of what runs; it gives the step that the event is about.
func (s *steps) take(e event.Event) *stepState {
	switch e.Type {
	case event.Started:
		st := &stepState{id: e.Step, begun: e.Time, said: e.Time}
		s.running = append(s.running, st)
		return st
	case event.Progress:
		st := s.find(e.Step)
		if st == nil {
			return nil
		}
		// A message may come without a count, which then still holds.
		if e.Done > 0 || e.Total > 0 {
			st.done, st.total = e.Done, e.Total
		}
		if p := s.plan.Step(e.Step); e.Message != "" && (p == nil || e.Message != p.Summary) {
			st.message = clean(e.Message)
		}
		return st
	case event.Done, event.Failed, event.Skipped:
		for i, st := range s.running {
			if st.id == e.Step {
				s.running = append(s.running[:i:i], s.running[i+1:]...)
				return st
			}
		}
	}
	return nil
}

func (s *steps) find(id string) *stepState {
	for _, st := range s.running {
		if st.id == id {
			return st
		}
	}
	return nil
}

// alreadySo ends the message of a step that found its work done.
const alreadySo = "(already so)"

// ended is the line that tells of a step's end; "" for other events.
func (s *steps) ended(st Style, e event.Event) string {
	node, summary := s.called(e.Step)
	_, done := tenses(summary)
	took := ""
	if e.Elapsed > 0 {
		took = st.paint(dim, " ["+age(e.Elapsed)+"]")
	}
	switch e.Type {
	case event.Done:
		if strings.HasSuffix(e.Message, alreadySo) {
			done = "nothing to do: " + summary
		}
		return node + done + took
	case event.Failed:
		return node + st.paint(red, "FAILED: ") + summary + took
	case event.Skipped:
		why := clean(e.Message)
		if why == "" {
			why = clean(e.Error)
		}
		if why == s.skipped && why != "" {
			return "" // told once: a lock that is held skips every step of a cluster
		}
		s.skipped = why
		if why != "" {
			why = ": " + why
		}
		return node + st.paint(yellow, "skipped: ") + summary + st.paint(dim, why)
	case event.Notice:
		who := ""
		if e.Step != "" {
			who = node
		} else if e.Node != "" {
			who = clean(e.Node) + ": "
			if s.long && e.Cluster != "" {
				who = clean(e.Cluster) + "/" + who
			}
		}
		return who + clean(e.Message)
	}
	return ""
}

// finishing is what the first Ctrl-C says.
func (s *steps) finishing() string {
	var names []string
	for _, st := range s.running {
		node, summary := s.called(st.id)
		names = append(names, node+summary)
	}
	if len(names) == 0 {
		return "Interrupted: no step is running; press Ctrl-C again to leave at once."
	}
	return "Interrupted: finishing " + strings.Join(names, "; ") + ". Press Ctrl-C again to leave at once."
}

// plain is Progress as lines, for a pipe or a file.
type plain struct {
	mu    sync.Mutex
	w     io.Writer
	style Style
	every time.Duration
	steps steps
	stop  chan struct{}
	gone  chan struct{}
}

// sayEvery is how often a pipe is told that a step still runs.
const sayEvery = 10 * time.Second

// NewPlain shows progress as lines: one for the beginning and the end of each
// step, and every ten seconds one for what is still running.
func NewPlain(w io.Writer, st Style, p *planner.Plan) Progress {
	v := &plain{w: w, style: st, every: sayEvery, steps: newSteps(p), stop: make(chan struct{}), gone: make(chan struct{})}
	go v.watch(time.Second)
	return v
}

func (v *plain) watch(every time.Duration) {
	defer close(v.gone)
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		select {
		case <-v.stop:
			return
		case now := <-t.C:
			v.remind(now)
		}
	}
}

// Emit tells of an event.
func (v *plain) Emit(e event.Event) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.steps.take(e)
	if e.Type == event.Started {
		node, summary := v.steps.called(e.Step)
		running, _ := tenses(summary)
		fmt.Fprintf(v.w, "%s%s ...\n", node, running)
		return
	}
	if line := v.steps.ended(v.style, e); line != "" {
		fmt.Fprintln(v.w, line)
	}
}

// remind tells of the steps of which nothing was heard for a while.
func (v *plain) remind(now time.Time) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, st := range v.steps.running {
		if now.Sub(st.said) < v.every {
			continue
		}
		st.said = now
		node, summary := v.steps.called(st.id)
		running, _ := tenses(summary)
		fmt.Fprintf(v.w, "%sstill %s (%s)\n", node, running, still(st, now))
	}
}

// still is how far a step has come: "34%, 120 MB of 350 MB", and for how long it has run.
func still(st *stepState, now time.Time) string {
	out := age(now.Sub(st.begun))
	switch {
	case st.total > 0:
		out = fmt.Sprintf("%d%%, %s of %s, %s", percent(st), size(st.done), size(st.total), out)
	case st.done > 0:
		out = size(st.done) + ", " + out
	}
	if st.message != "" {
		out += ", " + st.message
	}
	return out
}

func percent(st *stepState) int {
	return int(min(100, st.done*100/max(1, st.total)))
}

// Interrupted says what is being finished.
func (v *plain) Interrupted() {
	v.mu.Lock()
	defer v.mu.Unlock()
	fmt.Fprintln(v.w, v.steps.finishing())
}

// Finish ends the reminders.
func (v *plain) Finish() {
	close(v.stop)
	<-v.gone
}

// jsonProgress is Progress as JSON lines.
type jsonProgress struct{ lines *Lines }

type eventLine struct {
	event.Event
}

// NewJSONProgress writes every event as a line, in the form of event.Event.
func NewJSONProgress(l *Lines) Progress { return jsonProgress{l} }

func (v jsonProgress) Emit(e event.Event) { v.lines.Put(eventLine{e}) }

func (v jsonProgress) Interrupted() {
	v.lines.Put(eventLine{event.Event{Time: time.Now(), Type: event.Notice, Message: "interrupted: the running steps are finished"}})
}

func (v jsonProgress) Finish() {}

// Quiet is Progress that says nothing.
type Quiet struct{ event.Discard }

// Interrupted does nothing.
func (Quiet) Interrupted() {}

// Finish does nothing.
func (Quiet) Finish() {}
