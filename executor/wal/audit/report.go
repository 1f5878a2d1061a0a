package audit

import (
	"encoding/json"

	"pg_manage/schema/postgres"
)

// Version of the JSON that Report and PushReport are.
const Version = 1

// Report is what Check finds in one archive. Its JSON form is read by other hosts.
type Report struct {
	Version          int           `json:"version"`
	Target           string        `json:"target"`
	SystemIdentifier string        `json:"system_identifier"` // decimal
	SegmentSize      int64         `json:"segment_size"`      // bytes
	Quick            bool          `json:"quick"`
	Segments         uint64        `json:"segments"`     // complete ones, each counted once
	BytesStored      int64         `json:"bytes_stored"` // of all files of the archive, as they are stored
	Timelines        []Timeline    `json:"timelines"`
	Problems         []Problem     `json:"problems"`
	Recoverable      []Recoverable `json:"recoverable"`
	Error            string        `json:"error"` // why the archive could not be looked at; then the rest says nothing
}

// MarshalJSON writes lists that are empty as [].
func (r Report) MarshalJSON() ([]byte, error) {
	type plain Report
	p := plain(r)
	p.Timelines, p.Problems, p.Recoverable = full(p.Timelines), full(p.Problems), full(p.Recoverable)
	return json.Marshal(p)
}

func full[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}

// Timeline is what an archive has of one timeline.
type Timeline struct {
	Timeline postgres.Timeline `json:"timeline"`
	Parent   postgres.Timeline `json:"parent"`   // 0 when it has none or its history isn't known
	ForkLSN  string            `json:"fork_lsn"` // where it left its parent
	Ranges   []Range           `json:"ranges"`   // sorted, with holes between them
	Missing  []Missing         `json:"missing"`  // the holes, with those towards parent and children
}

// MarshalJSON writes lists that are empty as [].
func (t Timeline) MarshalJSON() ([]byte, error) {
	type plain Timeline
	p := plain(t)
	p.Ranges, p.Missing = full(p.Ranges), full(p.Missing)
	return json.Marshal(p)
}

// Range is a run of complete segments without a hole.
type Range struct {
	From     string       `json:"from"`
	To       string       `json:"to"`
	FromLSN  postgres.LSN `json:"from_lsn"`
	ToLSN    postgres.LSN `json:"to_lsn"` // the first byte that is not in it
	Segments uint64       `json:"segments"`
}

// Missing is a run of segments that the archive ought to have and hasn't.
type Missing struct {
	From     string `json:"from"`
	To       string `json:"to"`
	Segments uint64 `json:"segments"`
}

// Kinds of problems.
const (
	KindDamaged      = "damaged"       // the content is surely wrong, or a history file is missing
	KindForeign      = "foreign"       // nothing that belongs there
	KindWrongContent = "wrong-content" // sound content, of another file, cluster or timeline
	KindDuplicate    = "duplicate"     // the same file under two extensions
	KindUnfinished   = "unfinished"    // left by a writer that died
	KindUnreadable   = "unreadable"    // there, and cannot be read, while the target answers otherwise
)

// Problem is something wrong with one file of the archive.
type Problem struct {
	Name   string `json:"name"` // relative to the archive's directory
	Kind   string `json:"kind"`
	Detail string `json:"detail"`
}

// Recoverable is a stretch of WAL that recovery can read without a hole: from any base
// backup that starts in it to any point in it. Damaged segments end it.
type Recoverable struct {
	Timeline postgres.Timeline   `json:"timeline"` // on which it ends
	FromLSN  postgres.LSN        `json:"from_lsn"`
	ToLSN    postgres.LSN        `json:"to_lsn"`  // the first byte that is not in it
	Through  []postgres.Timeline `json:"through"` // the timelines that it is read from, oldest first
}
