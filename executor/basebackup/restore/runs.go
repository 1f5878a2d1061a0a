package restore

import (
	"context"
	"slices"

	"pg_manage/executor/basebackup/chain"
	"pg_manage/executor/basebackup/index"
)

// maxRun is the most that is read of a part at once, in bytes.
const maxRun = 8 << 20

// maxGap is how much is read in vain rather than asking anew, in bytes.
const maxGap = 128 << 10

// maxOpen bounds the runs that are being put together at the same time.
const maxOpen = 64

// run is a range of one part: frames that follow each other, and what is wanted of them.
type run struct {
	backup, part   int
	offset, length int64
	frames         []frameUse
	empty          []*outFile // files without content; such a run reads nothing
}

type frameUse struct {
	offset, length int64 // in the part
	uses           []use
}

// use is a run of blocks of a file that are wanted of a frame.
type use struct {
	file  *outFile
	block int64
	skip  int64 // in the frame's content
	bytes int64
	sums  []byte
}

// planner puts pieces of files together to runs, as they come.
type planner struct {
	open  map[[2]int]*run // by backup and part
	order [][2]int        // of open, the one begun first in front
	empty *run
	out   chan<- *run
}

func newPlanner(out chan<- *run) *planner {
	return &planner{open: map[[2]int]*run{}, empty: &run{}, out: out}
}

// add puts a piece in; sums are those of its blocks.
func (b *planner) add(ctx context.Context, o *outFile, p chain.Piece, sums []byte) error {
	key := [2]int{p.Backup, p.Part}
	u := use{o, p.Block, p.Skip, p.Bytes(o.size), slices.Clone(sums)}
	if r := b.open[key]; r != nil {
		last := &r.frames[len(r.frames)-1]
		end := r.offset + r.length
		switch {
		case last.offset == p.Offset && last.length == p.Length:
			last.uses = append(last.uses, u)
			return nil
		case p.Offset >= end && p.Offset <= end+maxGap && p.Offset+p.Length-r.offset <= maxRun:
			r.frames = append(r.frames, frameUse{p.Offset, p.Length, []use{u}})
			r.length = p.Offset + p.Length - r.offset
			return nil
		}
		if err := b.send(ctx, key); err != nil {
			return err
		}
	}
	b.open[key] = &run{backup: p.Backup, part: p.Part, offset: p.Offset, length: p.Length, frames: []frameUse{{p.Offset, p.Length, []use{u}}}}
	b.order = append(b.order, key)
	if len(b.order) > maxOpen {
		return b.send(ctx, b.order[0])
	}
	return nil
}

// addEmpty puts in a file that nothing has to be read for.
func (b *planner) addEmpty(ctx context.Context, o *outFile) error {
	b.empty.empty = append(b.empty.empty, o)
	if len(b.empty.empty) < 100 {
		return nil
	}
	r := b.empty
	b.empty = &run{}
	return hand(ctx, b.out, r)
}

func (b *planner) send(ctx context.Context, key [2]int) error {
	r := b.open[key]
	delete(b.open, key)
	b.order = slices.DeleteFunc(b.order, func(k [2]int) bool { return k == key })
	return hand(ctx, b.out, r)
}

// end sends what is left.
func (b *planner) end(ctx context.Context) error {
	for len(b.order) > 0 {
		if err := b.send(ctx, b.order[0]); err != nil {
			return err
		}
	}
	return hand(ctx, b.out, b.empty)
}

func hand[T any](ctx context.Context, to chan<- T, v T) error {
	select {
	case to <- v:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// blocks gives the part of a piece that is n blocks from its block at on.
func blocks(p chain.Piece, at, n int64) chain.Piece {
	p.Block += at
	p.Skip += at * index.BlockSize
	p.Count = n
	return p
}
