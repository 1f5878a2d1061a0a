package audit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"pg_manage/executor/wal/audit/walcheck"
	"pg_manage/schema/postgres"
)

// PushOptions say what PushMissing pushes, and where.
type PushOptions struct {
	DataDir string  // of the instance
	Archive Archive // that lacks files
	Workers int     // how many directories of the archive are listed at once; less than 1 is 1
	DryRun  bool    // change nothing, and name in Pushed what would be pushed
	// Push archives a file of pg_wal with all guards of archive_command: the same file
	// being there already is success, another one an error.
	Push func(ctx context.Context, path string) error
}

// PushReport is what PushMissing has done. Its JSON form is read by other hosts.
type PushReport struct {
	Version    int       `json:"version"`
	Pushed     []string  `json:"pushed"`
	Present    int       `json:"present"`    // files of pg_wal that the archive has already
	Unpushable []Missing `json:"unpushable"` // holes of the archive that pg_wal cannot close
	Failed     []Failure `json:"failed"`
	DryRun     bool      `json:"dry_run"`
}

// Failure is a file that could not be pushed.
type Failure struct {
	Name  string `json:"name"`
	Error string `json:"error"`
}

// PushMissing archives what pg_wal still has and the archive lacks. Complete files
// alone are taken: those with a mark in archive_status, and those that are older than
// the newest mark on their timeline. A segment being written has no mark and is newer,
// and so are old segments that PostgreSQL has renamed for later use.
//
// An error says that the archive or pg_wal could not be looked at, or that the target
// failed on the way; the report then tells how far it got.
func PushMissing(ctx context.Context, o PushOptions) (*PushReport, error) {
	r := &PushReport{Version: Version, DryRun: o.DryRun, Pushed: []string{}, Unpushable: []Missing{}, Failed: []Failure{}}
	a := &o.Archive
	// First pg_wal: what is archived meanwhile is then seen in the archive, and not missing in both.
	files, marks, err := localFiles(o.DataDir)
	if err != nil {
		return r, fmt.Errorf("looking at pg_wal: %w", err)
	}
	x, err := survey(ctx, a, max(o.Workers, 1))
	if err != nil {
		return r, fmt.Errorf("looking at the archive %s at %s: %w", a.Dir, a.Driver, err)
	}
	forks, err := localForks(files, x)
	if err != nil {
		return r, fmt.Errorf("looking at pg_wal: %w", err)
	}
	have := map[postgres.Timeline]spans{}
	for _, f := range complete(files, marks, forks) {
		if x.has(f.file) {
			r.Present++
			continue
		}
		if err := o.push(ctx, f); errors.Is(err, errVanished) {
			continue
		} else if err != nil {
			r.Failed = append(r.Failed, Failure{f.file.Name, err.Error()})
			if err := a.alive(ctx); err != nil {
				return r, fmt.Errorf("pushing %s: %w", f.file.Name, err)
			}
		} else {
			r.Pushed = append(r.Pushed, f.file.Name)
		}
		if n, err := a.number(f.file); err == nil && f.file.Kind == postgres.WALSegment {
			s := have[f.file.Timeline]
			s.add(n)
			have[f.file.Timeline] = s
		}
	}
	for tli, s := range have {
		s.tidy()
		have[tli] = s
	}
	r.Unpushable = x.unpushable(forks, have)
	return r, nil
}

// unpushable gives the archive's holes but for what pg_wal has. New segments may show
// that there are more of them.
func (x *index) unpushable(forks *lineage, have map[postgres.Timeline]spans) []Missing {
	all := map[postgres.Timeline]spans{}
	for tli, s := range x.segments {
		all[tli] = s
	}
	for tli, s := range have {
		all[tli] = all[tli].union(s)
	}
	out := []Missing{}
	for _, t := range forks.timelines(all, nil) {
		out = append(out, t.Missing...)
	}
	return out
}

func (x *index) has(f postgres.WALFile) bool {
	n, _ := x.a.number(f) // of no matter when it fails: Push refuses such a name
	switch f.Kind {
	case postgres.WALSegment:
		return x.segments[f.Timeline].has(n)
	case postgres.WALPartial:
		return x.partials[f.Timeline].has(n)
	}
	_, ok := x.small[f.Name]
	return ok
}

// localForks knows where timelines were left, from pg_wal's history files and the archive's.
func localForks(files []local, x *index) (*lineage, error) {
	histories := map[postgres.Timeline][]postgres.Branch{}
	for tli, b := range x.histories {
		histories[tli] = b
	}
	for _, f := range files {
		if f.file.Kind != postgres.WALHistory {
			continue
		}
		text, err := os.ReadFile(f.path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if branches, err := postgres.ParseHistory(f.file.Timeline, string(text)); err == nil { // Push refuses others
			histories[f.file.Timeline] = branches
		}
	}
	l, _ := newLineage(x.a.SegmentSize, histories)
	return l, nil
}

// complete chooses the files of pg_wal that nobody writes to any more, history files
// first and then by place.
func complete(files []local, marks map[string]string, forks *lineage) []local {
	newest := map[postgres.Timeline]uint64{}
	last := postgres.Timeline(0)
	for name := range marks {
		f, err := postgres.ClassifyWALName(name)
		if err != nil {
			continue
		}
		last = max(last, f.Timeline)
		if f.Kind != postgres.WALHistory {
			newest[f.Timeline] = max(newest[f.Timeline], uint64(f.Log)<<32|uint64(f.Seg))
		}
	}
	var out []local
	for _, f := range files {
		done := f.mark != ""
		switch {
		case done:
		case f.file.Kind == postgres.WALHistory:
			done = f.file.Timeline <= last
		default:
			done = f.order < newest[f.file.Timeline]
		}
		// A standby marks the segment in which its upstream left the timeline as done,
		// though it holds but the beginning.
		if f.file.Kind == postgres.WALSegment && f.mark != markReady {
			start, err := f.file.Start(forks.segSize)
			if _, left := forks.left(f.file.Timeline, uint64(start)/uint64(forks.segSize)); err != nil || left {
				done = false
			}
		}
		if done {
			out = append(out, f)
		}
	}
	slices.SortFunc(out, func(a, b local) int {
		return cmp.Or(cmp.Compare(rank(a.file.Name), rank(b.file.Name)), cmp.Compare(a.file.Name, b.file.Name))
	})
	return out
}

var errVanished = errors.New("PostgreSQL has removed it meanwhile")

// push looks at a file once more and archives it.
func (o *PushOptions) push(ctx context.Context, f local) error {
	if f.file.Kind == postgres.WALSegment {
		if err := o.sound(f); err != nil {
			return err
		}
	}
	if o.DryRun {
		return nil
	}
	err := o.Push(ctx, f.path)
	if err != nil {
		if _, serr := os.Stat(f.path); errors.Is(serr, fs.ErrNotExist) {
			return errVanished
		}
	}
	return err
}

// sound makes sure that a segment is filled to its end with its own WAL: one that was
// renamed for later use, or is being written, has older content there.
func (o *PushOptions) sound(f local) error {
	file, err := os.Open(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return errVanished
	}
	if err != nil {
		return err
	}
	defer file.Close() //nolint:errcheck // read only
	start, err := f.file.Start(o.Archive.SegmentSize)
	if err != nil {
		return err
	}
	s := walcheck.Segment{File: f.file, Size: o.Archive.SegmentSize, Start: start}
	if _, err := walcheck.Check(file, s, o.Archive.SystemIdentifier); err != nil {
		return fmt.Errorf("it is not pushed, as it is no complete segment: %w", err)
	}
	return nil
}
