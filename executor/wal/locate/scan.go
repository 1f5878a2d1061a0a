package locate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"pg_manage/executor/repo/storage"
	"pg_manage/executor/wal/audit/walcheck"
	"pg_manage/schema/postgres"
)

// Scan is WAL of an archive that is searched: what recovery to a timeline reads from one
// place to another.
type Scan struct {
	// Open gives the plain content of a segment; storage.ErrNotExist when it is not there.
	Open             func(ctx context.Context, f postgres.WALFile) (io.ReadCloser, error)
	SystemIdentifier uint64
	SegmentSize      int64 // bytes
	Timeline         postgres.Timeline
	Branches         []postgres.Branch // of the timeline's history
	From, To         postgres.LSN      // To is not in it
	Workers          int               // segments that are read at once; less than 1 is 1
	// Progress, unless nil, is told how many of all segments have been read.
	Progress func(done, total int)
}

// MissingError is a segment that the archive does not have.
type MissingError struct{ Name string }

func (e *MissingError) Error() string { return e.Name + " is not in the archive" }

// summary is what one segment has.
type summary struct {
	n       uint64
	file    postgres.WALFile
	res     *walcheck.Result
	matches []Record
	newest  *Record // the end of a transaction with the highest time
	err     error
}

// maxMatches bounds what is kept of a segment.
const maxMatches = 10_000

// search says what of a segment is kept.
type search struct {
	match func(Record) bool
	first bool // the first match alone
}

// visit is told of segments from the newest to the oldest; done ends the search.
type visit func(s *summary) (done bool)

// run reads the segments.
func (s *Scan) run(ctx context.Context, what search, visit visit) error {
	if !postgres.ValidSegmentSize(s.SegmentSize) {
		return fmt.Errorf("%d is no WAL segment size", s.SegmentSize)
	}
	size := postgres.LSN(s.SegmentSize)
	if s.To <= s.From {
		return nil
	}
	first, last := uint64(s.From/size), uint64((s.To-1)/size)
	total := last - first + 1
	ctx, cancel := context.WithCancel(ctx)
	workers := uint64(max(s.Workers, 1))
	ahead := make(chan chan *summary, workers) // bounds what is read but not looked at
	ended := make(chan struct{})
	defer func() {
		cancel()
		for range ahead { // until none is sent any more
		}
		<-ended
	}()
	go func() {
		defer close(ended)
		defer close(ahead)
		s.dispatch(ctx, what, first, last, ahead)
	}()
	var following []*summary
	for read := uint64(0); read < total; read++ {
		var next *summary
		select {
		case c, ok := <-ahead:
			if !ok {
				return context.Cause(ctx)
			}
			next = <-c
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if next.err != nil {
			return fmt.Errorf("%s: %w", next.file.Name, next.err)
		}
		if err := s.join(next, following); err != nil {
			return err
		}
		if !next.res.Tail.Through() {
			following = following[:0]
		}
		following = append([]*summary{next}, following...)
		if s.Progress != nil {
			s.Progress(int(read+1), int(total))
		}
		if visit(next) {
			return nil
		}
	}
	return nil
}

// dispatch starts the reading of segments, newest first, as room for them comes.
func (s *Scan) dispatch(ctx context.Context, what search, first, last uint64, ahead chan<- chan *summary) {
	slots := make(chan struct{}, max(s.Workers, 1))
	defer func() { // all readers have ended when this has
		for range cap(slots) {
			slots <- struct{}{}
		}
	}()
	for k := range last - first + 1 {
		c := make(chan *summary, 1)
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			return
		}
		go func() {
			defer func() { <-slots }()
			c <- s.read(ctx, last-k, what, k == 0)
		}()
		select {
		case ahead <- c:
		case <-ctx.Done():
			return
		}
	}
}

// join completes a record that goes on in the segments after this one.
func (s *Scan) join(of *summary, following []*summary) error {
	tail := of.res.Tail
	if tail.Through() {
		return nil
	}
	for _, f := range following {
		through := f.res.Tail.Through()
		next, err := walcheck.Join(tail, f.res.Head, postgres.LSN(f.n*uint64(s.SegmentSize)))
		if err != nil {
			return fmt.Errorf("%w; %s or %s is damaged", err, of.file.Name, f.file.Name)
		}
		if !through {
			break
		}
		tail = next
	}
	return of.err
}

// read reads one segment.
func (s *Scan) read(ctx context.Context, n uint64, what search, newest bool) *summary {
	start := postgres.LSN(n * uint64(s.SegmentSize))
	out := &summary{n: n}
	name, err := postgres.SegmentName(s.owner(n), start, s.SegmentSize)
	if err == nil {
		out.file, err = postgres.ClassifyWALName(name)
	}
	if err != nil {
		out.err = err
		return out
	}
	r, err := s.Open(ctx, out.file)
	if errors.Is(err, storage.ErrNotExist) {
		err = &MissingError{name}
	}
	if err != nil {
		out.err = err
		return out
	}
	segment := walcheck.Segment{File: out.file, Size: s.SegmentSize, Start: start, Ends: newest, Sure: start}
	var major int
	segment.Wanted = &walcheck.Wanted{Keep: interesting, Record: func(w walcheck.Record) { out.take(w, major, what) }}
	head := &peek{Reader: r}
	segment.Wanted.Keep = func(resource, info byte) bool {
		if major == 0 {
			major = head.major(out.file, s.SegmentSize)
		}
		return interesting(resource, info)
	}
	res, err := walcheck.Check(head, segment, s.SystemIdentifier)
	out.res = res
	if err == nil && res.Info.Major == 0 {
		err = fmt.Errorf("it is of a version of PostgreSQL that this program does not know (%04X)", res.Info.Magic)
	}
	if err = errors.Join(err, r.Close()); err != nil && out.err == nil {
		out.err = err
	}
	return out
}

// peek keeps the beginning of what is read.
type peek struct {
	io.Reader
	head []byte
}

func (p *peek) Read(b []byte) (int, error) {
	n, err := p.Reader.Read(b)
	if room := postgres.SegmentHeaderSize - len(p.head); room > 0 {
		p.head = append(p.head, b[:min(n, room)]...)
	}
	return n, err
}

func (p *peek) major(f postgres.WALFile, size int64) int {
	info, _ := postgres.CheckSegment(p.head, f, size) // Check has done it with the same result
	return info.Major
}

// take takes in a record.
func (s *summary) take(w walcheck.Record, major int, what search) {
	r, err := parse(w, major)
	if err != nil {
		if s.err == nil {
			s.err = fmt.Errorf("the record at %s: %w", w.Start, err)
		}
		return
	}
	if r.Kind != RestorePoint && (s.newest == nil || r.Time.After(s.newest.Time)) {
		s.newest = &r
	}
	if what.match != nil && (!what.first || len(s.matches) == 0) && len(s.matches) < maxMatches && what.match(r) {
		s.matches = append(s.matches, r)
	}
}

// owner gives the timeline that bears a segment on the way to the scan's (xlogrecovery.c,
// XLogFileReadAnyTLI: of those that have begun by then the newest).
func (s *Scan) owner(n uint64) postgres.Timeline {
	for _, b := range s.Branches {
		if n < uint64(b.End)/uint64(s.SegmentSize) {
			return b.Timeline
		}
	}
	return s.Timeline
}

// Slack is how far the clocks of a cluster's servers are taken to go wrong at most.
const Slack = 10 * time.Minute
