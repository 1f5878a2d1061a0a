package audit

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"

	"pg_manage/schema/postgres"
)

// Options say how Check works.
type Options struct {
	Quick   bool // look at names and sizes alone, and at history files
	Workers int  // how many files are read at once; less than 1 is 1
	// Progress, unless nil, is told after each file how many of all have been read, and
	// how many stored bytes. It is called by one goroutine at a time.
	Progress func(done, total int, bytes int64)
	// Pending names segments that wait in pg_wal with a mark ".ready": should the archive
	// lack one, it is not missing.
	Pending []string
}

// Check looks at an archive and changes nothing. An error says that the archive could
// not be looked at to the end; its report has nothing but the error then. Files that
// come or go meanwhile are no problem.
func Check(ctx context.Context, a Archive, o Options) (*Report, error) {
	r := &Report{
		Version: Version, Target: a.Target, SystemIdentifier: strconv.FormatUint(a.SystemIdentifier, 10),
		SegmentSize: a.SegmentSize, Quick: o.Quick,
	}
	if err := check(ctx, &a, o, r); err != nil {
		err = fmt.Errorf("checking the archive %s at %s: %w", a.Dir, a.Driver, err)
		r.Error = err.Error()
		return r, err
	}
	return r, nil
}

func check(ctx context.Context, a *Archive, o Options, r *Report) error {
	pending, err := a.pending(o.Pending)
	if err != nil {
		return err
	}
	workers := max(o.Workers, 1)
	x, err := survey(ctx, a, workers)
	if err != nil {
		return err
	}
	f := &findings{x: x, unsound: map[postgres.Timeline]spans{}, gone: map[postgres.Timeline]spans{}, chain: newChain(x)}
	if o.Quick {
		f.sizes()
	} else if err := f.read(ctx, workers, o.Progress); err != nil {
		return err
	}
	for _, m := range []map[postgres.Timeline]spans{f.unsound, f.gone} {
		for tli, s := range m {
			s.tidy()
			m[tli] = s
		}
	}
	sound := map[postgres.Timeline]spans{}
	for tli, s := range x.segments {
		x.segments[tli] = s.without(f.gone[tli])
		sound[tli] = x.segments[tli].without(f.unsound[tli])
		r.Segments += x.segments[tli].count()
	}
	x.backups()
	// An unmounted share would have shown up as an empty directory.
	if err := a.alive(ctx); err != nil {
		return err
	}
	r.BytesStored = x.bytes
	r.Timelines = x.lineage.timelines(x.segments, pending)
	r.Recoverable = x.lineage.recoverable(sound)
	slices.SortStableFunc(x.problems, func(a, b Problem) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Kind, b.Kind)) })
	r.Problems = x.problems
	return nil
}

// pending turns names into numbers.
func (a *Archive) pending(names []string) (map[postgres.Timeline]spans, error) {
	out := map[postgres.Timeline]spans{}
	for _, name := range names {
		f, err := postgres.ClassifyWALName(name)
		if err != nil {
			return nil, err
		}
		if f.Kind != postgres.WALSegment {
			continue
		}
		n, err := a.number(f)
		if err != nil {
			return nil, err
		}
		s := out[f.Timeline]
		s.add(n)
		out[f.Timeline] = s
	}
	for tli, s := range out {
		s.tidy()
		out[tli] = s
	}
	return out, nil
}

// sizes takes segments that have a problem already for unsound.
func (f *findings) sizes() {
	f.bySize = map[string]int{}
	for i, p := range f.x.problems {
		if p.Kind == KindDamaged {
			f.markName(p.Name)
			f.bySize[p.Name] = i
		}
	}
}

// backups finds .backup files whose base backup cannot be used, as WAL is missing from
// its start. When older WAL is gone as well, the backup is simply too old.
func (x *index) backups() {
	for _, o := range x.small {
		if o.file.Kind != postgres.WALBackup {
			continue
		}
		n, _ := x.a.number(o.file) // objects has checked it
		tli := o.file.Timeline
		if x.segments[tli].has(n) {
			continue
		}
		for _, s := range x.lineage.path(tli) {
			if len(x.segments[s.timeline].within(s.from, min(s.to, n))) > 0 {
				x.problem(o.name, KindDamaged, fmt.Sprintf("its base backup starts in %s, which is not in the archive", o.file.SegmentName()))
				break
			}
		}
	}
}
