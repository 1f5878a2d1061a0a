package chain

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"

	"pg_manage/executor/basebackup/index"
)

// spooler writes records one behind the other: the size of the file, the number of its
// pieces and their numbers as varints, then the sums.
type spooler struct {
	w   *bufio.Writer
	at  int64
	buf []byte
}

func (s *spooler) put(f *File) (record, error) {
	b := binary.AppendUvarint(s.buf[:0], uint64(f.Size))
	b = binary.AppendUvarint(b, uint64(len(f.Pieces)))
	for _, p := range f.Pieces {
		for _, n := range [7]int64{int64(p.Backup), p.Block, p.Count, int64(p.Part), p.Offset, p.Length, p.Skip} {
			b = binary.AppendUvarint(b, uint64(n))
		}
	}
	b = append(b, f.Sums...)
	s.buf = b
	r := record{offset: s.at, length: int64(len(b))}
	if _, err := s.w.Write(b); err != nil {
		return r, fmt.Errorf("write the index of a backup into a temporary file: %w", err)
	}
	s.at += r.length
	return r, nil
}

// read gives the file of a record.
func (c *Chain) read(path string, r record) (*File, error) {
	b := make([]byte, r.length)
	if _, err := c.spool.ReadAt(b, r.offset); err != nil {
		return nil, fmt.Errorf("read the index of a backup from a temporary file: %w", err)
	}
	whole := true
	next := func() int64 {
		n, k := binary.Uvarint(b)
		if k <= 0 {
			whole = false
			return 0
		}
		b = b[k:]
		return int64(n)
	}
	f := &File{Path: path, Mode: r.mode, MTime: r.mtime, Size: next()}
	count := next()
	if !whole || count > int64(len(b)) {
		return nil, errors.New("the temporary file with the index of a backup was changed")
	}
	f.Pieces = make([]Piece, count)
	for i := range f.Pieces {
		f.Pieces[i] = Piece{int(next()), index.Chunk{Block: next(), Count: next(), Part: int(next()), Offset: next(), Length: next(), Skip: next()}}
	}
	f.Sums = b
	if !whole || int64(len(b)) != index.Blocks(f.Size)*index.SumSize {
		return nil, errors.New("the temporary file with the index of a backup was changed")
	}
	return f, nil
}
