package planner

import (
	"slices"
	"strings"
	"testing"

	"pg_manage/schema"
)

// TestARestoreIsFinishedOnTheNodeWhereItWasBegun: roles that are swapped in the file in its
// middle neither let it begin anew on the other node nor hide what is to be done.
func TestARestoreIsFinishedOnTheNodeWhereItWasBegun(t *testing.T) {
	for cut := 1; cut < 12; cut++ {
		c, w := after(threeBackedUp, backInTime, nil)(t)
		p := w.plan(c)
		if len(p.Steps) <= cut {
			break
		}
		w.apply(t, c, p, cut)
		asked := w.restore
		begun := w.observe(c).Clusters[c.Name].Nodes["node1"].Intent != nil
		if !begun {
			continue
		}
		swapped(c)
		for what, restore := range map[string]*RestoreRequest{"plan": nil, "restore": asked} {
			w.restore = restore
			p := w.plan(c)
			wantSteps(t, p)
			wantError(t, p, "was begun at")
			if !slices.ContainsFunc(p.Findings, func(f Finding) bool {
				return f.Node == "node1" && strings.Contains(f.Summary, "now node2 is declared primary") && strings.Contains(f.Detail, "declare node1 primary again") && strings.Contains(f.Detail, RestoreIntentFile+" on node1")
			}) {
				t.Errorf("cut after %d, %s: %+v", cut, what, p.Findings)
			}
		}
		c.Node("node1").Role, c.Node("node1").Upstream = schema.RolePrimary, ""
		c.Node("node2").Role, c.Node("node2").Upstream = schema.RoleStandby, "node1"
		w.restore = asked
		if p := w.plan(c); p.HasErrors() {
			t.Errorf("cut after %d: it does not go on: %+v", cut, p.Findings)
		}
	}
}
