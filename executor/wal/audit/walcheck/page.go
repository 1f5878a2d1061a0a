package walcheck

import (
	"encoding/binary"
	"fmt"

	"pg_manage/schema/postgres"
)

// Sizes and flags of page headers (xlog_internal.h).
const (
	shortHeader = 24
	longHeader  = 40

	flagContinues = 0x0001
	flagLong      = 0x0002
	flagAbandons  = 0x0008
	allFlags      = 0x000F
)

// page is one page's header.
type page struct {
	magic    uint16
	flags    uint16
	timeline postgres.Timeline
	addr     postgres.LSN
	rest     uint32 // how much is left of the record that the page starts within
}

func parsePage(b []byte) page {
	le := binary.LittleEndian
	return page{le.Uint16(b), le.Uint16(b[2:]), postgres.Timeline(le.Uint32(b[4:])), postgres.LSN(le.Uint64(b[8:])), le.Uint32(b[16:])}
}

func (p page) headerSize() int {
	if p.flags&flagLong != 0 {
		return longHeader
	}
	return shortHeader
}

// checkPage is what PostgreSQL asks of a page when it reads WAL (xlogreader.c,
// XLogReaderValidatePageHeader), and that its timeline is one of the segment's.
func (c *checker) checkPage(p page, b []byte, addr postgres.LSN, first bool) error {
	switch {
	case p.magic != c.magic:
		return fmt.Errorf("the page at %s has the magic number %04X, and the segment's first page %04X", addr, p.magic, c.magic)
	case p.flags&^allFlags != 0 || (p.flags&flagLong != 0) != first:
		return fmt.Errorf("the page at %s has the flags %04X, which it cannot have", addr, p.flags)
	case p.addr != addr:
		return fmt.Errorf("the page at %s says that it is the one at %s", addr, p.addr)
	case p.timeline < c.timeline || p.timeline > c.s.File.Timeline || c.s.Ancestor != nil && p.timeline != c.s.File.Timeline && !c.s.Ancestor(p.timeline):
		return fmt.Errorf("the page at %s is of timeline %d, and cannot be after one of timeline %d", addr, p.timeline, c.timeline)
	case binary.LittleEndian.Uint32(b[20:]) != 0:
		return fmt.Errorf("the page at %s has bytes in its header that PostgreSQL leaves zero", addr)
	}
	return nil
}

// leftover says whether a page can be an earlier segment's, whose file PostgreSQL has
// used again, or one that was never written.
func (c *checker) leftover(b []byte, addr postgres.LSN) bool {
	p := parsePage(b)
	size := postgres.LSN(c.s.Size)
	return zero(b) || p.magic == c.magic && p.flags&^allFlags == 0 && p.addr < addr && p.addr%size == addr%size
}

func zero(b []byte) bool {
	for len(b) >= 8 {
		if binary.LittleEndian.Uint64(b) != 0 {
			return false
		}
		b = b[8:]
	}
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}
