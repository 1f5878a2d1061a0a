package locate

import (
	"context"
	"fmt"
	"strconv"

	"pg_manage/executor/wal/audit"
	"pg_manage/planner"
	"pg_manage/schema/postgres"
)

// Facts gives what an audit's report says of the archive in the planner's terms.
func Facts(r *audit.Report) (planner.ArchiveWAL, error) {
	out := planner.ArchiveWAL{Target: r.Target, Error: r.Error, SystemIdentifier: r.SystemIdentifier, SegmentSize: r.SegmentSize}
	for _, t := range r.Timelines {
		w := planner.WALTimeline{Timeline: t.Timeline, Parent: t.Parent}
		if t.Parent != 0 {
			var err error
			if w.Fork, err = postgres.ParseLSN(t.ForkLSN); err != nil {
				return out, fmt.Errorf("where timeline %d begins: %w", t.Timeline, err)
			}
		}
		out.Timelines = append(out.Timelines, w)
	}
	for _, run := range r.Recoverable {
		out.Runs = append(out.Runs, planner.WALRun{Timeline: run.Timeline, From: run.FromLSN, To: run.ToLSN})
	}
	return out, nil
}

// Options say how Resolve works.
type Options struct {
	Workers  int // segments read at once; less than 1 is 1
	Progress func(done, total int)
}

// Resolve looks up in the archive what choosing a backup takes: it fills q.Point.Found and
// q.Archive.Ends. Its refusals are those of planner.ChooseBackup.
func Resolve(ctx context.Context, a audit.Archive, q *planner.RecoveryQuery, o Options) error {
	runs, err := q.Searches()
	if err != nil || q.Point.Immediate || len(runs) == 0 {
		return err
	}
	p := &q.Point
	p.Found, q.Archive.Ends = nil, nil
	open := Segments(a)
	scan := func(run planner.WALRun) *Scan {
		return &Scan{
			Open: open, SystemIdentifier: a.SystemIdentifier, SegmentSize: a.SegmentSize, Timeline: run.Timeline,
			Branches: branches(q.Archive.Timelines, run.Timeline), From: run.From, To: run.To, Workers: o.Workers, Progress: o.Progress,
		}
	}
	if p.XID == "" && p.Name == "" {
		if err := ends(ctx, scan(runs[0]), q); err != nil {
			return err
		}
	}
	for _, run := range runs {
		found, err := look(ctx, scan(run), p)
		if err != nil {
			return err
		}
		var more []planner.WALPosition
		for _, r := range found {
			more = append(more, planner.WALPosition{LSN: r.LSN, Time: r.Time})
		}
		p.Found = append(more, p.Found...)
		if p.XID != "" && len(found) > 0 {
			break
		}
	}
	return nil
}

func ends(ctx context.Context, s *Scan, q *planner.RecoveryQuery) error {
	e, err := s.End(ctx)
	if err != nil {
		return err
	}
	end := planner.WALEnd{Timeline: s.Timeline, Record: e.Record}
	if e.Commit != nil {
		end.Commit = e.Commit.Time
	}
	q.Archive.Ends = append(q.Archive.Ends, end)
	return nil
}

// look searches one stretch for a point.
func look(ctx context.Context, s *Scan, p *planner.RecoveryPoint) ([]Record, error) {
	var r *Record
	var err error
	switch {
	case p.Name != "":
		return s.RestorePoints(ctx, p.Name)
	case p.XID != "":
		xid, perr := strconv.ParseUint(p.XID, 10, 64)
		if perr != nil {
			return nil, fmt.Errorf("%q is no number of a transaction", p.XID)
		}
		r, err = s.Transaction(ctx, xid)
	case !p.Time.IsZero():
		r, err = s.Behind(ctx, p.Time, p.Exclusive)
	}
	if r == nil || err != nil {
		return nil, err
	}
	return []Record{*r}, nil
}

// branches gives a timeline's history.
func branches(timelines []planner.WALTimeline, tli postgres.Timeline) (out []postgres.Branch) {
	by := map[postgres.Timeline]planner.WALTimeline{}
	for _, t := range timelines {
		by[t.Timeline] = t
	}
	for t := by[tli]; t.Parent != 0 && t.Parent < t.Timeline; t = by[t.Parent] {
		out = append([]postgres.Branch{{Timeline: t.Parent, End: t.Fork}}, out...)
	}
	return out
}
