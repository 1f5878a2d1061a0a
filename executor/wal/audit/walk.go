package audit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"pg_manage/executor/repo/storage"
	"pg_manage/schema/postgres"
)

// index is what an archive has by its names: in memory its runs of segments, and the
// few other files.
type index struct {
	a         *Archive
	dirs      []string // those of segments
	segments  map[postgres.Timeline]spans
	partials  map[postgres.Timeline]spans
	small     map[string]object // history and backup files by their plain names
	histories map[postgres.Timeline][]postgres.Branch
	lineage   *lineage
	files     int // in directories
	bytes     int64
	problems  []Problem
	mu        sync.Mutex
}

// survey lists the archive and reads its history files.
func survey(ctx context.Context, a *Archive, workers int) (*index, error) {
	if !postgres.ValidSegmentSize(a.SegmentSize) {
		return nil, fmt.Errorf("%d is no WAL segment size", a.SegmentSize)
	}
	if err := a.alive(ctx); err != nil {
		return nil, err
	}
	x := &index{
		a: a, segments: map[postgres.Timeline]spans{}, partials: map[postgres.Timeline]spans{},
		small: map[string]object{}, histories: map[postgres.Timeline][]postgres.Branch{},
	}
	top, err := a.Driver.List(ctx, a.path(""))
	if err != nil {
		return nil, notAbsent(err)
	}
	for _, i := range top {
		switch {
		case i.Dir && isDirName(i.Name):
			x.dirs = append(x.dirs, i.Name)
		case i.Dir:
			x.problem(i.Name+"/", KindForeign, "no directory of WAL segments has such a name")
		case i.Name == IdentityName:
			x.bytes += i.Size
		}
	}
	x.take("", slices.DeleteFunc(top, func(i storage.Info) bool { return i.Dir || i.Name == IdentityName }))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(workers)
	for _, dir := range x.dirs {
		g.Go(func() error {
			files, err := a.list(gctx, dir)
			if err == nil {
				x.take(dir, files)
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	for _, m := range []map[postgres.Timeline]spans{x.segments, x.partials} {
		for tli, s := range m {
			s.tidy()
			m[tli] = s
		}
	}
	return x, x.readHistories(ctx)
}

// list lists a directory. One that has been removed meanwhile is empty.
func (a *Archive) list(ctx context.Context, dir string) ([]storage.Info, error) {
	files, err := a.Driver.List(ctx, a.path(dir))
	if errors.Is(err, storage.ErrNotExist) {
		return nil, a.alive(ctx)
	}
	return files, err
}

// notAbsent keeps an error from being taken for the answer that something isn't there.
func notAbsent(err error) error {
	if errors.Is(err, storage.ErrNotExist) {
		return fmt.Errorf("the archive went away while it was looked at: %s", err.Error()) //nolint:errorlint // on purpose
	}
	return err
}

func isDirName(name string) bool {
	f, err := postgres.ClassifyWALName(name + "00000000")
	return err == nil && f.Kind == postgres.WALSegment
}

func (x *index) problem(name, kind, detail string) {
	x.problems = append(x.problems, Problem{name, kind, detail})
}

// take enters the files of one directory.
func (x *index) take(dir string, files []storage.Info) {
	objects, problems := x.a.objects(dir, files)
	x.mu.Lock()
	defer x.mu.Unlock()
	x.problems = append(x.problems, problems...)
	last := ""
	for _, o := range objects {
		if dir != "" {
			x.files++
		}
		x.bytes += o.size
		if o.file.Name == last {
			continue // a duplicate, which is a problem already
		}
		last = o.file.Name
		n, _ := x.a.number(o.file) // objects has checked it
		switch o.file.Kind {
		case postgres.WALSegment:
			s := x.segments[o.file.Timeline]
			s.add(n)
			x.segments[o.file.Timeline] = s
		case postgres.WALPartial:
			s := x.partials[o.file.Timeline]
			s.add(n)
			x.partials[o.file.Timeline] = s
		default:
			x.small[o.file.Name] = o
		}
	}
}

// objects sorts out what lies in a directory: the files of the archive by their plain
// names, and what is wrong by name or size.
func (a *Archive) objects(dir string, files []storage.Info) (out []object, problems []Problem) {
	for _, i := range files {
		o, why := a.parse(dir, i.Name)
		o.size = i.Size
		switch {
		case storage.IsTemp(i.Name): // a driver that shows them
			problems = append(problems, Problem{o.name, KindUnfinished, "left by a writer that died, or being written now"})
		case i.Dir:
			problems = append(problems, Problem{o.name + "/", KindForeign, "there are no directories in this place of an archive"})
		case why != "":
			problems = append(problems, Problem{o.name, KindForeign, why})
		default:
			if why := a.badSize(o); why != "" {
				problems = append(problems, Problem{o.name, KindDamaged, why})
			}
			out = append(out, o)
		}
	}
	slices.SortStableFunc(out, func(a, b object) int {
		return cmp.Or(strings.Compare(a.file.Name, b.file.Name), strings.Compare(a.ext, b.ext))
	})
	for i := 1; i < len(out); i++ {
		if out[i].file.Name == out[i-1].file.Name {
			problems = append(problems, Problem{out[i].name, KindDuplicate, fmt.Sprintf("%s is stored as well", out[i-1].name)})
		}
	}
	return out, problems
}

// badSize says what is surely wrong with a stored file's size.
func (a *Archive) badSize(o object) string {
	switch {
	case o.size == 0:
		return "it is empty"
	case o.ext == "" && o.file.IsSegment() && o.size != a.SegmentSize:
		return fmt.Sprintf("it has %d bytes, and the archive's segments have %d", o.size, a.SegmentSize)
	}
	return ""
}

// readHistories reads the history files, of which there are few.
func (x *index) readHistories(ctx context.Context) error {
	for _, name := range slices.Sorted(maps.Keys(x.small)) {
		o := x.small[name]
		if o.file.Kind != postgres.WALHistory {
			continue
		}
		var branches []postgres.Branch
		v, err := x.a.try(ctx, o, func(ctx context.Context) error {
			text, err := x.a.readSmall(ctx, o.name)
			if err != nil {
				return err
			}
			if branches, err = postgres.ParseHistory(o.file.Timeline, string(text)); err != nil {
				return &contentError{err}
			}
			return nil
		})
		if err != nil {
			return err
		}
		switch {
		case v.gone:
			delete(x.small, name)
		case v.kind != "":
			x.problem(o.name, v.kind, v.detail)
		default:
			x.histories[o.file.Timeline] = branches
		}
	}
	var problems []Problem
	x.lineage, problems = newLineage(x.a.SegmentSize, x.histories)
	x.problems = append(x.problems, problems...)
	x.problems = append(x.problems, x.misplaced()...)
	return nil
}

// misplaced finds timelines whose history is missing, and segments from before their
// timeline began.
func (x *index) misplaced() (out []Problem) {
	lowest := slices.Min(append(slices.Collect(maps.Keys(x.segments)), ^postgres.Timeline(0)))
	for _, tli := range slices.Sorted(maps.Keys(x.segments)) {
		s := x.segments[tli]
		name := postgres.HistoryName(tli)
		if _, there := x.small[name]; !there && tli > lowest {
			out = append(out, Problem{name, KindDamaged, fmt.Sprintf("it is not in the archive, which has WAL of timeline %d: recovery from an earlier timeline cannot follow to this one", tli)})
		}
		if first := x.lineage.first(tli); s[0].from < first {
			n := x.lineage.name(tli, s[0].from)
			out = append(out, Problem{n[:16] + "/" + n, KindForeign, fmt.Sprintf("it and perhaps others lie before %s, where timeline %d began", x.lineage.lsn(first), tli)})
		}
	}
	return out
}
