package postgres

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
)

// ControlData is what pg_controldata tells of a data directory.
type ControlData struct {
	ControlVersion   int // 1300 for PostgreSQL 13 to 16, 1700 for 17, 1800 for 18
	CatalogVersion   int // such as 202406281
	SystemIdentifier uint64
	State            string // such as "in production", "shut down", "in archive recovery"

	Timeline       Timeline // of the latest checkpoint
	PrevTimeline   Timeline
	Checkpoint     LSN // of the latest checkpoint, or restartpoint on a standby
	Redo           LSN
	RedoFile       string // name of the WAL segment that holds Redo
	FullPageWrites bool

	MinRecoveryEnd         LSN // 0/0 when no recovery is under way
	MinRecoveryEndTimeline Timeline
	BackupStart, BackupEnd LSN
	EndOfBackupRequired    bool

	// Settings are the ones that a standby must not have lower than its primary, and
	// others that pg_control keeps, by name: wal_level, max_connections, ...
	Settings map[string]string

	BlockSize       int64
	RelationSegment int64 // blocks per file of a relation
	WALBlockSize    int64
	SegmentSize     int64 // bytes per WAL segment
	ChecksumVersion int   // 0 when data checksums are off
}

// Shut says whether the data directory was left by a clean shutdown.
func (c *ControlData) Shut() bool {
	return c.State == "shut down" || c.State == "shut down in recovery"
}

// ParseControlData reads the output of pg_controldata run under LC_ALL=C
// (pg_controldata.c). Lines that it doesn't know are passed over; a line that is
// missing and that every version from 13 on has is an error.
func ParseControlData(text string) (*ControlData, error) {
	lines := map[string]string{}
	for line := range strings.Lines(text) {
		if key, value, ok := strings.Cut(strings.TrimRight(line, "\r\n"), ":"); ok {
			if _, again := lines[key]; !again {
				lines[key] = strings.TrimSpace(value)
			}
		}
	}
	r := controlReader{lines: lines}
	c := &ControlData{
		ControlVersion:   int(r.number("pg_control version number", 32)),
		CatalogVersion:   int(r.number("Catalog version number", 32)),
		SystemIdentifier: r.number("Database system identifier", 64),
		State:            r.text("Database cluster state"),

		Timeline:       Timeline(r.number("Latest checkpoint's TimeLineID", 32)),
		PrevTimeline:   Timeline(r.number("Latest checkpoint's PrevTimeLineID", 32)),
		Checkpoint:     r.lsn("Latest checkpoint location"),
		Redo:           r.lsn("Latest checkpoint's REDO location"),
		RedoFile:       r.text("Latest checkpoint's REDO WAL file"),
		FullPageWrites: r.text("Latest checkpoint's full_page_writes") == "on",

		MinRecoveryEnd:         r.lsn("Minimum recovery ending location"),
		MinRecoveryEndTimeline: Timeline(r.number("Min recovery ending loc's timeline", 32)),
		BackupStart:            r.lsn("Backup start location"),
		BackupEnd:              r.lsn("Backup end location"),
		EndOfBackupRequired:    r.text("End-of-backup record required") == "yes",

		Settings:        map[string]string{},
		BlockSize:       int64(r.number("Database block size", 31)),
		RelationSegment: int64(r.number("Blocks per segment of large relation", 31)),
		WALBlockSize:    int64(r.number("WAL block size", 31)),
		SegmentSize:     int64(r.number("Bytes per WAL segment", 31)),
		ChecksumVersion: int(r.number("Data page checksum version", 31)),
	}
	for key, v := range lines {
		if name, ok := strings.CutSuffix(key, " setting"); ok {
			switch name { // pg_controldata calls them by older names
			case "max_prepared_xacts":
				name = "max_prepared_transactions"
			case "max_locks_per_xact":
				name = "max_locks_per_transaction"
			}
			c.Settings[name] = v
		}
	}
	if r.err != nil {
		return nil, r.err
	}
	if !ValidSegmentSize(c.SegmentSize) {
		return nil, fmt.Errorf("pg_controldata: %d is no WAL segment size: the control file is damaged", c.SegmentSize)
	}
	return c, nil
}

// controlReader keeps the first error.
type controlReader struct {
	lines map[string]string
	err   error
}

func (r *controlReader) text(key string) string {
	v, ok := r.lines[key]
	if (!ok || v == "") && r.err == nil {
		r.err = fmt.Errorf("pg_controldata: no line %q in its output (was it run under LC_ALL=C?)", key)
	}
	return v
}

func (r *controlReader) number(key string, bits int) uint64 {
	v := r.text(key)
	n, err := strconv.ParseUint(v, 10, bits)
	if err != nil && r.err == nil {
		r.err = fmt.Errorf("pg_controldata: %q: %q is not a number", key, v)
	}
	return n
}

func (r *controlReader) lsn(key string) LSN {
	v := r.text(key)
	l, err := ParseLSN(v)
	if err != nil && r.err == nil {
		r.err = fmt.Errorf("pg_controldata: %q: %w", key, err)
	}
	return l
}

// ControlFileHead is how much of global/pg_control ControlFileIdentity needs.
const ControlFileHead = 16

// ControlFileIdentity reads the system identifier from the beginning of the file
// global/pg_control, whose first fields every version from 13 on has in the same
// place (pg_control.h).
func ControlFileIdentity(head []byte) (uint64, error) {
	if len(head) < ControlFileHead {
		return 0, fmt.Errorf("pg_control is cut short at %d bytes", len(head))
	}
	id := binary.LittleEndian.Uint64(head)
	version := binary.LittleEndian.Uint32(head[8:])
	if id == 0 || version < 1300 || version > 9999 {
		return 0, fmt.Errorf("pg_control is damaged or not of PostgreSQL 13 or later (format %d, system identifier %d)", version, id)
	}
	return id, nil
}
