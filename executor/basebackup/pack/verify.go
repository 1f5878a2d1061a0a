package pack

import (
	"bytes"
	"cmp"
	"context"
	"time"

	"pg_manage/executor/basebackup/page"
	"pg_manage/executor/repo/catalog"
)

// fetch reads b at an offset of a file, and verifies the pages in it. Those that are wrong are read
// again: the server may have been writing them.
func (w *worker) fetch(ctx context.Context, f *file, b []byte, off int64) error {
	if err := w.p.read(ctx, f, b, off); err != nil {
		return err
	}
	if !f.pages {
		return nil
	}
	w.bad = w.bad[:0]
	size := int64(w.p.o.BlockSize)
	for at := int64(0); at+size <= int64(len(b)); at += size {
		if !w.fine(f, b[at:at+size], off+at) {
			w.bad = append(w.bad, at)
		}
	}
	if len(w.bad) == 0 {
		return nil
	}
	return w.reread(ctx, f, b, off)
}

// fine says whether a page is in order, or was changed since the backup began: then it may
// be half written, and the WAL has it whole.
func (w *worker) fine(f *file, p []byte, off int64) bool {
	if !page.New(p) && page.LSN(p) >= w.p.o.StartLSN {
		return true
	}
	size := int64(w.p.o.BlockSize)
	return page.Verify(p, uint32(f.segment*w.p.o.SegmentBlocks+off/size))
}

// reread reads the bad pages again until they are in order or stay as they are.
func (w *worker) reread(ctx context.Context, f *file, b []byte, off int64) error {
	size := int64(w.p.o.BlockSize)
	var wrong []int64
	for try := 0; len(w.bad) > 0; try++ {
		wait := 5 * time.Millisecond << min(try, 4)
		if w.p.hopeless() {
			wait = time.Millisecond
		}
		if err := pause(ctx, wait); err != nil {
			return err
		}
		left := w.bad[:0]
		for _, at := range w.bad {
			p := b[at : at+size]
			if err := w.p.read(ctx, f, w.again, off+at); err != nil {
				return err
			}
			changed := !bytes.Equal(p, w.again)
			copy(p, w.again)
			switch {
			case w.fine(f, p, off+at):
			case try < 4 || changed && try < 10:
				left = append(left, at)
			default:
				wrong = append(wrong, (off+at)/size)
			}
		}
		w.bad = left
	}
	w.p.report(f, wrong)
	return nil
}

// hopeless says whether so much is damaged that waiting for it makes no sense.
func (p *Packer) hopeless() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.damaged > 1000
}

func (p *Packer) report(f *file, wrong []int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, block := range wrong {
		p.damaged++
		if len(p.pages) < maxDamaged {
			p.pages = append(p.pages, catalog.DamagedPage{Path: f.entry.Path, Block: block})
		}
	}
}

func byPlace(a, b catalog.DamagedPage) int {
	return cmp.Or(cmp.Compare(a.Path, b.Path), cmp.Compare(a.Block, b.Block))
}
