// Package event defines what running work tells: typed progress events. The
// operator's side hands them to a view; the node's side writes them as JSON
// lines, one event a line, which the operator's side reads back.
package event

import (
	"encoding/json"
	"strings"
	"time"
)

// Type says what happened.
type Type string

// Types of events. A step gives one Started, any number of Progress and
// exactly one of Done, Failed and Skipped.
const (
	RunStarted Type = "run_started"
	Started    Type = "step_started"
	Progress   Type = "step_progress"
	Done       Type = "step_done"
	Failed     Type = "step_failed"
	Skipped    Type = "step_skipped" // not begun: something it needs failed, or the run was interrupted
	Notice     Type = "notice"
	RunDone    Type = "run_done"

	// NeedWALSwitch comes from a backup that is taken on a standby: its last WAL, with the LSN
	// in Message, is archived only when the primary begins a new segment.
	NeedWALSwitch Type = "need_wal_switch"
)

// Event is one thing that happened. Unknown keys may be added; a reader ignores them.
type Event struct {
	Time    time.Time     `json:"time"`
	Type    Type          `json:"type"`
	Step    string        `json:"step,omitempty"`
	Cluster string        `json:"cluster,omitempty"`
	Node    string        `json:"node,omitempty"`
	Message string        `json:"message,omitempty"`
	Done    int64         `json:"done,omitempty"`  // bytes, with Progress
	Total   int64         `json:"total,omitempty"` // bytes, with Progress; 0 when not known
	Elapsed time.Duration `json:"elapsed_ns,omitempty"`
	Error   string        `json:"error,omitempty"`
}

// Parse reads a line that the node's side wrote; false for a line that is no event.
func Parse(line string) (Event, bool) {
	var e Event
	if !strings.HasPrefix(line, "{") || json.Unmarshal([]byte(line), &e) != nil || e.Type == "" {
		return Event{}, false
	}
	return e, true
}

// Sink takes events. Emit may be called from several goroutines and does not block for long.
type Sink interface {
	Emit(Event)
}

// Discard is a Sink that drops everything.
type Discard struct{}

// Emit drops the event.
func (Discard) Emit(Event) {}
