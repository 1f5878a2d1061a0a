package pack

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"pg_manage/executor/basebackup/frame"
	"pg_manage/executor/basebackup/index"
)

// task is a run of one big file, or several small files.
type task struct {
	file     *file // nil: batch
	from, to int64 // bytes of the file
	batch    []item
	done     chan struct{}

	// What becomes of it:
	frames []packed
	pieces []piece
	big    []item // that have grown out of a batch
	bytes  int64
	err    error
}

// packed is a frame.
type packed struct {
	data []byte
	raw  int // bytes of its content
}

// piece is what a task has of one file.
type piece struct {
	file   *file
	all    []byte        // sums of all blocks
	chunks []index.Chunk // Part is the number of the frame in the task
	sums   []byte        // of the blocks of the chunks
	last   bool          // the file ends here
}

// worker does tasks, one at a time.
type worker struct {
	p       *Packer
	coder   *frame.Coder
	content []byte // of the frame that is being filled
	buf     []byte // what was read of a file
	again   []byte // a page read once more
	header  []byte
	bad     []int64
}

func (p *Packer) newWorker() (*worker, error) {
	c, err := frame.NewCoder(p.o.Store.Compression())
	if err != nil {
		return nil, err
	}
	return &worker{
		p: p, coder: c, content: make([]byte, 0, frame.Max), buf: make([]byte, window),
		again: make([]byte, p.o.BlockSize),
	}, nil
}

func (w *worker) do(ctx context.Context, t *task) {
	w.content = w.content[:0]
	switch {
	case context.Cause(ctx) != nil:
		t.err = context.Cause(ctx)
	case t.file == nil:
		t.err = w.several(ctx, t)
	case t.file.known:
		t.err = w.changes(ctx, t, t.file, t.from, t.to)
	default:
		t.err = w.run(ctx, t)
	}
	if t.err == nil {
		t.err = w.flush(t)
	}
}

// flush ends the frame that is being filled.
func (w *worker) flush(t *task) error {
	if len(w.content) == 0 {
		return nil
	}
	if len(w.content) > frame.Max {
		return fmt.Errorf("a frame of %d bytes", len(w.content))
	}
	var dst []byte
	select {
	case dst = <-w.p.free:
	default:
	}
	data, err := w.coder.Encode(dst[:0], w.content)
	if err != nil {
		return err
	}
	t.frames = append(t.frames, packed{data, len(w.content)})
	w.content = w.content[:0]
	return nil
}

// grow makes room for n more bytes of content, and gives it.
func (w *worker) grow(n int64) []byte {
	at := len(w.content)
	w.content = w.content[:at+int(n)]
	return w.content[at:]
}

// head appends the header of a member, in another frame when this one has no room for it and
// size bytes of content.
func (w *worker) head(t *task, m member, size int64) error {
	var err error
	if w.header, err = w.p.owner.header(w.header[:0], m); err != nil {
		return err
	}
	if need := int64(len(w.header)) + size + tarBlock; int64(len(w.content))+need > frame.Max || len(w.content) >= window {
		if err := w.flush(t); err != nil {
			return err
		}
	}
	w.content = append(w.content, w.header...)
	return nil
}

func (f *file) member() member {
	return member{name: f.entry.Path, mode: f.entry.Mode, size: f.entry.Size, modified: f.modified}
}

// run is a run of a file that is stored whole.
func (w *worker) run(ctx context.Context, t *task) error {
	f, n := t.file, t.to-t.from
	if t.from == 0 {
		if err := w.head(t, f.member(), n); err != nil {
			return err
		}
	}
	skip := int64(len(w.content))
	b := w.grow(n)
	if err := w.fetch(ctx, f, b, t.from); err != nil {
		return err
	}
	pc := piece{file: f, all: frame.Sums(nil, b), last: t.to == f.entry.Size}
	pc.sums = pc.all
	if n > 0 {
		pc.chunks = []index.Chunk{{Block: t.from / index.BlockSize, Count: index.Blocks(n), Skip: skip}}
	}
	if pc.last {
		w.content = pad(w.content, f.entry.Size)
	}
	t.pieces, t.bytes = append(t.pieces, pc), t.bytes+n
	return nil
}

// several stores small files.
func (w *worker) several(ctx context.Context, t *task) error {
	for i := range t.batch {
		it := &t.batch[i]
		if it.memory != nil {
			if err := w.kept(t, it); err != nil {
				return err
			}
			continue
		}
		f, err := w.p.open(it)
		if errors.Is(err, errGone) {
			continue
		} else if err != nil {
			return err
		}
		err = w.small(ctx, t, f, it)
		f.release()
		if err != nil {
			return err
		}
	}
	return context.Cause(ctx)
}

func (w *worker) small(ctx context.Context, t *task, f *file, it *item) error {
	n := f.entry.Size
	switch {
	case n > window:
		t.big = append(t.big, *it)
		return nil
	case f.known:
		return w.changes(ctx, t, f, 0, n)
	}
	if err := w.head(t, f.member(), n); err != nil {
		return err
	}
	skip := int64(len(w.content))
	b := w.grow(n)
	if err := w.fetch(ctx, f, b, 0); err != nil {
		return err
	}
	w.whole(t, f, skip)
	t.bytes += n
	return nil
}

// whole ends a member that holds a whole file, whose content begins at skip.
func (w *worker) whole(t *task, f *file, skip int64) {
	pc := piece{file: f, all: frame.Sums(nil, w.content[skip:]), last: true}
	pc.sums = pc.all
	if f.entry.Size > 0 {
		pc.chunks = []index.Chunk{{Count: index.Blocks(f.entry.Size), Part: len(t.frames), Skip: skip}}
	}
	w.content = pad(w.content, f.entry.Size)
	t.pieces = append(t.pieces, pc)
}

// kept stores a file whose content is in the memory.
func (w *worker) kept(t *task, it *item) error {
	m := it.memory
	f := &file{modified: m.modified}
	f.entry = index.Entry{Path: it.path(), Size: int64(len(m.data)), Mode: m.mode, MTime: m.modified.Unix()}
	if f.entry.Size > window {
		return fmt.Errorf("%s has %d bytes, more than is kept in the memory", f.entry.Path, f.entry.Size)
	}
	if err := w.head(t, f.member(), f.entry.Size); err != nil {
		return err
	}
	skip := int64(len(w.content))
	w.content = append(w.content, m.data...)
	w.whole(t, f, skip)
	return nil
}

// changes stores what a run of a file has that the parent lacks.
func (w *worker) changes(ctx context.Context, t *task, f *file, from, to int64) error {
	pc := piece{file: f, last: to == f.entry.Size}
	for off := from; off < to; off += window {
		if err := w.look(ctx, t, &pc, off, min(off+window, to)); err != nil {
			return err
		}
	}
	t.pieces, t.bytes = append(t.pieces, pc), t.bytes+to-from
	return nil
}

// look stores what one window of a file has that the parent lacks.
func (w *worker) look(ctx context.Context, t *task, pc *piece, off, end int64) error {
	f := pc.file
	first, last := off/index.BlockSize, index.Blocks(end)
	at := len(pc.all)
	for block := first; block < last; { // runs to read, and runs to believe the parent
		next := block
		for next < last && f.unread(next) {
			pc.all = append(pc.all, f.parent(next)...)
			next++
		}
		if block = next; block == last {
			break
		}
		for next < last && !f.unread(next) {
			next++
		}
		b := w.buf[block*index.BlockSize-off : min(next*index.BlockSize, end)-off]
		if err := w.fetch(ctx, f, b, block*index.BlockSize); err != nil {
			return err
		}
		pc.all = frame.Sums(pc.all, b)
		block = next
	}
	sums := pc.all[at:]
	same := func(block int64) bool {
		was := f.parent(block)
		return was != nil && bytes.Equal(was, sums[(block-first)*index.SumSize:][:index.SumSize])
	}
	for block := first; block < last; {
		if same(block) {
			block++
			continue
		}
		next := block + 1
		for next < last && !same(next) {
			next++
		}
		m := f.member()
		begin, stop := block*index.BlockSize, min(next*index.BlockSize, end)
		if m.size = stop - begin; m.size != f.entry.Size {
			m.name = fmt.Sprintf("%s.blocks-%010d", m.name, block)
		}
		if err := w.head(t, m, m.size); err != nil {
			return err
		}
		c := index.Chunk{Block: block, Count: next - block, Part: len(t.frames), Skip: int64(len(w.content))}
		w.content = append(w.content, w.buf[begin-off:stop-off]...)
		w.content = pad(w.content, m.size)
		pc.chunks = append(pc.chunks, c)
		pc.sums = append(pc.sums, sums[(block-first)*index.SumSize:(next-first)*index.SumSize]...)
		block = next
	}
	return nil
}

// crcOf is the CRC-32C in the sum of a block.
func crcOf(sum []byte) uint32 { return binary.LittleEndian.Uint32(sum) }
