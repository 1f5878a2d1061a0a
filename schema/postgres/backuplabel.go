package postgres

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// BackupLabel is the file backup_label of a base backup, which tells recovery where to
// begin (PostgreSQL manual, "Making a Base Backup Using the Low Level API";
// xlogbackup.c, build_backup_content).
type BackupLabel struct {
	StartLSN      LSN       // START WAL LOCATION: the redo location of the backup's checkpoint
	StartFile     string    // name of the segment that holds StartLSN
	CheckpointLSN LSN       // CHECKPOINT LOCATION
	Method        string    // BACKUP METHOD: streamed, for all that end without an exclusive backup
	FromStandby   bool      // BACKUP FROM: standby
	StartTime     time.Time // zero where its zone is not known here
	Label         string
	Timeline      Timeline // START TIMELINE
}

// ParseBackupLabel reads a backup_label. Lines that it doesn't know are passed over; one
// that is missing and that every version from 13 on writes is an error.
func ParseBackupLabel(text string) (*BackupLabel, error) {
	lines := map[string]string{}
	for line := range strings.Lines(text) {
		if key, value, ok := strings.Cut(strings.TrimRight(line, "\r\n"), ": "); ok {
			if _, again := lines[key]; !again {
				lines[key] = value
			}
		}
	}
	b, err := readBackupLabel(lines)
	if err != nil {
		return nil, fmt.Errorf("backup_label: %w", err)
	}
	return b, nil
}

func readBackupLabel(lines map[string]string) (*BackupLabel, error) {
	b := &BackupLabel{Method: lines["BACKUP METHOD"], Label: lines["LABEL"]}
	start, file, ok := strings.Cut(lines["START WAL LOCATION"], " (file ")
	file, closed := strings.CutSuffix(file, ")")
	if !ok || !closed {
		return nil, errors.New("it has no line START WAL LOCATION with a location and a file")
	}
	var err error
	if b.StartLSN, err = ParseLSN(start); err != nil {
		return nil, err
	}
	segment, err := ClassifyWALName(file)
	if err != nil || segment.Kind != WALSegment {
		return nil, fmt.Errorf("%q is no name of a WAL segment", file)
	}
	b.StartFile = file
	if b.CheckpointLSN, err = ParseLSN(lines["CHECKPOINT LOCATION"]); err != nil {
		return nil, fmt.Errorf("CHECKPOINT LOCATION: %w", err)
	}
	n, err := strconv.ParseUint(lines["START TIMELINE"], 10, 32)
	if err != nil || n == 0 {
		return nil, fmt.Errorf("START TIMELINE %q is no timeline", lines["START TIMELINE"])
	}
	b.Timeline = Timeline(n)
	switch lines["BACKUP FROM"] {
	case "primary", "master": // the latter up to PostgreSQL 14
	case "standby":
		b.FromStandby = true
	default:
		return nil, fmt.Errorf("BACKUP FROM is %q, and must be primary or standby", lines["BACKUP FROM"])
	}
	if b.CheckpointLSN < b.StartLSN {
		return nil, fmt.Errorf("its checkpoint at %s lies before its start at %s", b.CheckpointLSN, b.StartLSN)
	}
	// The zone is that of log_timezone; Go knows the offset of UTC alone.
	if t, err := time.Parse("2006-01-02 15:04:05 MST", lines["START TIME"]); err == nil && (t.Location() == time.UTC || strings.HasSuffix(lines["START TIME"], " GMT")) {
		b.StartTime = t.UTC()
	}
	return b, nil
}
