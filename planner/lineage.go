package planner

import (
	"slices"

	"pg_manage/schema/postgres"
)

// walIncluded is BackupFact.WAL of a backup that has its WAL in itself.
const walIncluded = "included"

// lineage knows how timelines come from one another.
type lineage map[postgres.Timeline]WALTimeline

func newLineage(timelines []WALTimeline) lineage {
	l := lineage{}
	for _, t := range timelines {
		l[t.Timeline] = t
	}
	return l
}

// known says whether it is known where a timeline comes from.
func (l lineage) known(tli postgres.Timeline) bool { return tli == 1 || l[tli].Parent != 0 }

// path gives the timelines that recovery to tli goes through, oldest first. A parent
// that is not lower than its child, which no history has, ends it.
func (l lineage) path(tli postgres.Timeline) []postgres.Timeline {
	out := []postgres.Timeline{tli}
	for {
		parent := l[tli].Parent
		if parent == 0 || parent >= tli {
			break
		}
		out = append(out, parent)
		tli = parent
	}
	slices.Reverse(out)
	return out
}

// left is where the path to tli leaves another timeline; false when that is not on it,
// or is tli, which the path does not leave.
func (l lineage) left(from, tli postgres.Timeline) (postgres.LSN, bool) {
	path := l.path(tli)
	for k := range len(path) - 1 {
		if path[k] == from {
			return l[path[k+1]].Fork, true
		}
	}
	return 0, false
}
