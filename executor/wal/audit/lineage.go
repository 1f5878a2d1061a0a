package audit

import (
	"fmt"
	"maps"
	"slices"

	"pg_manage/schema/postgres"
)

// lineage knows how the timelines of a cluster come from one another.
type lineage struct {
	segSize int64
	// branches leads to each timeline whose ancestors are known.
	branches map[postgres.Timeline][]postgres.Branch
}

// newLineage makes one out of history files that have been read. Of timelines without
// a file it takes what their descendants' files say. Histories that contradict one
// another are problems; the lower timeline's own file is the one believed.
func newLineage(segSize int64, histories map[postgres.Timeline][]postgres.Branch) (*lineage, []Problem) {
	l := &lineage{segSize, map[postgres.Timeline][]postgres.Branch{}}
	var problems []Problem
	for _, tli := range slices.Sorted(maps.Keys(histories)) {
		own := histories[tli]
		l.branches[tli] = own
		for i, b := range own {
			if i > 0 && b.End < own[i-1].End {
				problems = append(problems, Problem{postgres.HistoryName(tli), KindDamaged, fmt.Sprintf("timeline %d ends at %s, before the %s where it began", b.Timeline, b.End, own[i-1].End)})
				break
			}
		}
	}
	for _, tli := range slices.Sorted(maps.Keys(histories)) {
		own := histories[tli]
		for i, b := range own {
			known, ok := l.branches[b.Timeline]
			if !ok {
				l.branches[b.Timeline] = own[:i]
				continue
			}
			if !slices.EqualFunc(known, own[:i], func(a, b postgres.Branch) bool { return a.Timeline == b.Timeline && a.End == b.End }) {
				problems = append(problems, Problem{postgres.HistoryName(tli), KindDamaged, fmt.Sprintf("it contradicts what else is known of how timeline %d began: %s here, %s there", b.Timeline, says(own[:i]), says(known))})
				break
			}
		}
	}
	return l, problems
}

func says(branches []postgres.Branch) string {
	if len(branches) == 0 {
		return "from nothing"
	}
	text := ""
	for _, b := range branches {
		text += fmt.Sprintf(", %d left at %s", b.Timeline, b.End)
	}
	return text[2:]
}

// parent gives the timeline that tli comes from and where it left it; 0 if that isn't known.
func (l *lineage) parent(tli postgres.Timeline) (postgres.Timeline, postgres.LSN) {
	b := l.branches[tli]
	if len(b) == 0 {
		return 0, 0
	}
	return b[len(b)-1].Timeline, b[len(b)-1].End
}

// first is the number of the first segment that bears the timeline's name: the one that
// holds the place where it left its parent.
func (l *lineage) first(tli postgres.Timeline) uint64 {
	_, fork := l.parent(tli)
	return uint64(fork) / uint64(l.segSize)
}

// ancestor says whether PostgreSQL comes from timeline a to tli.
func (l *lineage) ancestor(a, tli postgres.Timeline) bool {
	return slices.ContainsFunc(l.branches[tli], func(b postgres.Branch) bool { return b.Timeline == a })
}

// stretch is the segments that recovery reads from one timeline on its way to another.
type stretch struct {
	timeline postgres.Timeline
	span
}

// path is where recovery to tli takes its segments from (xlogreader and
// xlogrecovery.c, XLogFileReadAnyTLI: of the timelines that have begun by a segment, the newest).
func (l *lineage) path(tli postgres.Timeline) []stretch {
	var out []stretch
	begin := uint64(0)
	for _, b := range l.branches[tli] {
		end := uint64(b.End) / uint64(l.segSize)
		if end > begin {
			out = append(out, stretch{b.Timeline, span{begin, end - 1}})
		}
		begin = max(begin, end)
	}
	return append(out, stretch{tli, span{begin, ^uint64(0)}})
}

// owner gives the timeline that a segment before or on tli is read from.
func (l *lineage) owner(tli postgres.Timeline, n uint64) postgres.Timeline {
	for _, s := range l.path(tli) {
		if n >= s.from && n <= s.to {
			return s.timeline
		}
	}
	return tli
}

// children gives the timelines that come straight from tli.
func (l *lineage) children(tli postgres.Timeline) (out []postgres.Timeline) {
	for t := range l.branches {
		if p, _ := l.parent(t); p == tli {
			out = append(out, t)
		}
	}
	slices.Sort(out)
	return out
}

// left gives the first place in a segment where some timeline has left tli.
func (l *lineage) left(tli postgres.Timeline, n uint64) (lsn postgres.LSN, ok bool) {
	for _, c := range l.children(tli) {
		if _, fork := l.parent(c); l.first(c) == n && (!ok || fork < lsn) {
			lsn, ok = fork, true
		}
	}
	return lsn, ok
}
