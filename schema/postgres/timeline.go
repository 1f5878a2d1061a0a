package postgres

import (
	"fmt"
	"strconv"
	"strings"
)

// Branch is one line of a timeline history file: the timeline that was left, and where.
type Branch struct {
	Timeline Timeline // the parent
	End      LSN      // where the child begins
	Reason   string
}

// ParseHistory reads a timeline history file: the branches that lead to the timeline
// tli, oldest first (PostgreSQL manual, "Timelines"; timeline.c, readTimeLineHistory).
func ParseHistory(tli Timeline, text string) ([]Branch, error) {
	var branches []Branch
	for i, line := range strings.Split(text, "\n") {
		line = strings.TrimLeft(line, " \t\r\v\f")
		if line == "" || line[0] == '#' {
			continue
		}
		f := strings.Fields(line)
		bad := func(why string) error {
			return fmt.Errorf("%s, line %d: %s", HistoryName(tli), i+1, why)
		}
		n, err := strconv.ParseUint(f[0], 10, 32)
		if err != nil || n == 0 {
			return nil, bad(fmt.Sprintf("want a timeline's number, have %q", firstWord(f[0])))
		}
		if len(f) < 2 {
			return nil, bad("the switch point is missing")
		}
		lsn, err := ParseLSN(f[1])
		if err != nil {
			return nil, bad(err.Error())
		}
		parent := Timeline(n)
		if k := len(branches); k > 0 && branches[k-1].Timeline >= parent {
			return nil, bad("timelines must come in increasing order")
		}
		if parent >= tli {
			return nil, bad(fmt.Sprintf("timeline %d cannot be an ancestor of %d", parent, tli))
		}
		b := Branch{Timeline: parent, End: lsn}
		if len(f) > 2 {
			_, after, _ := strings.Cut(line, f[1])
			b.Reason = strings.TrimSpace(after)
		}
		branches = append(branches, b)
	}
	if tli > 1 && len(branches) == 0 {
		return nil, fmt.Errorf("%s names no parent timeline", HistoryName(tli))
	}
	return branches, nil
}

// FormatHistory writes a timeline history file as PostgreSQL does.
func FormatHistory(branches []Branch) string {
	var b strings.Builder
	for i, br := range branches {
		if i > 0 {
			b.WriteByte('\n')
		}
		fmt.Fprintf(&b, "%d\t%s\t%s\n", br.Timeline, br.End, br.Reason)
	}
	return b.String()
}
