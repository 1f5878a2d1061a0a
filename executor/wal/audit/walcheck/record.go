package walcheck

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"pg_manage/schema/postgres"
)

// headerSize is the size of a record's header, and crcOffset where its checksum lies
// in it (xlogrecord.h, XLogRecord).
const (
	headerSize = 24
	crcOffset  = 20
)

// maxBody is how much of a record is kept, in bytes.
const maxBody = 1 << 20

// Record is a whole record whose checksum is right.
type Record struct {
	Start    postgres.LSN
	XID      uint32
	Resource byte   // number of the resource manager (rmgrlist.h)
	Info     byte   // its upper half is the resource manager's
	Body     []byte // what follows the header, up to 1 MiB of it
}

// Wanted says which records are to be told.
type Wanted struct {
	Keep func(resource, info byte) bool
	// Record is called in order. A record that goes on in the next segment is told by Join.
	Record func(Record)
}

// record is a WAL record of which have bytes have been seen. Its checksum covers what
// follows the header, and then the header up to the checksum.
type record struct {
	start  postgres.LSN
	total  uint32
	have   uint32
	header [headerSize]byte
	data   uint32 // checksum of what follows the header, as far as seen
	wanted *Wanted
	body   []byte
}

func (r *record) feed(b []byte) {
	if r.have < headerSize {
		n := copy(r.header[r.have:], b)
		r.have += uint32(n)
		b = b[n:]
		if r.have == headerSize && r.wanted != nil && !r.wanted.Keep(r.header[17], r.header[16]) {
			r.wanted = nil
		}
	}
	if r.wanted != nil {
		r.body = append(r.body, b[:min(len(b), maxBody-len(r.body))]...)
	}
	r.data = crc32.Update(r.data, castagnoli, b)
	r.have += uint32(len(b))
}

// feedSummed is feed for bytes of which the checksum alone is known.
func (r *record) feedSummed(crc uint32, n int64) {
	r.data = combine(r.data, crc, n)
	r.have += uint32(n)
}

func (r *record) whole() bool { return r.have >= r.total }

// tell hands a record that is whole and right to who wants it.
func (r *record) tell() {
	if r.wanted != nil {
		r.wanted.Record(Record{r.start, binary.LittleEndian.Uint32(r.header[4:]), r.header[17], r.header[16], r.body})
	}
}

func (r *record) verify() error {
	want := binary.LittleEndian.Uint32(r.header[crcOffset:])
	if got := crc32.Update(r.data, castagnoli, r.header[:crcOffset]); got != want {
		return fmt.Errorf("the checksum of the record at %s is wrong", r.start)
	}
	return nil
}

// isSwitch says whether this is the record after which the rest of its segment is
// empty (pg_control.h, XLOG_SWITCH of the resource manager XLOG).
func (r *record) isSwitch() bool { return r.header[17] == 0 && r.header[16]&0xF0 == 0x40 }

// Tail is how a segment ends.
type Tail struct {
	open    *record // a record that goes on in the next segment; nil when none does
	through bool    // the segment is the middle of a record that started in an earlier one
	unknown bool    // the WAL ends within the segment
}

// Through says whether the whole segment is the middle of one record: what it ends with
// is then known only after Join with its predecessor.
func (t Tail) Through() bool { return t.through }

// Open says whether the segment ends within a record that started in it.
func (t Tail) Open() bool { return t.open != nil }

// Unknown is the tail of a segment that says nothing about its successor.
func Unknown() Tail { return Tail{unknown: true} }

// Head is how a segment starts.
type Head struct {
	continues bool // with the rest of a record of the segment before
	abandons  bool // that record is given up (XLP_FIRST_IS_OVERWRITE_CONTRECORD)
	rest      uint32
	first     []byte // the beginning of the rest, as it may hold the end of the header
	crc       uint32 // of the rest after first, as far as it is in this segment
	n         int64  // its length
}

// Join checks that one segment goes on where the one before ended, with the checksum of
// a record that lies in both. It gives the tail of the second segment if that is
// Through, which is only known now.
func Join(before Tail, after Head, lsn postgres.LSN) (Tail, error) {
	if before.unknown || before.through {
		return Unknown(), nil
	}
	switch {
	case before.open == nil && !after.continues:
		return Tail{}, nil
	case before.open == nil:
		return Unknown(), fmt.Errorf("the segment at %s starts within a record, and the one before it ends with none", lsn)
	case !after.continues && after.abandons:
		return Tail{}, nil
	case !after.continues:
		return Unknown(), fmt.Errorf("the record at %s goes on at %s, where the segment starts with no rest of a record", before.open.start, lsn)
	}
	r := *before.open
	if r.total-r.have != after.rest {
		return Unknown(), fmt.Errorf("the record at %s has %d bytes left at %s, where the segment starts with %d bytes of a record", r.start, r.total-r.have, lsn, after.rest)
	}
	r.feed(after.first)
	r.feedSummed(after.crc, after.n)
	if !r.whole() {
		return Tail{open: &r}, nil
	}
	if err := r.verify(); err != nil {
		return Tail{}, err
	}
	r.tell()
	return Tail{}, nil
}
