// Package walcheck reads a WAL segment and says whether it is damaged: every page's
// header, and every record's length and checksum, as PostgreSQL's own reader asks for
// them (xlogreader.c). A record that crosses from one segment into the next is checked
// by Join when both have been read, in any order.
//
// It tells damage alone. A segment in which the WAL ends, such as the last one of a
// timeline that was left, has leftovers of an earlier use of its file behind the end.
package walcheck

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"pg_manage/schema/postgres"
)

// Segment is what is known of a segment before it is read.
type Segment struct {
	File  postgres.WALFile
	Size  int64        // bytes of every segment of its cluster
	Start postgres.LSN // of its first byte
	// Ancestor says whether the segment's timeline comes from another one; nil when that isn't known.
	Ancestor func(postgres.Timeline) bool
	// Ends is set when the WAL may end in the segment, at Sure or later. What doesn't fit
	// from there on counts as damage only when valid WAL follows it.
	Ends bool
	Sure postgres.LSN
	// Wanted, unless nil, is told of records.
	Wanted *Wanted
	// Partial says that nothing at all is to be told of what comes after Sure.
	Partial bool
}

// Result is what Join needs of a segment, and what its first page says.
type Result struct {
	Info  postgres.SegmentInfo
	Head  Head
	Tail  Tail
	Ended bool         // the WAL ends within the segment: it is not complete
	Why   error        // what does not fit where it ends; nil unless Ended
	Last  postgres.LSN // start of the last record that is whole in it; 0 when none is
}

// DamageError is content that cannot be what the name promises. Any other error of
// Check is one of reading.
type DamageError struct {
	Err   error
	Other bool // it is sound WAL, but of another segment, timeline or cluster
}

func (e *DamageError) Error() string { return e.Err.Error() }

func (e *DamageError) Unwrap() error { return e.Err }

type checker struct {
	s        Segment
	magic    uint16
	timeline postgres.Timeline // of the page before
	rec      *record           // the record that is being read
	switched bool
	fail     error // where the WAL ended, in a segment in which it may
	res      Result

	headLeft uint32 // of the record that the segment starts within
	inHead   bool
}

// Check reads a segment to its end. A *DamageError says that it is damaged; other
// errors are those of r.
func Check(r io.Reader, s Segment, system uint64) (*Result, error) {
	c := &checker{s: s}
	r = honest{r}
	if err := c.read(r, system, func() bool { return false }); err != nil {
		return nil, err
	}
	if m, err := io.ReadFull(r, make([]byte, 1)); m > 0 {
		return nil, damage("it has more than %d bytes", s.Size)
	} else if !ended(err) {
		return nil, err
	}
	c.finish()
	return &c.res, nil
}

// CheckHead reads no more of a segment than what Join needs of the one after. Errors are
// as those of Check.
func CheckHead(r io.Reader, s Segment, system uint64) (Head, error) {
	c := &checker{s: s}
	if err := c.read(honest{r}, system, func() bool { return !c.inHead }); err != nil {
		return Head{}, err
	}
	if c.res.Info.Major == 0 {
		return Head{}, nil
	}
	return c.res.Head, nil
}

// read takes in page after page, until enough says so or the segment ends.
func (c *checker) read(r io.Reader, system uint64, enough func() bool) error {
	s := c.s
	head := make([]byte, postgres.SegmentHeaderSize)
	n, err := io.ReadFull(r, head)
	if err != nil && !ended(err) {
		return err
	}
	if n < len(head) {
		return damage("it has %d bytes of %d", n, s.Size)
	}
	info, err := postgres.CheckSegment(head, s.File, s.Size)
	c.res.Info = info
	if err == nil && info.SystemIdentifier != system {
		err = fmt.Errorf("%s is WAL of the cluster with system identifier %d, and the archive is that of %d", s.File.Name, info.SystemIdentifier, system)
	}
	if err != nil {
		return &DamageError{err, c.other(system)}
	}
	c.magic, c.timeline = info.Magic, info.Timeline
	b := make([]byte, info.BlockSize)
	copy(b, head)
	for off := int64(0); off < s.Size; off += info.BlockSize {
		from := 0
		if off == 0 {
			from = n
		}
		if m, err := io.ReadFull(r, b[from:]); err != nil {
			if !ended(err) {
				return err
			}
			return damage("it has %d bytes of %d", off+int64(from+m), s.Size)
		}
		if err := c.page(b, s.Start+postgres.LSN(off), off == 0); err != nil {
			return err
		}
		if enough() {
			break
		}
	}
	return nil
}

// honest keeps a reader's own "unexpected end", such as that of a broken connection,
// from being taken for a file that ends early.
type honest struct{ io.Reader }

func (h honest) Read(b []byte) (int, error) {
	n, err := h.Reader.Read(b)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = fmt.Errorf("it breaks off: %s", err.Error()) //nolint:errorlint // on purpose
	}
	return n, err
}

func ended(err error) bool { return err == io.EOF || err == io.ErrUnexpectedEOF } //nolint:errorlint // ReadFull gives these as they are

func damage(format string, args ...any) error {
	return &DamageError{Err: fmt.Errorf(format, args...)}
}

// other says whether a first page that was refused is sound for itself.
func (c *checker) other(system uint64) bool {
	i := c.res.Info
	return i.SegmentSize == c.s.Size && i.Magic>>8 == 0xD1 && i.SystemIdentifier != 0 &&
		(i.SystemIdentifier != system || i.PageAddr != c.s.Start || i.Timeline > c.s.File.Timeline)
}

// page takes in one page. Failures behind the place where the WAL may end are kept
// in c.fail until a later page shows whether it did.
func (c *checker) page(b []byte, addr postgres.LSN, first bool) error {
	p := parsePage(b)
	if c.fail != nil {
		if !c.s.Partial && c.checkPage(p, b, addr, first) == nil {
			return &DamageError{Err: fmt.Errorf("%w, and valid WAL follows it", c.fail)}
		}
		return nil
	}
	if c.switched {
		if !c.leftover(b, addr) {
			return c.failed(addr, fmt.Errorf("the page at %s comes after the end of the WAL in this segment, and is neither empty nor an older one", addr))
		}
		return nil
	}
	if err := c.checkPage(p, b, addr, first); err != nil {
		return c.failed(addr, err)
	}
	c.timeline = p.timeline
	if c.res.Info.Major == 0 {
		return nil // records of a later version may look otherwise
	}
	if err := c.enter(p, addr, first); err != nil {
		return c.failed(addr, err)
	}
	return c.records(b, addr, p.headerSize())
}

// failed judges what doesn't fit at lsn.
func (c *checker) failed(lsn postgres.LSN, err error) error {
	if !c.s.Ends || lsn < c.s.Sure {
		return &DamageError{Err: err}
	}
	c.fail = err
	return nil
}

// enter looks at what a page says of the record that it starts within.
func (c *checker) enter(p page, addr postgres.LSN, first bool) error {
	goesOn := p.flags&flagContinues != 0
	if goesOn != (p.rest != 0) {
		return fmt.Errorf("the page at %s has the flags %04X and %d bytes of a record", addr, p.flags, p.rest)
	}
	if first {
		c.res.Head = Head{continues: goesOn, abandons: p.flags&flagAbandons != 0, rest: p.rest}
		c.inHead, c.headLeft = goesOn, p.rest
		return nil
	}
	var left uint32
	switch {
	case c.inHead:
		left = c.headLeft
	case c.rec != nil:
		left = c.rec.total - c.rec.have
	}
	if p.rest == left {
		return nil
	}
	if !goesOn && p.flags&flagAbandons != 0 {
		c.inHead, c.rec = false, nil
		return nil
	}
	return fmt.Errorf("the page at %s starts with %d bytes of a record that has %d left", addr, p.rest, left)
}

// records reads what follows a page's header.
func (c *checker) records(b []byte, addr postgres.LSN, at int) error {
	for at < len(b) {
		here := addr + postgres.LSN(at)
		switch {
		case c.inHead:
			n := min(len(b)-at, int(c.headLeft))
			c.feedHead(b[at : at+n])
			at += n
			if c.inHead = c.headLeft > 0; c.inHead {
				continue
			}
		case c.rec == nil:
			total := binary.LittleEndian.Uint32(b[at:])
			if total < headerSize {
				return c.failed(here, fmt.Errorf("there is no record at %s, where one must start", here))
			}
			c.rec = &record{start: here, total: total, wanted: c.s.Wanted}
			continue
		default:
			n := min(len(b)-at, int(c.rec.total-c.rec.have))
			c.rec.feed(b[at : at+n])
			at += n
			if !c.rec.whole() {
				continue
			}
			if err := c.rec.verify(); err != nil {
				return c.failed(c.rec.start, err)
			}
			c.rec.tell()
			c.res.Last = c.rec.start
			c.switched = c.rec.isSwitch()
			c.rec = nil
		}
		end := (at + 7) &^ 7
		if c.switched {
			end = len(b)
		}
		if !zero(b[at:end]) {
			return c.failed(addr+postgres.LSN(at), fmt.Errorf("the bytes at %s, behind a record, are not empty", addr+postgres.LSN(at)))
		}
		at = end
	}
	return nil
}

func (c *checker) feedHead(b []byte) {
	h := &c.res.Head
	c.headLeft -= uint32(len(b))
	keep := headerSize
	if c.s.Wanted != nil {
		keep += maxBody
	}
	if room := keep - len(h.first); room > 0 {
		n := min(room, len(b))
		h.first = append(h.first, b[:n]...)
		b = b[n:]
	}
	h.crc = crc32.Update(h.crc, castagnoli, b)
	h.n += int64(len(b))
}

func (c *checker) finish() {
	switch {
	case c.fail != nil:
		c.res.Ended, c.res.Why, c.res.Tail = true, c.fail, Unknown()
	case c.res.Info.Major == 0:
		c.res.Head, c.res.Tail = Head{}, Unknown()
	case c.inHead:
		c.res.Tail = Tail{through: true}
	case c.rec != nil:
		c.res.Tail = Tail{open: c.rec}
	}
}
