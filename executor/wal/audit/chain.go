package audit

import (
	"fmt"

	"pg_manage/executor/wal/audit/walcheck"
	"pg_manage/schema/postgres"
)

// place is a segment of an archive.
type place struct {
	timeline postgres.Timeline
	n        uint64
	partial  bool
}

// link is a segment that has been read and whose neighbours haven't all been.
type link struct {
	name string // as it is stored
	head walcheck.Head
	tail walcheck.Tail
	mute bool // it could not be read, and says nothing
	// pred says that the segment before is still to come; next, how many after it are.
	pred bool
	next map[place]bool
}

// chain joins segments that are read in any order, so that records which lie in two of
// them are checked. It forgets a segment once its neighbours have been read.
type chain struct {
	x    *index
	open map[place]*link
}

func newChain(x *index) *chain { return &chain{x: x, open: map[place]*link{}} }

// add takes in a segment that has been read, and gives what doesn't fit together.
func (c *chain) add(o object, res *walcheck.Result) (problems []Problem) {
	file := o.file
	n, _ := c.x.a.number(file) // objects has checked it
	p := place{file.Timeline, n, file.Kind == postgres.WALPartial}
	if !c.there(p) {
		return nil // came after the archive was listed: its neighbours don't wait for it
	}
	l := &link{name: o.name, mute: res == nil, next: map[place]bool{}}
	if res != nil {
		l.head, l.tail = res.Head, res.Tail
	}
	before, hasBefore := c.before(p)
	l.pred = hasBefore
	if !hasBefore && l.tail.Through() {
		l.tail = walcheck.Unknown()
	}
	for _, q := range c.after(p) {
		l.next[q] = true
	}
	c.open[p] = l
	if _, ok := c.open[before]; hasBefore && ok {
		problems = append(problems, c.join(before, p)...)
	}
	problems = append(problems, c.forward(p)...)
	c.forget(p)
	return problems
}

// forward joins a segment with those after it that have been read.
func (c *chain) forward(p place) (problems []Problem) {
	l, ok := c.open[p]
	if !ok {
		return nil
	}
	for q := range l.next {
		if _, ok := c.open[q]; ok {
			problems = append(problems, c.join(p, q)...)
		}
	}
	return problems
}

func (c *chain) join(p, q place) (problems []Problem) {
	a, b := c.open[p], c.open[q]
	if a.tail.Through() && a.pred {
		return nil // what it ends with is known later
	}
	delete(a.next, q)
	b.pred = false
	through := b.tail.Through()
	tail := walcheck.Unknown()
	if !a.mute && !b.mute {
		var err error
		if tail, err = walcheck.Join(a.tail, b.head, c.x.lineage.lsn(q.n)); err != nil {
			// A .partial is on no path of recovery, so that it is the one to doubt.
			bad, other := a.name, b.name
			if q.partial {
				bad, other = other, bad
			}
			problems = append(problems, Problem{bad, KindDamaged, fmt.Sprintf("%s; this file or %s is damaged", err.Error(), other)})
		}
	}
	if through {
		b.tail = tail
		problems = append(problems, c.forward(q)...)
	}
	c.forget(p)
	c.forget(q)
	return problems
}

func (c *chain) forget(p place) {
	if l, ok := c.open[p]; ok && !l.pred && len(l.next) == 0 {
		delete(c.open, p)
	}
}

func (c *chain) there(p place) bool {
	if p.partial {
		return c.x.partials[p.timeline].has(p.n)
	}
	return c.x.segments[p.timeline].has(p.n)
}

// before gives the segment that recovery reads before p, if the archive has it.
func (c *chain) before(p place) (place, bool) {
	if p.n == 0 {
		return place{}, false
	}
	q := place{timeline: p.timeline, n: p.n - 1}
	if p.n <= c.x.lineage.first(p.timeline) {
		q.timeline = c.x.lineage.owner(p.timeline, p.n-1)
	}
	return q, c.there(q)
}

// after gives the segments of the archive that come before p of all.
func (c *chain) after(p place) (out []place) {
	if p.partial {
		return nil
	}
	timelines := []postgres.Timeline{p.timeline}
	for t := range c.x.lineage.branches {
		if t != p.timeline && c.x.lineage.ancestor(p.timeline, t) {
			timelines = append(timelines, t)
		}
	}
	for _, t := range timelines {
		for _, partial := range []bool{false, true} {
			q := place{t, p.n + 1, partial}
			if !c.there(q) {
				continue
			}
			if b, ok := c.before(q); ok && b == p {
				out = append(out, q)
			}
		}
	}
	return out
}
