// Package waltest writes WAL for tests: pages and records as PostgreSQL lays them out,
// with random content.
package waltest

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
)

const (
	pageSize = 8192
	magic    = 0xD110 // PostgreSQL 15
)

// Writer writes the WAL of one timeline.
type Writer struct {
	System   uint64
	Timeline uint32
	Size     uint64            // of a segment, in bytes
	Segments map[uint64][]byte // by their number
	Pos      uint64            // LSN of what comes next
	rand     *rand.Rand
	abandons bool
}

// New starts a timeline at the beginning of a segment.
func New(system uint64, timeline uint32, size, segment, seed uint64) *Writer {
	return &Writer{System: system, Timeline: timeline, Size: size, Segments: map[uint64][]byte{}, Pos: segment * size, rand: rand.New(rand.NewPCG(seed, 7))}
}

// Segment is the number of the segment that is being written.
func (w *Writer) Segment() uint64 { return w.Pos / w.Size }

// Name is a segment's name.
func (w *Writer) Name(segment uint64) string {
	per := (1 << 32) / w.Size
	return fmt.Sprintf("%08X%08X%08X", w.Timeline, segment/per, segment%per)
}

// Fork starts another timeline here, with a copy of the segment that is being written.
func (w *Writer) Fork(timeline uint32) *Writer {
	f := *w
	f.Timeline, f.Segments = timeline, map[uint64][]byte{}
	if used := w.Pos % w.Size; used > 0 {
		b := make([]byte, w.Size)
		copy(b, w.Segments[w.Segment()][:used])
		f.Segments[w.Segment()] = b
	}
	return &f
}

// Fill writes records until the segment with this number is full, or a little beyond.
func (w *Writer) Fill(segment uint64) {
	for w.Segment() <= segment {
		n := w.rand.IntN(600)
		switch w.rand.IntN(40) {
		case 0:
			n = w.rand.IntN(5 * pageSize)
		case 1:
			n = w.rand.IntN(3)
		}
		w.Record(n)
	}
}

// Record writes one record with n bytes of data.
func (w *Writer) Record(n int) { w.write(w.record(n, 10, 0x20)) }

// Switch writes the record after which the rest of the segment is empty.
func (w *Writer) Switch() {
	w.write(w.record(0, 0, 0x40))
	if w.Pos%w.Size != 0 {
		w.Pos += w.Size - w.Pos%w.Size
	}
}

// Abandon writes the beginning of a record up to the end of the page, or of the segment,
// as a crash leaves it, and goes on with the page after it.
func (w *Writer) Abandon(toSegmentEnd bool) {
	unit := uint64(pageSize)
	if toSegmentEnd {
		unit = w.Size
	}
	w.align()
	w.header(0)
	end := w.Pos - w.Pos%unit + unit
	b := w.record(int(end-w.Pos)+100, 10, 0x20)
	for w.Pos < end {
		w.header(uint32(len(b)))
		n := pageSize - w.Pos%pageSize
		copy(w.at(), b[:n])
		b = b[n:]
		w.Pos += n
	}
	w.abandons = true
}

func (w *Writer) record(n int, rmgr, info byte) []byte {
	b := make([]byte, 24+n)
	for i := 24; i < len(b); i++ {
		b[i] = byte(w.rand.Uint32())
	}
	le := binary.LittleEndian
	le.PutUint32(b, uint32(len(b)))
	le.PutUint32(b[4:], w.rand.Uint32())
	b[16], b[17] = info, rmgr
	table := crc32.MakeTable(crc32.Castagnoli)
	le.PutUint32(b[20:], crc32.Update(crc32.Checksum(b[24:], table), table, b[:20]))
	return b
}

func (w *Writer) at() []byte {
	n := w.Segment()
	if w.Segments[n] == nil {
		w.Segments[n] = make([]byte, w.Size)
	}
	return w.Segments[n][w.Pos%w.Size:]
}

func (w *Writer) align() { w.Pos = (w.Pos + 7) &^ 7 }

// header writes a page's header if one must stand here; rest is what the page goes on with.
func (w *Writer) header(rest uint32) {
	if w.Pos%pageSize != 0 {
		return
	}
	b, le := w.at(), binary.LittleEndian
	size, flags := uint64(24), uint16(0)
	if w.Pos%w.Size == 0 {
		size, flags = 40, 2
		le.PutUint64(b[24:], w.System)
		le.PutUint32(b[32:], uint32(w.Size))
		le.PutUint32(b[36:], pageSize)
	}
	if rest > 0 {
		flags |= 1
	}
	if w.abandons {
		flags |= 8
		w.abandons = false
	}
	le.PutUint16(b, magic)
	le.PutUint16(b[2:], flags)
	le.PutUint32(b[4:], w.Timeline)
	le.PutUint64(b[8:], w.Pos)
	le.PutUint32(b[16:], rest)
	w.Pos += size
}

func (w *Writer) write(b []byte) {
	w.align()
	w.header(0)
	for len(b) > 0 {
		w.header(uint32(len(b)))
		n := min(uint64(len(b)), pageSize-w.Pos%pageSize)
		copy(w.at(), b[:n])
		b = b[n:]
		w.Pos += n
	}
	w.align()
}
