package restore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"pg_manage/executor/basebackup/chain"
	"pg_manage/executor/basebackup/frame"
	"pg_manage/executor/basebackup/index"
	"pg_manage/executor/repo/catalog"
	"pg_manage/executor/repo/codec"
)

// filler writes the content of all files.
type filler struct {
	*restoring
	handles handles
	total   int64
	done    atomic.Int64 // bytes of files that are as they should be
	fetched atomic.Int64
	written atomic.Int64

	mu    sync.Mutex
	parts map[[2]int]*catalog.Reader
}

// fill brings all files into being. One goroutine goes through the files in the order of
// the backups' indexes and puts what is wanted together to runs; workers fetch these. With a
// delta other workers look before at what is there.
func (r *restoring) fill(ctx context.Context) error {
	f := &filler{restoring: r, parts: map[[2]int]*catalog.Reader{}, handles: handles{delta: r.delta}}
	for _, size := range r.chain.Sizes() {
		f.total += size
		r.report.Files++
	}
	r.Progress(0, f.total)
	g, ctx := errgroup.WithContext(ctx)
	runs := make(chan *run, r.Workers)
	g.Go(func() error {
		defer close(runs)
		b := newPlanner(runs)
		var err error
		if r.delta {
			err = f.compareAll(ctx, b)
		} else {
			err = f.wantAll(ctx, b)
		}
		if err != nil {
			return err
		}
		return b.end(ctx)
	})
	for range r.Workers {
		g.Go(func() error { return f.work(ctx, runs) })
	}
	err := g.Wait()
	f.handles.close()
	r.report.Bytes, r.report.Fetched, r.report.Written = f.total, f.fetched.Load(), f.written.Load()
	return err
}

// wantAll wants all pieces of all files.
func (f *filler) wantAll(ctx context.Context, b *planner) error {
	for file, err := range f.chain.Files() {
		if err != nil {
			return err
		}
		o := f.outFile(file)
		o.left.Store(int64(len(file.Pieces)))
		if len(file.Pieces) == 0 {
			err = b.addEmpty(ctx, o)
		}
		for _, p := range file.Pieces {
			if err = b.add(ctx, o, p, file.Sums[p.Block*index.SumSize:(p.Block+p.Count)*index.SumSize]); err != nil {
				break
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (f *filler) work(ctx context.Context, runs <-chan *run) error {
	w := &worker{filler: f, coders: map[string]*frame.Coder{}}
	for {
		select {
		case r, ok := <-runs:
			if !ok {
				return nil
			}
			if err := w.do(ctx, r); err != nil {
				return err
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// worker fetches runs. What it holds: one run as stored, and one frame's content.
type worker struct {
	*filler
	coders  map[string]*frame.Coder
	stored  []byte
	content []byte
	sums    []byte
}

func (w *worker) do(ctx context.Context, r *run) error {
	for _, o := range r.empty {
		if err := w.handles.finish(o); err != nil {
			return err
		}
	}
	if len(r.frames) == 0 {
		return nil
	}
	if err := w.fetch(ctx, r); err != nil {
		return err
	}
	info := w.chain.Infos()[r.backup]
	coder := w.coders[info.Compression]
	if coder == nil {
		var err error
		if coder, err = frame.NewCoder(info.Compression); err != nil {
			return fmt.Errorf("backup %s: %w", info.Label, err)
		}
		w.coders[info.Compression] = coder
	}
	for _, k := range r.frames {
		at := k.offset - r.offset
		content, err := coder.Decode(w.content[:0], w.stored[at:at+k.length])
		if err != nil {
			return w.damaged(r, k.uses[0], k, fmt.Errorf("the frame cannot be decompressed: %w", err))
		}
		w.content = content
		for _, u := range k.uses {
			if err := w.write(r, k, u, content); err != nil {
				return err
			}
		}
	}
	return nil
}

// damaged is the error of a frame that does not hold what the index says.
func (w *worker) damaged(r *run, u use, k frameUse, err error) error {
	info := w.chain.Infos()[r.backup]
	return &chain.DamageError{
		Backup: info.Label, Object: info.Parts[r.part].Name,
		Err: fmt.Errorf("file %s, block %d, frame of %d bytes at %d: %w", u.file.name, u.block, k.length, k.offset, err),
	}
}

// fetch reads a run into w.stored.
func (w *worker) fetch(ctx context.Context, r *run) error {
	info := w.chain.Infos()[r.backup]
	name := info.Parts[r.part].Name
	explain := func(err error) error {
		var bad *codec.DamagedError
		if errors.As(err, &bad) {
			return w.damaged(r, r.frames[0].uses[0], r.frames[0], err)
		}
		return fmt.Errorf("read backup %s: %s, %d bytes at %d: %w", info.Label, name, r.length, r.offset, err)
	}
	part, err := w.part(ctx, r.backup, r.part)
	if err != nil {
		return explain(err)
	}
	in, err := part.Range(ctx, r.offset, r.length)
	if err != nil {
		return explain(err)
	}
	if int64(cap(w.stored)) < r.length {
		w.stored = make([]byte, max(r.length, maxRun))
	}
	w.stored = w.stored[:r.length]
	n, err := io.ReadFull(in, w.stored)
	w.fetched.Add(int64(n))
	if err = errors.Join(err, in.Close()); err != nil {
		return explain(err)
	}
	return nil
}

// part opens a part, once.
func (f *filler) part(ctx context.Context, backup, part int) (*catalog.Reader, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	key := [2]int{backup, part}
	if p := f.parts[key]; p != nil {
		return p, nil
	}
	info := f.chain.Infos()[backup]
	p, err := f.Catalog.Object(ctx, info.Label, info.Parts[part])
	if err == nil {
		f.parts[key] = p
	}
	return p, err
}

// write checks what is wanted of a frame, and puts it into its file.
func (w *worker) write(r *run, k frameUse, u use, content []byte) error {
	if u.skip+u.bytes > int64(len(content)) {
		return w.damaged(r, u, k, fmt.Errorf("the frame holds %d bytes, and %d are wanted", len(content), u.skip+u.bytes))
	}
	data := content[u.skip : u.skip+u.bytes]
	w.sums = frame.Sums(w.sums[:0], data)
	if !bytes.Equal(w.sums, u.sums) {
		for i := 0; i < len(u.sums); i += index.SumSize {
			if !bytes.Equal(w.sums[i:i+index.SumSize], u.sums[i:i+index.SumSize]) {
				u.block += int64(i / index.SumSize)
				break
			}
		}
		return w.damaged(r, u, k, errors.New("its content is not of the sum in the index"))
	}
	out, err := w.handles.get(u.file)
	if err != nil {
		return err
	}
	offset := u.block * index.BlockSize
	if _, err := out.WriteAt(data, offset); err != nil {
		return fmt.Errorf("write %s: %w", u.file.name, err)
	}
	if u.bytes >= frame.Max/2 {
		startWriteback(out, offset, u.bytes)
	}
	if err := w.handles.put(u.file); err != nil {
		return err
	}
	w.written.Add(u.bytes)
	w.Progress(w.done.Add(u.bytes), w.total)
	if u.file.left.Add(-1) == 0 {
		return w.handles.finish(u.file)
	}
	return nil
}
