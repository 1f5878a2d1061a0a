package chain

import (
	"fmt"

	"pg_manage/executor/basebackup/index"
)

// merge puts the chunks of an entry of backup i over the file of its parent, nil when the
// parent has none. Blocks that neither has are an error.
func merge(i int, e *index.Entry, parent *File) (*File, error) {
	m := merger{out: &File{Path: e.Path, Size: e.Size}, parent: parent}
	sums := e.Sums
	for _, k := range e.Chunks {
		if err := m.inherit(k.Block); err != nil {
			return nil, err
		}
		n := k.Count * index.SumSize
		m.out.Sums = append(m.out.Sums, sums[:n]...)
		sums = sums[n:]
		m.out.Pieces = append(m.out.Pieces, Piece{i, k})
		m.next = k.Block + k.Count
	}
	return m.out, m.inherit(index.Blocks(e.Size))
}

type merger struct {
	out    *File
	parent *File
	piece  int   // of the parent: those before it end at or before next
	next   int64 // block
}

// inherit takes the blocks from next up to end from the parent.
func (m *merger) inherit(end int64) error {
	if m.next >= end {
		return nil
	}
	p := m.parent
	switch {
	case p == nil:
		return fmt.Errorf("%s lacks block %d, and no backup before has the file", m.out.Path, m.next)
	case end > index.Blocks(p.Size) || blockLen(p.Size, end-1) != blockLen(m.out.Size, end-1):
		return fmt.Errorf("%s lacks block %d, which is not the same in the backup before (%d bytes, then %d)", m.out.Path, end-1, p.Size, m.out.Size)
	}
	m.out.Sums = append(m.out.Sums, p.Sums[m.next*index.SumSize:end*index.SumSize]...)
	for ; m.next < end; m.piece++ {
		if m.piece == len(p.Pieces) {
			return fmt.Errorf("%s lacks block %d, which no backup has", m.out.Path, m.next)
		}
		k := p.Pieces[m.piece]
		if k.Block+k.Count <= m.next {
			continue
		}
		skipped := m.next - k.Block
		k.Block, k.Skip = m.next, k.Skip+skipped*index.BlockSize
		k.Count = min(k.Count-skipped, end-k.Block)
		m.out.Pieces = append(m.out.Pieces, k)
		m.next = k.Block + k.Count
		if m.next == end { // the piece may have more that a later call wants
			break
		}
	}
	return nil
}

// blockLen is how many bytes a block of a file of size bytes has.
func blockLen(size, block int64) int64 {
	return max(0, min(index.BlockSize, size-block*index.BlockSize))
}
