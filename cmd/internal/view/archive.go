package view

import (
	"time"

	"pg_manage/planner"
	"pg_manage/schema"
)

// ArchiveStatusPage is the JSON form of `archive status`.
type ArchiveStatusPage struct {
	FormatVersion string              `json:"format_version"`
	Time          time.Time           `json:"time"`
	Healthy       bool                `json:"healthy"`
	Nodes         []NodeArchiveStatus `json:"nodes"`
}

// NodeArchiveStatus is how one node sees the archives of its cluster.
type NodeArchiveStatus struct {
	Cluster  string                   `json:"cluster"`
	Node     string                   `json:"node"` // "" when there is none to ask
	Archive  *ArchiveStatus           `json:"archive,omitempty"`
	Archiver *planner.ArchiverProcess `json:"archiver,omitempty"` // the process that stores WAL; nil when the node does not tell
	Contents []ArchiveAudit           `json:"contents,omitempty"` // of each archive, by names alone
	Error    string                   `json:"error,omitempty"`    // why nothing is known
}

// NewNodeArchiveStatus judges how a node sees the archives of its cluster.
func NewNodeArchiveStatus(c *schema.Cluster, n *schema.Node, obs *planner.Observed, now time.Time) NodeArchiveStatus {
	s := NodeArchiveStatus{Cluster: c.Name, Node: n.Name}
	f := obs.Node(c.Name, n.Name)
	switch {
	case f == nil:
		s.Error = "it was not looked at"
	case f.Unreachable != "":
		s.Error = "unreachable: " + f.Unreachable
	default:
		s.Archive = archiveStatus(c, obs, n, now)
		if f.Archiving.Known {
			s.Archiver = &f.Archiving.Archiver
		}
	}
	return s
}

// Healthy says that every archive is there, takes WAL and lacks none.
func (s NodeArchiveStatus) Healthy() bool {
	if s.Archive == nil {
		return false
	}
	for _, t := range s.Archive.Targets {
		switch t.State {
		case archiveOK, archiveIdle, archiveBehind:
		case archiveUnknown:
			if t.Archive != planner.ArchiveOurs { // a standby archives nothing, and can say only this
				return false
			}
		default:
			return false
		}
		if len(t.Dropped) > 0 {
			return false
		}
	}
	for _, a := range s.Contents {
		if !a.Whole() {
			return false
		}
	}
	return true
}

// ArchiveCheck is the JSON form of `archive check`.
type ArchiveCheck struct {
	FormatVersion string         `json:"format_version"`
	Quick         bool           `json:"quick"` // only names were looked at, not what is in the files
	Archives      []ArchiveAudit `json:"archives"`
}

// ArchiveAudit is what was found in the archive of a cluster at one target. Its parts are
// those that `pg_manage hook audit` prints.
type ArchiveAudit struct {
	Cluster          string          `json:"cluster"`
	Node             string          `json:"node"` // that read it; "" when there is none to do it
	Target           string          `json:"target"`
	SystemIdentifier string          `json:"system_identifier,omitempty"`
	SegmentSize      int64           `json:"segment_size_bytes,omitempty"`
	Segments         int64           `json:"segments"`
	StoredBytes      int64           `json:"stored_bytes"`
	Timelines        []AuditTimeline `json:"timelines"`
	Problems         []AuditProblem  `json:"problems"`
	Recoverable      []AuditSpan     `json:"recoverable"`
	Error            string          `json:"error,omitempty"` // why it could not be looked at
}

// AuditTimeline is the WAL of one timeline.
type AuditTimeline struct {
	Timeline uint32       `json:"timeline"`
	Parent   uint32       `json:"parent,omitempty"`
	ForkLSN  string       `json:"fork_lsn,omitempty"`
	Ranges   []AuditRange `json:"ranges"`
	Missing  []AuditRange `json:"missing"`
}

// AuditRange is segments without a hole between them; both ends belong to it.
type AuditRange struct {
	From     string `json:"from"`
	To       string `json:"to"`
	FromLSN  string `json:"from_lsn,omitempty"`
	ToLSN    string `json:"to_lsn,omitempty"`
	Segments int64  `json:"segments"`
}

// AuditProblem is a stored file that is not what it must be.
type AuditProblem struct {
	Name   string `json:"name"` // below the archive's directory
	Kind   string `json:"kind"` // damaged, foreign, wrong-content, duplicate, unfinished, unreadable
	Detail string `json:"detail,omitempty"`
}

// AuditSpan is WAL that one recovery can read from end to end.
type AuditSpan struct {
	Timeline uint32   `json:"timeline"` // on which it ends
	FromLSN  string   `json:"from_lsn"`
	ToLSN    string   `json:"to_lsn"`
	Through  []uint32 `json:"through"` // the timelines that it is read from
}

// Harmful says that the file costs recovery. A second copy, or a file that is still being
// written, does not.
func (p AuditProblem) Harmful() bool { return p.Kind != "duplicate" && p.Kind != "unfinished" }

// Whole says that nothing is missing and nothing damaged, of what could be looked at.
func (a ArchiveAudit) Whole() bool {
	for _, p := range a.Problems {
		if p.Harmful() {
			return false
		}
	}
	for _, t := range a.Timelines {
		if len(t.Missing) > 0 {
			return false
		}
	}
	return true
}

// ArchivePush is the JSON form of `archive push-missing`.
type ArchivePush struct {
	FormatVersion string     `json:"format_version"`
	DryRun        bool       `json:"dry_run"`
	Nodes         []NodePush `json:"nodes"`
}

// NodePush is what one node stored at a target.
type NodePush struct {
	Cluster    string        `json:"cluster"`
	Node       string        `json:"node"`
	Target     string        `json:"target,omitempty"`
	Pushed     []string      `json:"pushed"`     // names; with dry_run, that would be
	Present    int64         `json:"present"`    // files of pg_wal that are stored already
	Unpushable []AuditRange  `json:"unpushable"` // missing in the archive, and no longer in pg_wal
	Failed     []PushFailure `json:"failed"`
	Error      string        `json:"error,omitempty"`
}

// PushFailure is a file that could not be stored.
type PushFailure struct {
	Name  string `json:"name"`
	Error string `json:"error"`
}

// OK says that the archive has now all that the node has, and lacks nothing else.
func (p NodePush) OK() bool {
	return p.Error == "" && len(p.Failed) == 0 && len(p.Unpushable) == 0
}
