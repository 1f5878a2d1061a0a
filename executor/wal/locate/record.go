package locate

import (
	"encoding/binary"
	"errors"
	"strings"
	"time"

	"pg_manage/executor/wal/audit/walcheck"
	"pg_manage/schema/postgres"
)

// Kind of a record.
type Kind string

// Kinds of records.
const (
	Commit       Kind = "commit"
	Abort        Kind = "abort"
	RestorePoint Kind = "restore-point"
)

// Record is a record at which recovery can end.
type Record struct {
	Kind Kind
	LSN  postgres.LSN // its start
	Time time.Time    // as the server wrote it, UTC
	XID  uint32       // of Commit and Abort; 0 when it could not be read
	Name string       // of RestorePoint
}

// Resource managers and kinds of records (rmgrlist.h, pg_control.h, xact.h). They are the
// same from PostgreSQL 13 to 18.
const (
	rmXLOG = 0
	rmXact = 1

	xlogRestorePoint = 0x70

	xactOperation     = 0x70
	xactCommit        = 0x00
	xactAbort         = 0x20
	xactCommitPrep    = 0x30
	xactAbortPrep     = 0x40
	xactHasInfo       = 0x80
	infoHasDB         = 1 << 0
	infoHasSubxacts   = 1 << 1
	infoHasRelations  = 1 << 2
	infoHasInvals     = 1 << 3
	infoHasTwophase   = 1 << 4
	infoHasDropped    = 1 << 8 // of PostgreSQL 15 and later
	majorWideDropped  = 18     // whose entries of dropped statistics are 16 bytes, not 12
	restorePointBytes = 64
)

// interesting says which records are looked at.
func interesting(resource, info byte) bool {
	switch resource {
	case rmXLOG:
		return info&0xF0 == xlogRestorePoint
	case rmXact:
		switch info & xactOperation {
		case xactCommit, xactAbort, xactCommitPrep, xactAbortPrep:
			return true
		}
	}
	return false
}

var errShort = errors.New("the record is shorter than its kind can be")

// parse reads a record that interesting has let pass. major is the server's version.
func parse(r walcheck.Record, major int) (Record, error) {
	data, err := mainData(r.Body)
	if err != nil {
		return Record{}, err
	}
	if len(data) < 8 {
		return Record{}, errShort
	}
	out := Record{LSN: r.Start, Time: stamp(data), XID: r.XID}
	data = data[8:]
	if r.Resource == rmXLOG {
		name, _, _ := strings.Cut(string(data[:min(len(data), restorePointBytes)]), "\x00")
		out.Kind, out.XID, out.Name = RestorePoint, 0, name
		return out, nil
	}
	op := r.Info & xactOperation
	out.Kind = Commit
	if op == xactAbort || op == xactAbortPrep {
		out.Kind = Abort
	}
	if op == xactCommitPrep || op == xactAbortPrep { // the header has that of who ended it
		out.XID = preparedXID(data, r.Info, major)
	}
	return out, nil
}

// mainData finds a record's own data behind the headers (xlogrecord.h). Records of these
// kinds refer to no blocks.
func mainData(b []byte) ([]byte, error) {
	for len(b) > 1 {
		switch b[0] {
		case 255: // short: its length follows
			return b[2:], nil
		case 254: // long
			if len(b) < 5 {
				return nil, errShort
			}
			return b[5:], nil
		case 253: // replication origin
			b = b[min(len(b), 3):]
		case 252: // top-level transaction
			b = b[min(len(b), 5):]
		default:
			return nil, errors.New("the record refers to blocks, which its kind never does")
		}
	}
	return nil, errShort
}

// stamp reads a TimestampTz: microseconds since 2000 (timestamp.h).
func stamp(b []byte) time.Time {
	epoch := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	us := int64(binary.LittleEndian.Uint64(b))
	return epoch.Add(time.Duration(us/1e6) * time.Second).Add(time.Duration(us%1e6) * time.Microsecond)
}

// preparedXID reads the transaction that was prepared (xactdesc.c, ParseCommitRecord); 0
// when the record is too long to have been kept to there.
func preparedXID(b []byte, info byte, major int) uint32 {
	le := binary.LittleEndian
	ok := true
	skip := func(n uint64) {
		if ok = ok && uint64(len(b)) >= n; ok {
			b = b[n:]
		}
	}
	list := func(size uint64) {
		if ok = ok && len(b) >= 4; ok {
			skip(4 + uint64(le.Uint32(b))*size)
		}
	}
	if info&xactHasInfo == 0 || len(b) < 4 {
		return 0
	}
	flags := le.Uint32(b)
	skip(4)
	if flags&infoHasDB != 0 {
		skip(8)
	}
	if flags&infoHasSubxacts != 0 {
		list(4)
	}
	if flags&infoHasRelations != 0 {
		list(12)
	}
	if flags&infoHasDropped != 0 {
		size := uint64(12)
		if major >= majorWideDropped {
			size = 16
		}
		list(size)
	}
	if flags&infoHasInvals != 0 {
		list(16)
	}
	if flags&infoHasTwophase == 0 || !ok || len(b) < 4 {
		return 0
	}
	return le.Uint32(b)
}
