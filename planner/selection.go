package planner

import (
	"slices"
	"strings"
)

// matches says whether a name of the selection covers a step.
func matches(names []string, s Step) bool {
	return slices.ContainsFunc(names, func(name string) bool {
		return name == s.Cluster || name == s.Cluster+"/"+s.Node || !strings.Contains(name, "/") && name == s.Node
	})
}

// apply keeps the targeted steps with all that they need, and leaves out the
// excluded ones with all that needs them, so that no dependency is ever cut.
func (sel Selection) apply(steps []Step) []Step {
	if len(sel.Target) > 0 {
		keep := map[string]bool{}
		for i := len(steps) - 1; i >= 0; i-- { // ordered: what a step needs stands before it
			if s := steps[i]; keep[s.ID] || matches(sel.Target, s) {
				keep[s.ID] = true
				for _, id := range s.Needs {
					keep[id] = true
				}
			}
		}
		steps = slices.DeleteFunc(slices.Clone(steps), func(s Step) bool { return !keep[s.ID] })
	}
	if len(sel.Exclude) > 0 {
		gone := map[string]bool{}
		var kept []Step
		for _, s := range steps {
			if matches(sel.Exclude, s) || slices.ContainsFunc(s.Needs, func(id string) bool { return gone[id] }) {
				gone[s.ID] = true
				continue
			}
			kept = append(kept, s)
		}
		steps = kept
	}
	if steps == nil {
		steps = []Step{}
	}
	return steps
}

// Unknown gives the names of the selection that fit no node and no cluster.
func (sel Selection) Unknown(known func(name string) bool) []string {
	var out []string
	for _, name := range slices.Concat(sel.Target, sel.Exclude) {
		if !known(name) {
			out = append(out, name)
		}
	}
	return out
}
