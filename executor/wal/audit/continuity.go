package audit

import (
	"fmt"
	"maps"
	"slices"

	"pg_manage/schema/postgres"
)

// timelines describes each timeline that has segments or a history. pending are
// segments that are not there and not missing either.
//
// What comes before the oldest segment on a timeline's path is not missing: it may have
// been cleaned up. What a child timeline needs of its parent is.
func (l *lineage) timelines(present, pending map[postgres.Timeline]spans) []Timeline {
	all := map[postgres.Timeline]bool{}
	for tli := range present {
		all[tli] = true
	}
	for tli := range l.branches {
		all[tli] = true
	}
	var out []Timeline
	for _, tli := range slices.Sorted(maps.Keys(all)) {
		t := Timeline{Timeline: tli}
		if p, fork := l.parent(tli); p != 0 {
			t.Parent, t.ForkLSN = p, fork.String()
		}
		for _, r := range present[tli] {
			t.Ranges = append(t.Ranges, Range{l.name(tli, r.from), l.name(tli, r.to), l.lsn(r.from), l.lsn(r.to + 1), r.to - r.from + 1})
		}
		for _, r := range l.missing(tli, present).without(pending[tli]) {
			t.Missing = append(t.Missing, Missing{l.name(tli, r.from), l.name(tli, r.to), r.to - r.from + 1})
		}
		out = append(out, t)
	}
	return out
}

// missing gives the segments that a timeline ought to have and hasn't.
func (l *lineage) missing(tli postgres.Timeline, present map[postgres.Timeline]spans) spans {
	own := present[tli]
	first, older := l.first(tli), false
	path := l.path(tli)
	for _, s := range path[:len(path)-1] {
		older = older || len(present[s.timeline].within(s.from, s.to)) > 0
	}
	if len(own) == 0 && !older {
		return nil
	}
	from := first
	switch {
	case !older:
		from = own[0].from
	case len(own) > 0:
		from = min(from, own[0].from)
	}
	end := from // the first segment that isn't asked for
	if len(own) > 0 {
		end = own[len(own)-1].to + 1
	}
	for _, c := range l.children(tli) {
		end = max(end, l.first(c))
	}
	if end == from {
		return nil
	}
	return own.lack(from, end-1)
}

// recoverable gives the stretches that recovery can run through, of the segments that
// are there and sound.
func (l *lineage) recoverable(sound map[postgres.Timeline]spans) []Recoverable {
	type place struct {
		timeline postgres.Timeline
		last     uint64
	}
	type run struct {
		Recoverable
		end place
	}
	var runs []run
	covered := map[place]bool{} // a longer run of a child goes through here
	for _, tli := range slices.Sorted(maps.Keys(sound)) {
		var cur *run
		var passed []place
		keep := func() {
			if cur != nil && cur.end.timeline == tli {
				runs = append(runs, *cur)
				for _, p := range passed {
					covered[p] = true
				}
			}
			cur, passed = nil, nil
		}
		for _, s := range l.path(tli) {
			for _, r := range sound[s.timeline].within(s.from, s.to) {
				if cur == nil || cur.end.last+1 != r.from {
					keep()
					cur = &run{Recoverable: Recoverable{Timeline: tli, FromLSN: l.lsn(r.from)}}
				} else {
					passed = append(passed, cur.end)
				}
				cur.Through = append(cur.Through, s.timeline)
				cur.ToLSN, cur.end = l.lsn(r.to+1), place{s.timeline, r.to}
			}
		}
		keep()
	}
	var out []Recoverable
	for _, r := range runs {
		if !covered[r.end] {
			out = append(out, r.Recoverable)
		}
	}
	return out
}

func (l *lineage) lsn(n uint64) postgres.LSN { return postgres.LSN(n * uint64(l.segSize)) }

func (l *lineage) name(tli postgres.Timeline, n uint64) string {
	perLog := uint64(1<<32) / uint64(l.segSize)
	return fmt.Sprintf("%08X%08X%08X", uint32(tli), uint32(n/perLog), uint32(n%perLog))
}
