package view

import (
	"time"

	"pg_manage/planner"
)

type findingLine struct {
	Type string `json:"type"`
	planner.Finding
}

type stepLine struct {
	Type   string `json:"type"`
	Number int    `json:"number"`
	planner.Step
}

type planSummaryLine struct {
	Type        string         `json:"type"`
	Created     time.Time      `json:"created"`
	Clusters    []string       `json:"clusters"`
	Fingerprint string         `json:"fingerprint"`
	Empty       bool           `json:"empty"`
	Errors      bool           `json:"errors"`
	Counts      map[string]int `json:"counts"`
	Effects     map[string]int `json:"effects"`
	DataLoss    []string       `json:"data_loss,omitempty"` // step IDs
	Unchanged   []string       `json:"unchanged"`
	SavedTo     string         `json:"saved_to,omitempty"`
}

// PlanJSON writes a plan as lines: its findings, its steps in order, and a summary.
func PlanJSON(l *Lines, p *planner.Plan, opt PlanOptions) {
	for _, f := range p.Findings {
		l.Put(findingLine{"finding", f})
	}
	sum := planSummaryLine{
		Type: "summary", Created: p.Created, Clusters: p.Clusters, Fingerprint: p.Fingerprint,
		Empty: p.Empty(), Errors: p.HasErrors(), SavedTo: opt.SavedTo, Unchanged: p.Unchanged,
		Counts: map[string]int{}, Effects: map[string]int{},
	}
	if sum.Unchanged == nil {
		sum.Unchanged = []string{}
	}
	for _, a := range []planner.Action{planner.ActionCreate, planner.ActionUpdate, planner.ActionRemove, planner.ActionReplace, "blocked"} {
		sum.Counts[string(a)] = p.Count()[a]
	}
	for i, s := range p.Steps {
		l.Put(stepLine{"step", i + 1, redacted(s)})
		if s.Blocked == "" && s.Effect != "" && s.Effect != planner.EffectNone {
			sum.Effects[string(s.Effect)]++
		}
	}
	for _, s := range p.DataLoss() {
		sum.DataLoss = append(sum.DataLoss, s.ID)
	}
	l.Put(sum)
}

// redacted takes the values of sensitive attributes out of a step.
func redacted(s planner.Step) planner.Step {
	var out []planner.Change
	for _, c := range s.Changes {
		if c.Sensitive {
			c.Before, c.After = "", ""
		}
		out = append(out, c)
	}
	s.Changes = out
	return s
}
