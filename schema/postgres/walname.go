package postgres

import (
	"fmt"
	"strconv"
	"strings"
)

// Limits of a cluster's WAL segment size, which is a power of two between them, in
// bytes (initdb --wal-segsize; xlog_internal.h, IsValidWalSegSize).
const (
	MinSegmentSize     = 1 << 20
	MaxSegmentSize     = 1 << 30
	DefaultSegmentSize = 16 << 20
)

// MaxNoteSize bounds what is taken for a .history or a .backup file, in bytes. PostgreSQL
// itself writes a few lines.
const MaxNoteSize = 1 << 20

// ValidSegmentSize says whether a cluster may have WAL segments of this size.
func ValidSegmentSize(size int64) bool {
	return size >= MinSegmentSize && size <= MaxSegmentSize && size&(size-1) == 0
}

// WALKind says which of the files that PostgreSQL archives a name stands for.
type WALKind int

// Kinds of files that archive_command is called for.
const (
	WALSegment WALKind = iota + 1 // 000000010000000000000001
	WALPartial                    // 000000010000000000000001.partial: the last, unfinished segment of a timeline that was left
	WALHistory                    // 00000002.history: where a timeline branched off
	WALBackup                     // 000000010000000000000002.00000028.backup: start and end of a base backup
)

func (k WALKind) String() string {
	switch k {
	case WALSegment:
		return "WAL segment"
	case WALPartial:
		return "partial WAL segment"
	case WALHistory:
		return "timeline history file"
	case WALBackup:
		return "backup history file"
	}
	return "no WAL file"
}

// WALFile is the name of a file that PostgreSQL archives, taken apart. Which LSN a
// segment starts at depends on the segment size: see Start.
type WALFile struct {
	Kind     WALKind
	Name     string
	Timeline Timeline
	Log      uint32 // second group of eight digits; 0 for a history file
	Seg      uint32 // third group; 0 for a history file
	Offset   uint32 // WALBackup: where in the segment the backup starts
}

// IsSegment says whether the file holds WAL pages, whole or partial.
func (f WALFile) IsSegment() bool { return f.Kind == WALSegment || f.Kind == WALPartial }

// SegmentName is the first 24 digits: the segment that the name belongs to.
func (f WALFile) SegmentName() string {
	if f.Kind == WALHistory {
		return ""
	}
	return f.Name[:24]
}

// Start is the LSN of the first byte of the segment. A name that doesn't exist at
// this segment size is an error: with segments of 16 MiB the third group ends at 000000FF.
func (f WALFile) Start(segSize int64) (LSN, error) {
	if !ValidSegmentSize(segSize) {
		return 0, fmt.Errorf("%d is no WAL segment size: want a power of two from 1 MiB to 1 GiB", segSize)
	}
	if f.Kind == WALHistory {
		return 0, fmt.Errorf("%s names no WAL segment", f.Name)
	}
	if int64(f.Seg) >= (1<<32)/segSize {
		return 0, fmt.Errorf("%s is no name of a WAL segment of %d bytes: its last eight digits are too large", f.Name, segSize)
	}
	return LSN(uint64(f.Log)<<32 + uint64(f.Seg)*uint64(segSize)), nil
}

// Next is the segment after a segment, on the same timeline.
func (f WALFile) Next(segSize int64) (WALFile, error) {
	start, err := f.Start(segSize)
	if err != nil {
		return WALFile{}, err
	}
	name, err := SegmentName(f.Timeline, start+LSN(segSize), segSize)
	if err != nil {
		return WALFile{}, err
	}
	return ClassifyWALName(name)
}

// ClassifyWALName takes apart the name of a file as archive_command and
// restore_command get it in %f. Any other name is refused, and with it any path:
// only upper-case hexadecimal digits and the known endings pass
// (xlog_internal.h, IsXLogFileName and its neighbours).
func ClassifyWALName(name string) (WALFile, error) {
	f, ok := classify(name)
	if !ok {
		return WALFile{}, fmt.Errorf("%q is no name of a WAL segment, .partial, .history or .backup file", name)
	}
	return f, nil
}

func classify(name string) (f WALFile, ok bool) {
	if digits, ok := strings.CutSuffix(name, ".history"); ok {
		tli, ok := hex8(digits)
		if !ok || tli == 0 {
			return WALFile{}, false
		}
		return WALFile{Kind: WALHistory, Name: name, Timeline: Timeline(tli)}, true
	}
	if len(name) < 24 {
		return WALFile{}, false
	}
	tli, ok1 := hex8(name[:8])
	log, ok2 := hex8(name[8:16])
	seg, ok3 := hex8(name[16:24])
	if !ok1 || !ok2 || !ok3 || tli == 0 {
		return WALFile{}, false
	}
	f = WALFile{Name: name, Timeline: Timeline(tli), Log: log, Seg: seg}
	switch rest := name[24:]; {
	case rest == "":
		f.Kind = WALSegment
	case rest == ".partial":
		f.Kind = WALPartial
	case len(rest) == len(".00000028.backup") && rest[0] == '.' && rest[9:] == ".backup":
		off, ok := hex8(rest[1:9])
		if !ok {
			return WALFile{}, false
		}
		f.Kind, f.Offset = WALBackup, off
	default:
		return WALFile{}, false
	}
	return f, true
}

// SegmentName is the name of the segment of a timeline that holds the byte at lsn.
func SegmentName(tli Timeline, lsn LSN, segSize int64) (string, error) {
	if !ValidSegmentSize(segSize) {
		return "", fmt.Errorf("%d is no WAL segment size: want a power of two from 1 MiB to 1 GiB", segSize)
	}
	return fmt.Sprintf("%08X%08X%08X", uint32(tli), uint32(lsn>>32), uint32(lsn)/uint32(segSize)), nil
}

// HistoryName is the name of the history file of a timeline.
func HistoryName(tli Timeline) string { return fmt.Sprintf("%08X.history", uint32(tli)) }

// hex8 reads exactly eight upper-case hexadecimal digits.
func hex8(s string) (uint32, bool) {
	if len(s) != 8 || strings.Trim(s, "0123456789ABCDEF") != "" {
		return 0, false
	}
	v, err := strconv.ParseUint(s, 16, 32)
	return uint32(v), err == nil
}
