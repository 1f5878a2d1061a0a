package take

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"pg_manage/schema/postgres"
)

// coldRange is from where to where a stopped instance needs WAL to start: to the end of the
// record of its last checkpoint, and as far as a standby has to recover.
func (o *Options) coldRange(c *postgres.ControlData) (start, stop postgres.LSN, err error) {
	stop, err = o.recordEnd(c, c.Checkpoint)
	return c.Redo, max(stop, c.MinRecoveryEnd), err
}

// Sizes of the headers of WAL pages, and of records (xlog_internal.h, xlogrecord.h).
const (
	pageHeader        = 24
	segmentPageHeader = 40 // of the first page of a segment
	recordHeader      = 24
	recordAlign       = 8
	maxCheckpoint     = 4096 // a record of a checkpoint is much smaller
)

// recordEnd is where the record at a location ends.
func (o *Options) recordEnd(c *postgres.ControlData, at postgres.LSN) (postgres.LSN, error) {
	name, err := o.coldSegment(c, at)
	if err != nil {
		return 0, err
	}
	f, err := os.Open(filepath.Join(o.Server.DataDir, "pg_wal", name))
	if err != nil {
		return 0, err
	}
	defer f.Close()    //nolint:errcheck // only read
	var length [4]byte // a record is aligned, so that the pages' ends do not cut it
	if _, err := f.ReadAt(length[:], int64(at)%c.SegmentSize); err != nil {
		return 0, fmt.Errorf("%s: the checkpoint at %s: %w", name, at, err)
	}
	n := binary.LittleEndian.Uint32(length[:])
	if n < recordHeader || n > maxCheckpoint || at%recordAlign != 0 {
		return 0, fmt.Errorf("%s has no record of a checkpoint at %s, where pg_control says that the last one is", name, at)
	}
	return afterRecord(at, postgres.LSN(n), postgres.LSN(c.WALBlockSize), postgres.LSN(c.SegmentSize)), nil
}

// afterRecord is where a record of n bytes at a location ends, page headers in between
// included, and aligned.
func afterRecord(at, n, pageSize, segmentSize postgres.LSN) postgres.LSN {
	for {
		room := pageSize - at%pageSize
		if n <= room {
			return (at + n + recordAlign - 1) / recordAlign * recordAlign
		}
		n -= room
		at += room
		if at%segmentSize == 0 {
			at += segmentPageHeader
		} else {
			at += pageHeader
		}
	}
}

// coldSegments names the WAL that a stopped instance starts with, and the history of its
// timelines.
func (o *Options) coldSegments(c *postgres.ControlData, start, stop postgres.LSN) ([]string, error) {
	var names []string
	size := postgres.LSN(c.SegmentSize)
	for at := start / size * size; at < stop; at += size {
		name, err := o.coldSegment(c, at)
		if err != nil {
			return nil, err
		}
		names = append(names, name)
	}
	// A history that is nowhere is no reason to fail: the server starts without it.
	for _, tli := range timelines(c) {
		if _, err := os.Stat(filepath.Join(o.Server.DataDir, "pg_wal", postgres.HistoryName(tli))); err == nil {
			names = append(names, postgres.HistoryName(tli))
		}
	}
	return names, nil
}

// coldSegment names the segment at a location, of the newest timeline that has it.
func (o *Options) coldSegment(c *postgres.ControlData, at postgres.LSN) (string, error) {
	var errs []error
	for _, tli := range timelines(c) {
		name, err := postgres.SegmentName(tli, at, c.SegmentSize)
		if err == nil {
			_, err = o.walFile(name, c.SegmentSize, c.SystemIdentifier)
		}
		if err == nil {
			return name, nil
		}
		errs = append(errs, err)
	}
	return "", fmt.Errorf("WAL that the instance starts with: %w", errors.Join(errs...))
}

// timelines are those that recovery of a stopped instance may read, the newest first.
func timelines(c *postgres.ControlData) []postgres.Timeline {
	if c.MinRecoveryEndTimeline > c.Timeline {
		return []postgres.Timeline{c.MinRecoveryEndTimeline, c.Timeline}
	}
	return []postgres.Timeline{c.Timeline}
}
