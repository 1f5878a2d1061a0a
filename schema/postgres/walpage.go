package postgres

import (
	"encoding/binary"
	"fmt"
)

// SegmentHeaderSize is how much of a segment's beginning CheckSegment looks at: the
// long header of its first page.
const SegmentHeaderSize = 40

// SegmentInfo is what the first page of a WAL segment says of it.
type SegmentInfo struct {
	Magic            uint16
	Major            int // PostgreSQL's major version; 0 when the magic number is newer than any known here
	Timeline         Timeline
	PageAddr         LSN
	SystemIdentifier uint64
	SegmentSize      int64
	BlockSize        int64
}

// Flags and magic numbers of the header of a WAL page (xlog_internal.h).
const (
	xlpLongHeader = 0x0002
	xlpAllFlags   = 0x000F // 0x0008: what the page before ends with is an abandoned record (13.5 and later)
	magicNewest   = 0xD118
	magicCeiling  = 0xD1FF
)

// walMajor gives the major version that writes WAL with this magic number: that of
// its release, not those of its betas.
func walMajor(magic uint16) (major int, ok bool) {
	switch magic {
	case 0xD106:
		return 13, true
	case 0xD10D:
		return 14, true
	case 0xD110:
		return 15, true
	case 0xD113:
		return 16, true
	case 0xD116:
		return 17, true
	case magicNewest:
		return 18, true
	}
	return 0, magic > magicNewest && magic <= magicCeiling
}

// CheckSegment looks at the beginning of a WAL segment and says whether it can be
// what its name promises. head is the file's first bytes, at least SegmentHeaderSize,
// size its length. The header's address must be the one the name stands for. Its
// timeline may be lower than the name's, since the first segment of a new timeline
// starts as a copy of the old timeline's, and never higher. WAL of a machine of
// another byte order is refused like any other damage.
func CheckSegment(head []byte, f WALFile, size int64) (SegmentInfo, error) {
	if !f.IsSegment() {
		return SegmentInfo{}, fmt.Errorf("%s is a %s, which has no WAL pages", f.Name, f.Kind)
	}
	if !ValidSegmentSize(size) {
		return SegmentInfo{}, fmt.Errorf("%s has %d bytes, which is no WAL segment size: it is cut short, or no WAL", f.Name, size)
	}
	if len(head) < SegmentHeaderSize {
		return SegmentInfo{}, fmt.Errorf("%s: its first page is cut short", f.Name)
	}
	le := binary.LittleEndian
	info := SegmentInfo{
		Magic:            le.Uint16(head[0:]),
		Timeline:         Timeline(le.Uint32(head[4:])),
		PageAddr:         LSN(le.Uint64(head[8:])),
		SystemIdentifier: le.Uint64(head[24:]),
		SegmentSize:      int64(le.Uint32(head[32:])),
		BlockSize:        int64(le.Uint32(head[36:])),
	}
	flags := le.Uint16(head[2:])
	major, ok := walMajor(info.Magic)
	switch {
	case !ok:
		return info, fmt.Errorf("%s: its first page has the magic number %04X, which no WAL of PostgreSQL 13 or later has: this is no WAL, or it is damaged", f.Name, info.Magic)
	case flags&xlpLongHeader == 0 || flags&^xlpAllFlags != 0:
		return info, fmt.Errorf("%s: its first page has the flags %04X, which the first page of a segment cannot have: it is damaged", f.Name, flags)
	case info.SystemIdentifier == 0:
		return info, fmt.Errorf("%s: its first page has no system identifier: it is damaged", f.Name)
	case info.SegmentSize != size:
		return info, fmt.Errorf("%s has %d bytes, but its first page says that segments have %d: it is cut short or damaged", f.Name, size, info.SegmentSize)
	case info.BlockSize < 1024 || info.BlockSize > 65536 || info.BlockSize&(info.BlockSize-1) != 0:
		return info, fmt.Errorf("%s: its first page gives a WAL block size of %d: it is damaged", f.Name, info.BlockSize)
	}
	info.Major = major
	start, err := f.Start(size)
	if err != nil {
		return info, err
	}
	if info.PageAddr != start {
		return info, fmt.Errorf("%s starts at %s by its name and at %s by its first page: this is another segment's content", f.Name, start, info.PageAddr)
	}
	if info.Timeline == 0 || info.Timeline > f.Timeline {
		return info, fmt.Errorf("%s is of timeline %d by its name and of timeline %d by its first page: this is another timeline's content", f.Name, f.Timeline, info.Timeline)
	}
	return info, nil
}
