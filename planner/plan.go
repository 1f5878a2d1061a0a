package planner

import (
	"time"

	"pg_manage/schema"
)

// FormatVersion is the version of a plan's JSON form, as major.minor. A reader
// refuses another major version and ignores keys that it does not know.
const FormatVersion = "1.0"

// Plan is the ordered way from what is observed to what is declared.
type Plan struct {
	FormatVersion string            `json:"format_version"`
	ToolVersion   string            `json:"tool_version"`
	Created       time.Time         `json:"created"`
	Clusters      []string          `json:"clusters"`    // that were planned for
	Fingerprint   string            `json:"fingerprint"` // of the declaration and the facts that the plan rests on
	Selection     Selection         `json:"selection,omitzero"`
	Findings      []Finding         `json:"findings,omitempty"`
	Steps         []Step            `json:"steps"`     // in an order that respects Needs
	Unchanged     []string          `json:"unchanged"` // cluster/node, where nothing is to be done
	Facts         map[string]string `json:"facts"`     // what the fingerprint was made of: name -> digest
}

// Finding is something that a person should know about what was observed.
// An error means that the plan cannot lead all the way to what is declared.
type Finding struct {
	Severity schema.Severity `json:"severity"`
	Cluster  string          `json:"cluster"`
	Node     string          `json:"node,omitempty"`
	Summary  string          `json:"summary"`
	Detail   string          `json:"detail,omitempty"` // what to do about it
}

// Selection narrows a plan to parts of the configuration. Names are "cluster" or
// "cluster/node"; a plain node name does where it is unambiguous.
type Selection struct {
	Target  []string `json:"target,omitempty"`
	Exclude []string `json:"exclude,omitempty"`
}

// Options are what New needs besides the declared and the observed.
type Options struct {
	Now         time.Time
	ToolVersion string
	Binaries    map[string]map[string]string // architecture -> file name -> SHA-256, of what we can install
	Selection   Selection
	Restore     *RestoreRequest // plan a restore in place of this cluster, and nothing else
}

// RestoreRequest asks for a restore in place: a cluster is brought back to an earlier point.
type RestoreRequest struct {
	Cluster string
	Want    schema.Restore // from where, and to which point
	Delta   bool           // over the primary's old data, which is not kept, in place of moving it aside
}

// Empty says that nothing is to be done and nothing is in the way.
func (p *Plan) Empty() bool { return len(p.Steps) == 0 && !p.HasErrors() }

// HasErrors says that something declared cannot be reached by this plan.
func (p *Plan) HasErrors() bool {
	for _, f := range p.Findings {
		if f.Severity == schema.SeverityError {
			return true
		}
	}
	for _, s := range p.Steps {
		if s.Blocked != "" {
			return true
		}
	}
	return false
}

// DataLoss gives the steps that destroy or set aside data and are not blocked.
func (p *Plan) DataLoss() []Step {
	var out []Step
	for _, s := range p.Steps {
		if s.Effect == EffectDataLoss && s.Blocked == "" {
			out = append(out, s)
		}
	}
	return out
}

// Step finds a step by its ID; nil when there is none.
func (p *Plan) Step(id string) *Step {
	for i := range p.Steps {
		if p.Steps[i].ID == id {
			return &p.Steps[i]
		}
	}
	return nil
}

// Count gives how many steps have each action, blocked ones under "blocked".
func (p *Plan) Count() map[Action]int {
	n := map[Action]int{}
	for _, s := range p.Steps {
		if s.Blocked != "" {
			n["blocked"]++
		} else {
			n[s.Action]++
		}
	}
	return n
}
