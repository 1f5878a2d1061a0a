package view

import (
	"fmt"
	"strings"

	"pg_manage/planner"
	"pg_manage/schema"
)

// problems says why a cluster is not healthy: what a person on call has to look
// at. That a plan would have steps is no such reason by itself.
func problems(c *ClusterStatus) []string {
	var out []string
	add := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	primaries := 0
	for _, n := range c.Nodes {
		if n.Role == schema.RolePrimary {
			primaries++
		}
		switch {
		case n.State == stateUnreachable:
			add("%s is unreachable: %s", n.Name, strings.TrimPrefix(n.Error, n.Name+": "))
		case n.State == stateAbsent:
			add("%s has no data directory", n.Name)
		case n.State == stateNoAnswer:
			add("%s does not answer: %s", n.Name, n.Error)
		case n.Role == "" && n.Error != "":
			add("%s is %s: %s", n.Name, n.State, n.Error)
		case n.Role == "":
			add("%s is %s", n.Name, n.State)
		case n.Role != n.Declared:
			add("%s is %s, but declared %s", n.Name, n.Role, n.Declared)
		case n.Role == schema.RoleStandby && n.State != stateStreaming:
			add("%s does not stream", n.Name)
		case n.ReplayPaused:
			add("replay is paused on %s", n.Name)
		}
		for _, s := range n.Slots {
			switch s.WALStatus {
			case "lost":
				add("slot %s on %s has lost WAL that it needs", s.Name, n.Name)
			case "unreserved":
				add("slot %s on %s is about to lose WAL that it needs", s.Name, n.Name)
			}
		}
	}
	switch {
	case primaries == 0:
		add("no primary answers")
	case primaries > 1:
		add("%d nodes are primary", primaries)
	}
	if a := c.Archive; a != nil {
		switch a.State {
		case "failing":
			add("WAL archiving fails: %s", a.Error)
		case "off":
			add("WAL archiving is declared, but archive_mode is off")
		}
		for _, t := range a.Targets {
			if n := droppedSegments(t.Dropped); n > 0 {
				add("the archive at %s lacks %s, which had to be dropped", t.Target, plural(n, "segment", "segments"))
			}
		}
	}
	for _, b := range c.Backups {
		out = append(out, b.Problems...)
	}
	for _, f := range c.Findings {
		if f.Severity == schema.SeverityError && !toldByNode(c, f) {
			out = append(out, findingProblem(f))
		}
	}
	return out
}

// findingProblem is a finding as one line, its cluster left out.
func findingProblem(f planner.Finding) string { return place("", f.Node) + clean(f.Summary) }

// toldByNode says that the state of a node tells what a finding says.
func toldByNode(c *ClusterStatus, f planner.Finding) bool {
	for _, n := range c.Nodes {
		if n.Name == f.Node && n.Error != "" && strings.Contains(f.Summary, n.Error) {
			return true
		}
	}
	return false
}
