package take

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"

	"pg_manage/executor/basebackup/pack"
	"pg_manage/schema/postgres"
)

// slot makes the server keep its WAL while the session lasts.
func (x *session) slot(ctx context.Context) (string, error) {
	name := "pg_manage_backup_" + strconv.FormatUint(uint64(x.conn.PID()), 10)
	if _, err := x.row(ctx, "SELECT lsn FROM pg_create_physical_replication_slot($1, true, true)", name); err != nil {
		return "", fmt.Errorf("make the server keep its WAL during the backup, with a temporary replication slot: %w", err)
	}
	return name, nil
}

// held says whether the slot has kept all WAL from start on.
func (x *session) held(ctx context.Context, slot string, start postgres.LSN) error {
	rows, err := x.query(ctx, "SELECT restart_lsn, wal_status FROM pg_replication_slots WHERE slot_name = $1", slot)
	if err != nil {
		return err
	}
	if len(rows) == 1 && rows[0][1] != "lost" {
		if from, err := postgres.ParseLSN(rows[0][0]); err == nil && from <= start {
			return nil
		}
	}
	return fmt.Errorf("the server did not keep its WAL from %s on during the backup: max_slot_wal_keep_size may be too low for what is written meanwhile", start)
}

// segments opens files of pg_wal that go into the backup: those of names, which must be
// there and whole, and what marks each segment as archived, as pg_basebackup does, lest
// the restored server archive them again.
func (o *Options) segments(names []string, segmentSize int64, system uint64) ([]pack.File, error) {
	var all []pack.File
	for _, name := range names {
		e, err := o.walFile(name, segmentSize, system)
		if err != nil {
			return nil, fmt.Errorf("WAL for the backup: %w", err)
		}
		all = append(all, e, pack.File{Path: "pg_wal/archive_status/" + name + ".done", Data: []byte{}})
	}
	return all, nil
}

func (o *Options) walFile(name string, segmentSize int64, system uint64) (pack.File, error) {
	file := filepath.Join(o.Server.DataDir, "pg_wal", name)
	w, err := postgres.ClassifyWALName(name)
	if err != nil {
		return pack.File{}, err
	}
	f, err := os.Open(file)
	if err != nil {
		return pack.File{}, err
	}
	defer f.Close() //nolint:errcheck // only read
	st, err := f.Stat()
	if err != nil {
		return pack.File{}, err
	}
	e := pack.File{Path: "pg_wal/" + name, From: file}
	if w.Kind == postgres.WALHistory {
		return e, nil
	}
	head := make([]byte, postgres.SegmentHeaderSize)
	if _, err := io.ReadFull(f, head); err != nil {
		return pack.File{}, fmt.Errorf("%s: %w", file, err)
	}
	info, err := postgres.CheckSegment(head, w, st.Size())
	switch {
	case err != nil:
		return pack.File{}, err
	case st.Size() != segmentSize || info.SystemIdentifier != system:
		return pack.File{}, fmt.Errorf("%s has %d bytes and the system identifier %d, and should have %d and %d", file, st.Size(), info.SystemIdentifier, segmentSize, system)
	}
	return e, nil
}

// coldSegments names the WAL that a stopped instance starts with: from its redo location
// to stop, and the segment after it where the last record may go on.
func (o *Options) coldSegments(c *postgres.ControlData, start, stop postgres.LSN) ([]string, error) {
	var names []string
	size := postgres.LSN(c.SegmentSize)
	last := stop / size * size
	for at := start / size * size; at <= last+size; at += size {
		name, err := o.coldSegment(c, at)
		switch {
		case err == nil:
			names = append(names, name)
		case at <= last:
			return nil, err
		}
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
