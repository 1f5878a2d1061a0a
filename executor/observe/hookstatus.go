package observe

import (
	"encoding/json"
	"fmt"
	"time"

	"pg_manage/planner"
)

// hookStatusVersion is the version of the answer of `pg_manage hook status` that this
// program reads.
const hookStatusVersion = 2

// hookStatus is what `pg_manage hook status` prints. With --local no target is asked, and
// the states are "".
type hookStatus struct {
	Version  int            `json:"version"`
	Error    string         `json:"error"` // the configuration cannot be used
	Targets  []targetStatus `json:"targets"`
	Archiver struct {
		Running   bool    `json:"running"`
		PID       int     `json:"pid"`
		RateBytes int64   `json:"rate_bytes"`
		Last      string  `json:"last"`
		LastTime  lenient `json:"last_time"`
		Error     string  `json:"error"`
		ErrorTime lenient `json:"error_time"`
	} `json:"archiver"`
	Backlog struct {
		Segments int   `json:"segments"`
		Bytes    int64 `json:"bytes"`
	} `json:"backlog"`
}

type targetStatus struct {
	Name             string               `json:"name"`
	State            planner.ArchiveState `json:"state"`
	SystemIdentifier string               `json:"system_identifier"`
	Error            string               `json:"error"`
	Queued           int                  `json:"queued"`
	QueuedBytes      int64                `json:"queued_bytes"`
	QueueError       string               `json:"queue_error"`
	Dropped          []struct {
		From     string  `json:"from"`
		To       string  `json:"to"`
		Segments int     `json:"segments"`
		Since    lenient `json:"since"`
	} `json:"dropped"`
}

// lenient is a time in the form of RFC 3339; "" is the zero time.
type lenient struct{ time.Time }

// UnmarshalJSON reads a time that may be empty.
func (t *lenient) UnmarshalJSON(b []byte) error {
	if string(b) == `""` || string(b) == "null" {
		t.Time = time.Time{}
		return nil
	}
	return json.Unmarshal(b, &t.Time)
}

func parseHookStatus(text string) (*hookStatus, error) {
	var s hookStatus
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		return nil, err
	}
	if s.Version != hookStatusVersion {
		return nil, fmt.Errorf("version %d of the hook's status is not known", s.Version)
	}
	return &s, nil
}

func (s *hookStatus) target(name string) *targetStatus {
	for i := range s.Targets {
		if s.Targets[i].Name == name {
			return &s.Targets[i]
		}
	}
	return nil
}

// fill takes what is known without a target: what the archiver does, and what waits.
func (s *hookStatus) fill(f *planner.NodeFacts) {
	a := planner.ArchivingFacts{
		Known: true,
		Archiver: planner.ArchiverProcess{
			Running: s.Archiver.Running, PID: s.Archiver.PID, RateBytes: s.Archiver.RateBytes,
			Last: s.Archiver.Last, LastTime: s.Archiver.LastTime.Time,
			Error: message(s.Archiver.Error), ErrorTime: s.Archiver.ErrorTime.Time,
		},
		Backlog: planner.Backlog{Segments: s.Backlog.Segments, Bytes: s.Backlog.Bytes},
	}
	for _, t := range s.Targets {
		q := planner.QueueFact{Target: t.Name, Segments: t.Queued, Bytes: t.QueuedBytes, Error: message(t.QueueError)}
		for _, d := range t.Dropped {
			q.Dropped = append(q.Dropped, planner.DroppedWAL{From: d.From, To: d.To, Segments: d.Segments, Since: d.Since.Time})
		}
		a.Queues = append(a.Queues, q)
	}
	f.Archiving = a
}
