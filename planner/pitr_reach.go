package planner

import (
	"cmp"
	"fmt"
	"slices"

	"pg_manage/schema/postgres"
)

// stretch is WAL without a hole, up to a place that is not in it.
type stretch struct{ from, to postgres.LSN }

// cover gives what the archive has on the path to a timeline, in order, with holes between.
func (c *chooser) cover(tli postgres.Timeline) []stretch {
	var all []stretch
	for _, r := range c.q.Archive.Runs {
		if to := min(r.To, c.shared(r.Timeline, tli)); to > r.From {
			all = append(all, stretch{r.From, to})
		}
	}
	slices.SortFunc(all, func(a, b stretch) int { return cmp.Compare(a.from, b.from) })
	var out []stretch
	for _, s := range all {
		if n := len(out); n > 0 && s.from <= out[n-1].to {
			out[n-1].to = max(out[n-1].to, s.to)
			continue
		}
		out = append(out, s)
	}
	return out
}

// shared is up to where recovery to two timelines reads the same segments. A segment
// in which a timeline was left bears the name of the one that left it.
func (c *chooser) shared(a, b postgres.Timeline) postgres.LSN {
	const all = ^postgres.LSN(0)
	if a == b {
		return all
	}
	common, pa, pb := postgres.Timeline(0), c.l.path(a), c.l.path(b)
	for i := range min(len(pa), len(pb)) {
		if pa[i] == pb[i] {
			common = pa[i]
		}
	}
	end := all
	for _, t := range []postgres.Timeline{a, b} {
		if left, ok := c.l.left(common, t); ok {
			end = min(end, left)
		}
	}
	if common == 0 || c.q.Archive.SegmentSize <= 0 {
		return 0
	}
	return end - end%postgres.LSN(c.q.Archive.SegmentSize)
}

// onPath says whether recovery to a timeline can start with a backup.
func (c *chooser) onPath(b *BackupFact, tli postgres.Timeline) bool {
	if b.Timeline == tli {
		return true
	}
	left, ok := c.l.left(b.Timeline, tli)
	return ok && b.StopLSN <= left
}

func (c *chooser) end(tli postgres.Timeline) WALEnd {
	for _, e := range c.q.Archive.Ends {
		if e.Timeline == tli {
			return e
		}
	}
	return WALEnd{}
}

// Searches gives the WAL in which a point is to be looked for: on the way to the timeline,
// from the oldest backup that serves on, newest first.
func (q RecoveryQuery) Searches() ([]WALRun, error) {
	c, backups, err := newChooser(q)
	if err != nil {
		return nil, err
	}
	var out []WALRun
	for _, s := range c.cover(c.tli) {
		from := s.to
		for i := range backups {
			if b := &backups[i]; c.onPath(b, c.tli) && b.StartLSN < s.to && b.StopLSN >= s.from {
				from = min(from, max(b.StartLSN, s.from))
			}
		}
		if from < s.to {
			out = append(out, WALRun{c.tli, from, s.to})
		}
	}
	slices.Reverse(out)
	return out, nil
}

// try says where recovery ends that starts with a backup.
func (c *chooser) try(b *BackupFact) (*RecoveryChoice, *RecoveryRefusal) {
	tli := c.tli
	if !c.onPath(b, tli) {
		return nil, c.refuseTimeline(b, tli)
	}
	r := &reach{c: c, b: b, tli: tli, choice: &RecoveryChoice{Backup: b.Label, Timeline: tli, Setting: "current", Start: b.StartLSN}}
	path := c.l.path(tli)
	r.choice.Path = path[slices.Index(path, b.Timeline):]
	if tli != b.Timeline {
		r.choice.Setting = fmt.Sprint(tli)
	}
	if refused := r.wal(); refused != nil {
		return nil, refused
	}
	if refused := r.ends(); refused != nil {
		return nil, refused
	}
	return r.choice, nil
}

func (c *chooser) refuseTimeline(b *BackupFact, tli postgres.Timeline) *RecoveryRefusal {
	left, ok := c.l.left(b.Timeline, tli)
	switch {
	case ok:
		return refusal(RefusedTimeline, fmt.Sprintf("choose an earlier backup, or write timeline = %q", fmt.Sprint(b.Timeline)),
			"timeline %d leaves timeline %d at %s, before the end of the backup %s at %s", tli, b.Timeline, left, b.Label, b.StopLSN)
	case tli > b.Timeline && !c.l.known(tli):
		return refusal(RefusedTimeline, fmt.Sprintf("put the file into the archive, or write timeline = %q", "current"),
			"where timeline %d comes from is not known, since the archive lacks %s", tli, postgres.HistoryName(tli))
	}
	return refusal(RefusedTimeline, fmt.Sprintf("write timeline = %q, or choose another backup", "current"),
		"timeline %d does not come from timeline %d of the backup %s", tli, b.Timeline, b.Label)
}

// reach is recovery from one backup on the way to one timeline.
type reach struct {
	c      *chooser
	b      *BackupFact
	tli    postgres.Timeline
	to     postgres.LSN // the first byte after the backup that cannot be read
	next   stretch      // what comes after a hole; empty when nothing does
	choice *RecoveryChoice
}

// wal finds the WAL that there is from the backup on.
func (r *reach) wal() *RecoveryRefusal {
	a := &r.c.q.Archive
	from := r.b.StartLSN
	if own(r.b) {
		from, r.to = r.b.StopLSN, r.b.StopLSN
	}
	switch {
	case a.Error != "" && !own(r.b):
		return refusal(RefusedWAL, "try again when it answers", "the archive at %s could not be looked at (%s)", a.Target, a.Error)
	case a.Target == "" && !own(r.b):
		return refusal(RefusedWAL, "name the archive", "the backup %s needs WAL of an archive", r.b.Label)
	case a.Target == "" || a.Error != "":
		return nil
	}
	for _, s := range r.c.cover(r.tli) {
		switch {
		case s.from <= from && from < s.to:
			r.to = s.to
		case s.from > from && r.next == stretch{}:
			r.next = s
		}
	}
	if r.to < r.b.StopLSN {
		missing := max(from, r.to)
		return refusal(RefusedWAL, "put the missing WAL into the archive (pg_manage archive push-missing where pg_wal still has it), or choose another backup",
			"the backup %s needs the WAL from %s to %s, and the archive at %s lacks it from %s on", r.b.Label, r.b.StartLSN, r.b.StopLSN, a.Target, missing)
	}
	return nil
}

// ends finds out where recovery ends.
func (r *reach) ends() *RecoveryRefusal {
	p, last := &r.c.q.Point, r.c.end(r.tli)
	switch {
	case p.Immediate:
		r.choice.EndLSN, r.choice.EndTime = r.b.StopLSN, r.b.StopTime
		return nil
	case p.LSN != 0:
		r.choice.EndLSN = p.LSN
		return r.at(p.LSN, last.Record != 0 && p.LSN > last.Record && r.next == stretch{}, "the LSN "+p.LSN.String())
	case p.XID != "":
		r.choice.EndLSN, r.choice.EndTime = p.Found[0].LSN, p.Found[0].Time
		return r.at(p.Found[0].LSN, false, "the end of transaction "+p.XID)
	case p.Name != "":
		return r.named()
	case !p.Time.IsZero():
		return r.time(last)
	}
	if a := &r.c.q.Archive; a.Error != "" {
		return refusal(RefusedWAL, "try again when it answers, or write immediate", "where the WAL ends is not known, since the archive at %s could not be looked at (%s)", a.Target, a.Error)
	}
	if r.next != (stretch{}) {
		return r.hole("the end of the WAL")
	}
	r.choice.EndLSN, r.choice.EndTime = r.to, last.Commit
	if r.to == r.b.StopLSN { // nothing of the archive
		r.choice.EndTime = r.b.StopTime
	}
	return nil
}

// at looks whether recovery gets to a record, or to the first one from a place on.
func (r *reach) at(lsn postgres.LSN, past bool, what string) *RecoveryRefusal {
	switch {
	case lsn < r.b.StartLSN:
		return r.before(what)
	case lsn < r.b.StopLSN:
		return r.inside(what)
	case lsn < r.to && !past:
		return nil
	case r.next != (stretch{}) && r.c.reaches(r.tli, lsn):
		return r.hole(what)
	}
	return r.past(what, lsn)
}

// reaches says whether the archive has WAL of a timeline at or after a place.
func (c *chooser) reaches(tli postgres.Timeline, lsn postgres.LSN) bool {
	all := c.cover(tli)
	return len(all) > 0 && lsn < all[len(all)-1].to
}

// named takes the newest restore point of the name that recovery from this backup stops
// at: PostgreSQL stops at the first one that it reads.
func (r *reach) named() *RecoveryRefusal {
	found := r.c.q.Point.Found
	what := fmt.Sprintf("the restore point %q", r.c.q.Point.Name)
	for _, f := range found {
		if f.LSN < r.b.StartLSN {
			continue
		}
		r.choice.EndLSN, r.choice.EndTime = f.LSN, f.Time
		return r.at(f.LSN, false, what)
	}
	return r.before(what)
}

func (r *reach) time(last WALEnd) *RecoveryRefusal {
	p := &r.c.q.Point
	what := "the time " + stamp(p.Time)
	r.choice.EndTime = p.Time
	switch {
	case p.Time.Before(r.b.StartTime):
		return r.before(what)
	case p.Time.Before(r.b.StopTime):
		return r.inside(what)
	case len(p.Found) > 0:
		r.choice.EndLSN = p.Found[0].LSN
		return r.at(p.Found[0].LSN, false, what)
	case r.c.q.Archive.Target == "" || r.c.q.Archive.Error != "":
		return r.past(what, r.b.StopLSN)
	case !last.Commit.IsZero() && (last.Commit.Before(p.Time) || last.Commit.Equal(p.Time) && !p.Exclusive):
		return r.past(what, r.to)
	case r.next != (stretch{}):
		return r.hole(what)
	}
	return nil
}
