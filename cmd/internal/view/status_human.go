package view

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"pg_manage/planner"
	"pg_manage/schema"
)

// StatusHuman writes the status of clusters for a person: a tree of the nodes
// for each, then slots, archive, and what is wrong.
func StatusHuman(w io.Writer, st Style, s Status) {
	for i, c := range s.Clusters {
		if i > 0 {
			fmt.Fprintln(w)
		}
		clusterHuman(w, st, c, s.Time)
	}
	if len(s.Clusters) == 0 {
		fmt.Fprintln(w, "No cluster is declared.")
	}
}

func clusterHuman(w io.Writer, st Style, c ClusterStatus, now time.Time) {
	state := st.paint(bold+";"+green, "healthy")
	if !c.Healthy {
		state = st.paint(bold+";"+red, plural(len(c.Problems), "problem", "problems"))
	}
	head := fmt.Sprintf("PostgreSQL %d", c.Version)
	if c.SystemIdentifier != "" {
		head += ", system identifier " + clean(c.SystemIdentifier)
	}
	fmt.Fprintf(w, "%s: %s  %s\n", st.paint(bold, "cluster "+clean(c.Name)), state, st.paint(dim, "("+head+")"))
	tree(w, st, c.Nodes, now)
	slots(w, st, c.Nodes)
	if c.Archive != nil {
		archiveHuman(w, st, c.Archive)
	}
	backupsHuman(w, st, c.Backups, now)
	for _, p := range c.Problems {
		told := slices.ContainsFunc(c.Findings, func(f planner.Finding) bool { return p == findingProblem(f) })
		if !told {
			fmt.Fprint(w, "  "+st.paint(red, "✗")+strings.TrimPrefix(st.wrap("    ", clean(p)), "   "))
		}
	}
	for _, f := range c.Findings {
		if toldByNode(&c, f) {
			continue
		}
		mark := st.paint(yellow, "!")
		if f.Severity == schema.SeverityError {
			mark = st.paint(red, "✗")
		}
		text := findingProblem(f)
		if f.Detail != "" {
			text += "\n" + f.Detail
		}
		fmt.Fprint(w, "  "+mark+strings.TrimPrefix(st.wrap("    ", clean(text)), "   "))
	}
	if c.PendingSteps > 0 {
		fmt.Fprintf(w, "  %s a plan has %s: see `pg_manage plan`\n", st.paint(yellow, "~"), plural(c.PendingSteps, "step", "steps"))
	}
}

// tree writes the nodes, each under the one it streams from, in aligned columns.
func tree(w io.Writer, st Style, nodes []NodeStatus, now time.Time) {
	rows := make([][]string, len(nodes))
	widths := make([]int, 3)
	for i, n := range nodes {
		role := string(n.Role)
		if role == "" {
			role = "(" + string(n.Declared) + ")"
		} else if n.Role != n.Declared {
			role += " (declared " + string(n.Declared) + ")"
		}
		rows[i] = []string{branch(nodes, i) + clean(n.Name), role, n.State}
		for j := range widths {
			widths[j] = max(widths[j], columns(rows[i][j]))
		}
	}
	for i, n := range nodes {
		row := "  " + pad(rows[i][0], widths[0]) + "  " + pad(rows[i][1], widths[1]) + "  " +
			st.paint(stateColor(n), pad(rows[i][2], widths[2])) + "  " + position(n, now)
		fmt.Fprintln(w, strings.TrimRight(row, " "))
	}
}

// branch draws the lines of the tree in front of node i.
func branch(nodes []NodeStatus, i int) string {
	depth := nodes[i].Depth
	if depth == 0 {
		return ""
	}
	// more says whether another node follows at this depth under the same parent.
	more := func(d int) bool {
		for _, n := range nodes[i+1:] {
			if n.Depth < d {
				return false
			}
			if n.Depth == d {
				return true
			}
		}
		return false
	}
	var b strings.Builder
	for d := 1; d < depth; d++ {
		if more(d) {
			b.WriteString("│  ")
		} else {
			b.WriteString("   ")
		}
	}
	if more(depth) {
		return b.String() + "├─ "
	}
	return b.String() + "└─ "
}

func stateColor(n NodeStatus) string {
	switch n.State {
	case stateStreaming:
		return green
	case stateRunning:
		if n.Role == schema.RoleStandby {
			return yellow
		}
		return green
	default:
		return red
	}
}

// position is where a node stands in the WAL, and how far behind.
func position(n NodeStatus, now time.Time) string {
	var parts []string
	if n.Timeline != 0 {
		parts = append(parts, fmt.Sprintf("timeline %d", n.Timeline))
	}
	switch {
	case n.CurrentLSN != nil:
		parts = append(parts, "at "+n.CurrentLSN.String())
	case n.ReplayLSN != nil:
		if n.ReceiveLSN != nil && *n.ReceiveLSN > *n.ReplayLSN {
			parts = append(parts, "received "+n.ReceiveLSN.String())
		}
		parts = append(parts, "replayed "+n.ReplayLSN.String())
	}
	if n.LagBytes != nil && n.LagSeconds != nil {
		parts = append(parts, fmt.Sprintf("lag %s, %s", size(*n.LagBytes), age(time.Duration(*n.LagSeconds*float64(time.Second)))))
	}
	if n.Delay > 0 {
		parts = append(parts, "delayed by "+age(time.Duration(n.Delay*float64(time.Second))))
	}
	if n.ReplayPaused {
		parts = append(parts, "replay paused")
	}
	if !n.StartedAt.IsZero() {
		parts = append(parts, "up "+age(now.Sub(n.StartedAt)))
	}
	return strings.Join(parts, ", ")
}

func slots(w io.Writer, st Style, nodes []NodeStatus) {
	for _, n := range nodes {
		for _, s := range n.Slots {
			text := s.Type
			if s.Active {
				text += ", active"
			} else {
				text += ", " + st.paint(yellow, "not active")
			}
			if s.WALStatus != "" {
				word := "WAL " + s.WALStatus
				if s.WALStatus == "lost" || s.WALStatus == "unreserved" {
					word = st.paint(red, word)
				}
				text += ", " + word
			}
			if s.RetainedBytes != nil {
				text += ", holds back " + size(*s.RetainedBytes)
			}
			fmt.Fprintf(w, "  slot %s on %s: %s\n", clean(s.Name), clean(n.Name), text)
		}
	}
}
