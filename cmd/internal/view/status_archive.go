package view

import (
	"time"

	"pg_manage/planner"
	"pg_manage/schema"
)

// ArchiveStatus is how WAL archiving is doing, as the primary tells.
type ArchiveStatus struct {
	Target         string         `json:"target"` // the first of Targets
	State          string         `json:"state"`  // of what PostgreSQL waits for: ok, failing, idle (nothing archived yet), off, unknown
	Archived       int64          `json:"archived"`
	LastWAL        string         `json:"last_wal,omitempty"`
	LastTime       time.Time      `json:"last_time,omitzero"`
	AgeSeconds     *float64       `json:"age_seconds,omitempty"` // since the last archived segment
	BacklogSegment int            `json:"backlog_segments"`      // segments that wait in pg_wal
	BacklogBytes   *int64         `json:"backlog_bytes,omitempty"`
	RateBytes      int64          `json:"rate_bytes,omitempty"` // WAL archived a second, lately
	Failed         int64          `json:"failed"`
	FailedWAL      string         `json:"failed_wal,omitempty"`
	FailedTime     time.Time      `json:"failed_time,omitzero"`
	Error          string         `json:"error,omitempty"`
	Targets        []TargetStatus `json:"targets"` // in the order in which restore asks them
}

// TargetStatus is the archive at one target.
type TargetStatus struct {
	Target           string               `json:"target"`
	Required         bool                 `json:"required"`
	State            string               `json:"state"`                       // as that of the archive, or unreachable, absent, foreign; of one that is not required behind, too
	Archive          planner.ArchiveState `json:"archive,omitempty"`           // what is at the target: absent, ours, foreign, unreachable; "" when it was not asked
	SystemIdentifier string               `json:"system_identifier,omitempty"` // whose archive it is
	QueuedSegments   *int                 `json:"queued_segments,omitempty"`   // not required: segments that wait on the node
	QueuedBytes      *int64               `json:"queued_bytes,omitempty"`
	QueueLimit       int64                `json:"queue_limit_bytes,omitempty"` // beyond it WAL is dropped
	Dropped          []planner.DroppedWAL `json:"dropped,omitempty"`
	Error            string               `json:"error,omitempty"`
}

// States of archiving and of a target.
const (
	archiveOK          = "ok"
	archiveFailing     = "failing"
	archiveIdle        = "idle"
	archiveOff         = "off"
	archiveUnknown     = "unknown"
	archiveBehind      = "behind"
	archiveUnreachable = "unreachable"
	archiveAbsent      = "absent"
	archiveForeign     = "foreign"
)

func archiveStatus(c *schema.Cluster, obs *planner.Observed, primary *schema.Node, now time.Time) *ArchiveStatus {
	a := &ArchiveStatus{State: archiveUnknown}
	var f *planner.NodeFacts
	if primary == nil {
		a.Error = "no node that answers is the only primary"
	} else {
		f = obs.Node(c.Name, primary.Name)
		a.archiver(f, now)
	}
	for _, declared := range planner.ArchiveOrder(c) {
		a.Targets = append(a.Targets, targetStatus(declared, a.State, f))
	}
	a.Target = a.Targets[0].Target
	for _, t := range a.Targets {
		if t.Required && t.Error != "" {
			a.Error = t.Error
			break
		}
	}
	return a
}

// archiver fills in what PostgreSQL and our archiver tell of their work.
func (a *ArchiveStatus) archiver(f *planner.NodeFacts, now time.Time) {
	st := f.Server.Archiver
	if st == nil {
		return
	}
	a.Archived, a.LastWAL, a.LastTime, a.BacklogSegment = st.Archived, st.LastWAL, st.LastTime, st.Ready
	a.Failed, a.FailedWAL, a.FailedTime = st.Failed, st.FailedWAL, st.FailedTime
	if !st.LastTime.IsZero() {
		seconds := max(0, now.Sub(st.LastTime).Seconds())
		a.AgeSeconds = &seconds
	}
	if f.Archiving.Known {
		a.BacklogBytes, a.RateBytes = &f.Archiving.Backlog.Bytes, f.Archiving.Archiver.RateBytes
	}
	mode, known := f.Server.Settings["archive_mode"]
	switch {
	case known && mode.Value == "off":
		a.State = archiveOff
	case st.Failing():
		a.State, a.Error = archiveFailing, failsFor(st.FailedWAL)
		if why := f.Archiving.Archiver.Error; why != "" {
			a.Error += ": " + why
		}
	case st.LastTime.IsZero():
		a.State = archiveIdle
	default:
		a.State = archiveOK
	}
}

func failsFor(segment string) string { return "archive_command fails for " + segment }

// targetStatus judges one target by what the primary knows of it; f is nil without a primary.
func targetStatus(declared *schema.Archive, overall string, f *planner.NodeFacts) TargetStatus {
	t := TargetStatus{Target: declared.Target.Name, Required: declared.Required, State: overall, QueueLimit: declared.QueueLimit}
	if f == nil {
		return t
	}
	fact := f.Archive(t.Target)
	t.Archive, t.SystemIdentifier = fact.State, fact.SystemIdentifier
	if fact.State != planner.ArchiveUnknown { // else it says only why it is not known
		t.Error = fact.Error
	}
	queue := f.Archiving.Queue(t.Target)
	if queue != nil {
		t.Dropped = queue.Dropped // also of one that is required only now
		if !t.Required {
			t.QueuedSegments, t.QueuedBytes = &queue.Segments, &queue.Bytes
		}
	}
	switch {
	case overall == archiveOff:
	case fact.State == planner.ArchiveUnreachable:
		t.State = archiveUnreachable
	case fact.State == planner.ArchiveForeign:
		t.State = archiveForeign
	case fact.State == planner.ArchiveAbsent:
		t.State = archiveAbsent
	case t.Required:
	case queue == nil:
		t.State = archiveUnknown
	case queue.Error != "":
		t.State, t.Error = archiveFailing, queue.Error
	case queue.Segments > 0:
		t.State = archiveBehind
	case overall != archiveIdle:
		t.State = archiveOK // what PostgreSQL waits for may fail all the same
	}
	if t.Required && overall == archiveFailing {
		t.State = archiveFailing
	}
	return t
}
