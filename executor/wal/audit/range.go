package audit

import (
	"context"
	"errors"
	"fmt"

	"pg_manage/executor/wal/audit/walcheck"
	"pg_manage/schema/postgres"
)

// RangeReport is what CheckRange found.
type RangeReport struct {
	From    string // the first segment that is needed, and the last
	To      string
	Missing []string
	Damaged []Problem // of segments of which no copy is sound
}

// Sound says that all of it is there and whole.
func (r *RangeReport) Sound() bool { return len(r.Missing)+len(r.Damaged) == 0 }

// CheckRange reads the segments of a timeline that hold the WAL from start to stop, such as
// that of a base backup. An error says that the archive could not be looked at to the end.
func CheckRange(ctx context.Context, a Archive, tli postgres.Timeline, start, stop postgres.LSN, progress func(done, total int)) (*RangeReport, error) {
	r := &RangeReport{Missing: []string{}, Damaged: []Problem{}}
	size := postgres.LSN(a.SegmentSize)
	if stop <= start {
		return nil, fmt.Errorf("the WAL would end at %s, and not behind its start at %s", stop, start)
	}
	first := start / size * size
	total := int((stop-1)/size-first/size) + 1
	dir, stored := "", map[string][]object{}
	for i := range total {
		name, err := postgres.SegmentName(tli, first+postgres.LSN(i)*size, a.SegmentSize)
		if err != nil {
			return nil, err
		}
		if i == 0 {
			r.From = name
		}
		r.To = name
		if dir != name[:16] {
			dir = name[:16]
			if stored, err = a.copies(ctx, dir); err != nil {
				return nil, err
			}
		}
		if err := a.segment(ctx, name, first+postgres.LSN(i)*size, stored[name], r); err != nil {
			return nil, err
		}
		if progress != nil {
			progress(i+1, total)
		}
	}
	return r, nil
}

// copies are the stored forms of the segments in a directory, by plain name.
func (a *Archive) copies(ctx context.Context, dir string) (map[string][]object, error) {
	files, err := a.list(ctx, dir)
	if err != nil {
		return nil, err
	}
	out := map[string][]object{}
	for _, i := range files {
		if o, problem := a.parse(dir, i.Name); problem == "" && !i.Dir && o.file.Kind == postgres.WALSegment {
			o.size = i.Size
			out[o.file.Name] = append(out[o.file.Name], o)
		}
	}
	return out, nil
}

// segment reads the copies of one segment until one is sound.
func (a *Archive) segment(ctx context.Context, name string, start postgres.LSN, copies []object, r *RangeReport) error {
	var bad []Problem
	for _, o := range copies {
		v, err := a.try(ctx, o, func(ctx context.Context) error {
			in, err := a.Open(ctx, a.path(o.name))
			if err != nil {
				return err
			}
			_, err = walcheck.Check(in, walcheck.Segment{File: o.file, Size: a.SegmentSize, Start: start}, a.SystemIdentifier)
			return errors.Join(err, in.Close())
		})
		switch {
		case err != nil:
			return err
		case v.gone:
		case v.kind == "":
			return nil
		default:
			bad = append(bad, Problem{Name: o.name, Kind: v.kind, Detail: v.detail})
		}
	}
	if len(bad) == 0 {
		// Only of an archive that is there something can be missing.
		if err := a.alive(ctx); err != nil {
			return err
		}
		r.Missing = append(r.Missing, name)
	}
	r.Damaged = append(r.Damaged, bad...)
	return nil
}
