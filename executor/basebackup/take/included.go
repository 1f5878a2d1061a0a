package take

import (
	"context"
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
