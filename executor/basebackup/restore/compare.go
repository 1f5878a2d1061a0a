package restore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"golang.org/x/sync/errgroup"

	"pg_manage/executor/basebackup/chain"
	"pg_manage/executor/basebackup/frame"
	"pg_manage/executor/basebackup/index"
)

// comparison is a file of the backup, and which of its blocks are not what is there.
type comparison struct {
	file *chain.File
	out  *outFile
	want []chain.Piece
	kept bool  // the file is not ours to touch
	same int64 // bytes that are as they should be
	done chan struct{}
}

// compareAll looks at what is there, and wants what differs. Files are looked at by several
// goroutines; what is wanted comes in their order, so that neighbours in a part are read together.
func (f *filler) compareAll(ctx context.Context, b *planner) error {
	g, ctx := errgroup.WithContext(ctx)
	jobs := make(chan *comparison)
	order := make(chan *comparison, 4*f.Workers)
	g.Go(func() error {
		defer close(jobs)
		defer close(order)
		for file, err := range f.chain.Files() {
			if err != nil {
				return err
			}
			c := &comparison{file: file, done: make(chan struct{})}
			if err := hand(ctx, order, c); err != nil {
				return err
			}
			if err := hand(ctx, jobs, c); err != nil {
				return err
			}
		}
		return nil
	})
	for range f.Workers {
		g.Go(func() error {
			buf := make([]byte, frame.Max)
			for c := range jobs {
				if err := f.compare(c, buf); err != nil {
					return err
				}
				close(c.done)
			}
			return nil
		})
	}
	g.Go(func() error {
		for c := range order {
			select {
			case <-c.done:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
			if err := f.want(ctx, b, c); err != nil {
				return err
			}
		}
		return nil
	})
	return g.Wait()
}

// want hands on what differs.
func (f *filler) want(ctx context.Context, b *planner, c *comparison) error {
	f.Progress(f.done.Add(c.same), f.total)
	if c.kept {
		return nil
	}
	c.out.left.Store(int64(len(c.want)))
	if len(c.want) == 0 {
		return b.addEmpty(ctx, c.out)
	}
	for _, p := range c.want {
		if err := b.add(ctx, c.out, p, c.file.Sums[p.Block*index.SumSize:(p.Block+p.Count)*index.SumSize]); err != nil {
			return err
		}
	}
	return nil
}

// compare reads what is there of a file.
func (f *filler) compare(c *comparison, buf []byte) error {
	c.out = f.outFile(c.file)
	local, err := c.out.place.root.Open(c.out.rel)
	if errors.Is(err, fs.ErrNotExist) {
		c.want = c.file.Pieces
		return nil
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", c.file.Path, err)
	}
	defer func() { _ = local.Close() }()
	if f.keep.has(c.file.Path) {
		c.kept, c.same = true, c.file.Size
		return nil
	}
	for _, p := range c.file.Pieces {
		if err := c.piece(local, p, buf); err != nil {
			return fmt.Errorf("read %s: %w", c.file.Path, err)
		}
	}
	return nil
}

// piece compares the blocks of one piece, which is at most a frame.
func (c *comparison) piece(local *os.File, p chain.Piece, buf []byte) error {
	n, err := local.ReadAt(buf[:p.Bytes(c.file.Size)], p.Block*index.BlockSize)
	if err != nil && err != io.EOF {
		return err
	}
	have := frame.Sums(make([]byte, 0, p.Count*index.SumSize), buf[:n])
	sums := c.file.Sums[p.Block*index.SumSize:]
	begun := int64(-1) // block of the piece where what differs begins
	for i := range p.Count {
		at := i * index.SumSize
		same := at < int64(len(have)) && bytes.Equal(have[at:at+index.SumSize], sums[at:at+index.SumSize])
		switch {
		case same:
			c.same += blocks(p, i, 1).Bytes(c.file.Size)
			if begun >= 0 {
				c.want = append(c.want, blocks(p, begun, i-begun))
				begun = -1
			}
		case begun < 0:
			begun = i
		}
	}
	if begun >= 0 {
		c.want = append(c.want, blocks(p, begun, p.Count-begun))
	}
	return nil
}
