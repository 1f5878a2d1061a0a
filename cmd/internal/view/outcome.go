package view

import (
	"fmt"
	"io"
	"time"

	"pg_manage/planner"
)

// Outcome is how an apply ended. Steps are named by ID.
type Outcome struct {
	Done        []string
	Failed      []StepFailure
	Skipped     []string
	Interrupted bool
	Elapsed     time.Duration
	Again       string // the command that goes on with the work
}

// StepFailure is a step that failed, and why.
type StepFailure struct {
	Step  string `json:"step"`
	Error string `json:"error"`
}

// OutcomeHuman writes how an apply ended: each failed step with its whole error, and what to do next.
func OutcomeHuman(w io.Writer, st Style, p *planner.Plan, o Outcome) {
	names := newSteps(p)
	for _, f := range o.Failed {
		node, summary := names.called(f.Step)
		if p.Step(f.Step) == nil {
			summary = clean(f.Step)
		}
		fmt.Fprintln(w)
		Problem(w, st, node+summary, f.Error)
	}
	fmt.Fprintln(w)
	counts := fmt.Sprintf("%s done", plural(len(o.Done), "step", "steps"))
	if n := len(o.Failed); n > 0 {
		counts += fmt.Sprintf(", %d failed", n)
	}
	if n := len(o.Skipped); n > 0 {
		counts += fmt.Sprintf(", %d skipped", n)
	}
	switch {
	case o.Interrupted:
		fmt.Fprintf(w, "%s %s in %s.\n", st.paint(bold+";"+yellow, "Interrupted:"), counts, age(o.Elapsed))
	case len(o.Failed) == 0 && len(o.Skipped) > 0:
		fmt.Fprintf(w, "%s %s in %s.\n", st.paint(bold+";"+yellow, "Apply incomplete:"), counts, age(o.Elapsed))
		return
	case len(o.Failed) > 0:
		fmt.Fprintf(w, "%s %s in %s.\n", st.paint(bold+";"+red, "Apply failed:"), counts, age(o.Elapsed))
	default:
		fmt.Fprintf(w, "%s %s in %s.\n", st.paint(bold+";"+green, "Apply complete!"), counts, age(o.Elapsed))
		return
	}
	if o.Again != "" {
		fmt.Fprint(w, st.wrap("", "Run `"+o.Again+"` again: it looks at the nodes anew and goes on from where it stopped."))
	}
}

type outcomeLine struct {
	Type        string        `json:"type"`
	OK          bool          `json:"ok"`
	Interrupted bool          `json:"interrupted"`
	Done        []string      `json:"done"`
	Failed      []StepFailure `json:"failed"`
	Skipped     []string      `json:"skipped"`
	ElapsedNS   time.Duration `json:"elapsed_ns"`
}

// OutcomeJSON writes how an apply ended as a line of type "apply_summary".
func OutcomeJSON(l *Lines, o Outcome) {
	l.Put(outcomeLine{
		Type: "apply_summary", OK: !o.Interrupted && len(o.Failed) == 0 && len(o.Skipped) == 0, Interrupted: o.Interrupted,
		Done: filled(o.Done), Failed: filled(o.Failed), Skipped: filled(o.Skipped), ElapsedNS: o.Elapsed,
	})
}

// filled makes JSON show an empty list and not null.
func filled[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}
