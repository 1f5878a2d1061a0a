package wal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"pg_manage/executor/repo"
	"pg_manage/executor/repo/storage"
	"pg_manage/executor/wal/call"
)

// States of an archive, as Status tells them.
const (
	StateAbsent      = "absent"      // nothing there yet
	StateOurs        = "ours"        // set up; whose it is says SystemIdentifier
	StateForeign     = "foreign"     // there are files, and no archive.json that can be read
	StateUnreachable = "unreachable" // the target could not be asked
)

// statusVersion is that of the form of StatusReport.
const statusVersion = 2

// StatusReport is what `status` prints.
type StatusReport struct {
	Version  int            `json:"version"`
	Error    string         `json:"error,omitempty"` // the configuration cannot be used
	Targets  []TargetStatus `json:"targets"`
	Archiver ArchiverStatus `json:"archiver"`
	Backlog  BacklogStatus  `json:"backlog"`
}

// TargetStatus is the archive at one target, and what waits for it here.
type TargetStatus struct {
	Name             string         `json:"name"`
	Required         bool           `json:"required"`
	State            string         `json:"state,omitempty"` // "" when it was not asked
	SystemIdentifier string         `json:"system_identifier,omitempty"`
	SegmentSize      int64          `json:"segment_size,omitempty"`
	Error            string         `json:"error,omitempty"`
	Queued           int            `json:"queued"`       // files in the queue for a target that is not required
	QueuedBytes      int64          `json:"queued_bytes"` // as they are stored
	QueueError       string         `json:"queue_error,omitempty"`
	Dropped          []DroppedRange `json:"dropped,omitempty"`
}

// ArchiverStatus is what the archiver in the background says of itself.
type ArchiverStatus struct {
	Running    bool             `json:"running"`
	PID        int              `json:"pid,omitempty"`
	RateBytes  int64            `json:"rate_bytes,omitempty"` // bytes of WAL a second, of the last minute
	Stored     int64            `json:"stored,omitempty"`     // files since it started
	Last       string           `json:"last,omitempty"`       // file that was stored last
	LastTime   time.Time        `json:"last_time,omitzero"`
	Error      string           `json:"error,omitempty"` // why the last file that failed did
	ErrorTime  time.Time        `json:"error_time,omitzero"`
	Goroutines int              `json:"goroutines,omitempty"`
	Queues     map[string]Fault `json:"queues,omitempty"` // by target: why its queue does not empty
}

// Fault is an error and when it came.
type Fault struct {
	Error string    `json:"error"`
	Time  time.Time `json:"time"`
}

// BacklogStatus is what waits in pg_wal.
type BacklogStatus struct {
	Segments int   `json:"segments"`
	Bytes    int64 `json:"bytes"`
}

// Status looks at what waits here, and unless local at every target, and changes nothing.
func (in *Instance) Status(ctx context.Context, local bool) StatusReport {
	c := in.Config
	r := StatusReport{Version: statusVersion, Targets: make([]TargetStatus, len(c.Targets)), Archiver: c.askArchiver()}
	if files, bytes, err := c.Backlog(); err == nil {
		r.Backlog = BacklogStatus{files, bytes}
	}
	var all sync.WaitGroup
	for i, t := range c.Targets {
		all.Go(func() {
			s := &r.Targets[i]
			if !local {
				*s = in.targetStatus(ctx, t)
			}
			s.Name, s.Required = t.Name, t.Required
			in.waiting(ctx, s)
			s.QueueError = r.Archiver.Queues[t.Name].Error
		})
	}
	all.Wait()
	return r
}

func (in *Instance) waiting(ctx context.Context, s *TargetStatus) {
	if q := in.queues[s.Name]; q != nil {
		names, bytes, err := q.files(ctx)
		s.Queued, s.QueuedBytes = len(names), bytes
		if err != nil {
			s.QueueError = err.Error()
		}
	}
	var err error
	if s.Dropped, err = in.Config.Dropped(s.Name); err != nil {
		s.QueueError = err.Error()
	}
}

func (in *Instance) targetStatus(ctx context.Context, t repo.Target) (st TargetStatus) {
	err := in.links.use(ctx, t, func(s *site) error {
		var err error
		st, err = s.status(ctx)
		return err
	})
	if err != nil {
		return TargetStatus{State: StateUnreachable, Error: err.Error()}
	}
	return st
}

// status gives an error when the target could not be asked.
func (s *site) status(ctx context.Context) (TargetStatus, error) {
	id, err := s.readIdentity(ctx)
	var refused *RefusedError
	switch {
	case err == nil:
		return TargetStatus{State: StateOurs, SystemIdentifier: id.SystemIdentifier, SegmentSize: id.SegmentSize}, nil
	case errors.As(err, &refused):
		return TargetStatus{State: StateForeign, Error: err.Error()}, nil
	case !errors.Is(err, errNotInitialised):
		return TargetStatus{}, err
	}
	files, err := s.d.List(ctx, s.dir())
	switch {
	case errors.Is(err, storage.ErrNotExist), err == nil && len(files) == 0:
		return TargetStatus{State: StateAbsent}, nil
	case err != nil:
		return TargetStatus{}, err
	}
	return TargetStatus{State: StateForeign, Error: fmt.Sprintf("%s/%s holds files (%s) and no archive.json", s.d, s.dir(), files[0].Name)}, nil
}

// askArchiver asks the archiver in the background, if there is one.
func (c *Config) askArchiver() (st ArchiverStatus) {
	out, ok := call.Query(c.file, "status")
	if !ok || json.Unmarshal(out, &st) != nil {
		return ArchiverStatus{}
	}
	st.Running = true
	return st
}
