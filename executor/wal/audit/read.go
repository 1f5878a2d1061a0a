package audit

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"pg_manage/executor/wal/audit/walcheck"
	"pg_manage/schema/postgres"
)

// findings is what reading the archive's files comes to.
type findings struct {
	x       *index
	mu      sync.Mutex
	unsound map[postgres.Timeline]spans // there, and recovery cannot use them
	gone    map[postgres.Timeline]spans // removed since they were listed
	chain   *chain
	bySize  map[string]int // problems that were found without reading, by name
	done    int
	bytes   int64
}

// read reads every file of the archive, directory by directory, so that no more names
// than one directory's are kept.
func (f *findings) read(ctx context.Context, workers int, progress func(done, total int, bytes int64)) error {
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(workers)
	f.sizes()
	for _, dir := range f.x.dirs {
		if gctx.Err() != nil {
			break // Wait says why
		}
		files, err := f.x.a.list(gctx, dir)
		if err != nil {
			if werr := g.Wait(); werr != nil { // then err may be but its consequence
				return werr
			}
			return err
		}
		objects, _ := f.x.a.objects(dir, files)
		for len(objects) > 0 {
			n := 1
			for n < len(objects) && objects[n].file.Name == objects[0].file.Name {
				n++
			}
			same := objects[:n]
			objects = objects[n:]
			g.Go(func() error {
				if err := f.copies(gctx, same); err != nil {
					return err
				}
				f.mu.Lock()
				defer f.mu.Unlock()
				for _, o := range same {
					f.done++
					f.bytes += o.size
				}
				if progress != nil {
					progress(f.done, max(f.done, f.x.files), f.bytes)
				}
				return nil
			})
		}
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return context.Cause(ctx)
}

// copies reads a file of the archive, and should it be stored more than once compares.
func (f *findings) copies(ctx context.Context, same []object) error {
	var res *walcheck.Result
	var first [sha256.Size]byte
	sound := "" // the first copy that is
	for _, o := range same {
		sum, r, v, err := f.one(ctx, o, len(same) > 1)
		switch {
		case err != nil:
			return fmt.Errorf("%s: %w", o.name, err)
		case v.gone || v.kind != "":
		case sound == "":
			sound, res, first = o.name, r, sum
		case sum != first:
			v = verdict{kind: KindDamaged, detail: fmt.Sprintf("it has other content than %s, and nobody can tell which one is right", sound)}
		}
		f.enter(o, v, len(same) == 1)
	}
	if same[0].file.IsSegment() {
		f.links(same[0], res)
	}
	return nil
}

// one reads one stored file.
func (f *findings) one(ctx context.Context, o object, hash bool) (sum [sha256.Size]byte, res *walcheck.Result, v verdict, err error) {
	a := f.x.a
	v, err = a.try(ctx, o, func(ctx context.Context) error {
		res = nil
		if !o.file.IsSegment() {
			text, err := a.readSmall(ctx, o.name)
			if err != nil {
				return err
			}
			sum = sha256.Sum256(text)
			return checkBackup(o.file, string(text))
		}
		r, err := a.Open(ctx, a.path(o.name))
		if err != nil {
			return err
		}
		h := sha256.New()
		plain := io.Reader(r)
		if hash {
			plain = io.TeeReader(r, h)
		}
		found, err := walcheck.Check(plain, f.x.expect(o.file), a.SystemIdentifier)
		if err := errors.Join(err, r.Close()); err != nil {
			return err
		}
		if found.Ended && o.file.Kind == postgres.WALPartial {
			found.Tail = walcheck.Unknown()
		}
		res = found
		h.Sum(sum[:0])
		return nil
	})
	return sum, res, v, err
}

// expect says what is known of a segment.
func (x *index) expect(file postgres.WALFile) walcheck.Segment {
	n, _ := x.a.number(file) // objects has checked it
	s := walcheck.Segment{File: file, Size: x.a.SegmentSize, Start: x.lineage.lsn(n), Partial: file.Kind == postgres.WALPartial}
	if _, ok := x.histories[file.Timeline]; ok {
		s.Ancestor = func(t postgres.Timeline) bool { return x.lineage.ancestor(t, file.Timeline) }
	}
	fork, left := x.lineage.left(file.Timeline, n)
	s.Ends, s.Sure = s.Partial || left, fork
	return s
}

// checkBackup looks at a backup history file.
func checkBackup(f postgres.WALFile, text string) error {
	first, _, _ := strings.Cut(text, "\n")
	if !strings.HasPrefix(first, "START WAL LOCATION: ") {
		return &contentError{errors.New("its first line is not that of a backup history file")}
	}
	if !strings.HasSuffix(first, "(file "+f.SegmentName()+")") {
		return &walcheck.DamageError{Err: errors.New("it is the backup history file of another segment"), Other: true}
	}
	return nil
}

// enter keeps what reading a file came to.
func (f *findings) enter(o object, v verdict, only bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if v.gone {
		if only && o.file.Kind == postgres.WALSegment {
			n, _ := f.x.a.number(o.file)
			s := f.gone[o.file.Timeline]
			s.add(n)
			f.gone[o.file.Timeline] = s
		}
		return
	}
	if v.kind == "" {
		return
	}
	f.markName(o.name)
	if i, ok := f.bySize[o.name]; ok {
		f.x.problems[i].Detail += "; " + v.detail
		return
	}
	f.x.problem(o.name, v.kind, v.detail)
}

// markName takes a segment, named as in a problem, for unsound.
func (f *findings) markName(name string) {
	_, base, ok := strings.Cut(name, "/")
	if !ok {
		return
	}
	plain, _ := f.x.a.Split(base)
	file, err := postgres.ClassifyWALName(plain)
	if err != nil || file.Kind != postgres.WALSegment {
		return
	}
	if n, err := f.x.a.number(file); err == nil {
		s := f.unsound[file.Timeline]
		s.add(n)
		f.unsound[file.Timeline] = s
	}
}

// links hands a segment to the chain; nil is one that says nothing.
func (f *findings) links(o object, res *walcheck.Result) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, b := range f.chain.add(o, res) {
		f.markName(b.Name)
		f.x.problems = append(f.x.problems, b)
	}
}
