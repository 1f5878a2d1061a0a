package executor

import (
	"time"

	"pg_manage/planner"
)

// Status is how a step ended.
type Status string

// Statuses of a step.
const (
	StatusDone    Status = "done"
	StatusFailed  Status = "failed"
	StatusSkipped Status = "skipped"
)

// Result is what became of one step.
type Result struct {
	Step     string        `json:"step"`
	Status   Status        `json:"status"`
	Already  bool          `json:"already,omitempty"` // done, and nothing had to be done
	Reason   string        `json:"reason,omitempty"`  // of a skipped step
	Err      error         `json:"-"`
	Error    string        `json:"error,omitempty"`
	Duration time.Duration `json:"duration_ns"`
}

// Report is what became of a plan.
type Report struct {
	Results     []Result      `json:"results"` // in the order of the plan
	Interrupted bool          `json:"interrupted,omitempty"`
	Elapsed     time.Duration `json:"elapsed_ns"`
}

// Count gives how many steps ended with a status.
func (r *Report) Count(s Status) int {
	n := 0
	for _, x := range r.Results {
		if x.Status == s {
			n++
		}
	}
	return n
}

// OK says that every step was done.
func (r *Report) OK() bool { return !r.Interrupted && r.Count(StatusDone) == len(r.Results) }

// Result finds what became of a step; nil when the plan had no such step.
func (r *Report) Result(id string) *Result {
	for i := range r.Results {
		if r.Results[i].Step == id {
			return &r.Results[i]
		}
	}
	return nil
}

func newReport(p *planner.Plan) *Report {
	r := &Report{Results: make([]Result, len(p.Steps))}
	for i, s := range p.Steps {
		r.Results[i] = Result{Step: s.ID, Status: StatusSkipped}
	}
	return r
}
