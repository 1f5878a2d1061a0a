package planner

import "time"

// ArchiveState is what the WAL archive of a cluster is.
type ArchiveState string

// States of an archive. StateUnknown is the zero value: nobody could look yet.
const (
	ArchiveUnknown     ArchiveState = ""
	ArchiveAbsent      ArchiveState = "absent"      // not initialised
	ArchiveOurs        ArchiveState = "ours"        // archive.json names a system identifier; see SystemIdentifier
	ArchiveForeign     ArchiveState = "foreign"     // holds files, but no archive.json
	ArchiveUnreachable ArchiveState = "unreachable" // the target could not be asked; see Error
)

// Known says that this is a state that a node may answer with.
func (s ArchiveState) Known() bool {
	switch s {
	case ArchiveAbsent, ArchiveOurs, ArchiveForeign, ArchiveUnreachable:
		return true
	}
	return false
}

// ArchiveFact is how the node sees the archive at one target, through its own mounts and keys.
type ArchiveFact struct {
	Target           string       `json:"target"`
	State            ArchiveState `json:"state"`
	SystemIdentifier string       `json:"system_identifier,omitempty"`
	Error            string       `json:"error,omitempty"`
	Took             time.Time    `json:"took,omitzero"`      // the newest time at which it surely took WAL of this node
	Evidence         string       `json:"evidence,omitempty"` // how it is known: "asked", "archiver" (pg_stat_archiver shows success) or "queue" (and nothing waits for it)
}

// Archive gives what is known of the archive at a target; the zero state when nothing is.
func (f *NodeFacts) Archive(target string) ArchiveFact {
	for _, a := range f.Archives {
		if a.Target == target {
			return a
		}
	}
	return ArchiveFact{Target: target, Error: "the target was not asked"}
}

// ArchivingFacts are what the archiver on the node tells of its work, without asking a
// target. Known is false, and the rest empty, where there is none to tell.
type ArchivingFacts struct {
	Known    bool            `json:"known"`
	Queues   []QueueFact     `json:"queues,omitempty"`
	Archiver ArchiverProcess `json:"archiver,omitzero"`
	Backlog  Backlog         `json:"backlog,omitzero"` // segments that PostgreSQL waits for
}

// QueueFact is the WAL that waits for one target beside PostgreSQL's own backlog.
type QueueFact struct {
	Target   string       `json:"target"`
	Segments int          `json:"segments"`
	Bytes    int64        `json:"bytes"`
	Error    string       `json:"error,omitempty"` // why they wait; "" when they are on their way
	Dropped  []DroppedWAL `json:"dropped,omitempty"`
}

// DroppedWAL is a range of segments that a target never got: more waited for it than
// its queue_limit. Both ends are names of WAL segments, and were dropped too.
type DroppedWAL struct {
	From     string    `json:"from"`
	To       string    `json:"to"`
	Segments int       `json:"segments"`
	Since    time.Time `json:"since,omitzero"`
}

// ArchiverProcess is the process on the node that stores WAL.
type ArchiverProcess struct {
	Running   bool      `json:"running"`
	PID       int       `json:"pid,omitempty"`
	RateBytes int64     `json:"rate_bytes,omitempty"` // WAL a second, lately
	Last      string    `json:"last,omitempty"`       // the newest that it stored
	LastTime  time.Time `json:"last_time,omitzero"`
	Error     string    `json:"error,omitempty"`
	ErrorTime time.Time `json:"error_time,omitzero"`
}

// Backlog is WAL that waits in pg_wal.
type Backlog struct {
	Segments int   `json:"segments"`
	Bytes    int64 `json:"bytes"`
}

// Queue gives what waits for a target; nil when that is not known.
func (a *ArchivingFacts) Queue(target string) *QueueFact {
	for i := range a.Queues {
		if a.Queues[i].Target == target {
			return &a.Queues[i]
		}
	}
	return nil
}
