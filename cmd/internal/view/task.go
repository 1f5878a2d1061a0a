package view

import (
	"fmt"
	"io"
	"sync"
	"time"

	"pg_manage/executor/event"
)

// Task shows how far one piece of work on a node has come: on a terminal on a line that
// is written over, in a pipe on a line every ten seconds.
type Task struct {
	mu    sync.Mutex
	w     io.Writer
	st    Style
	where string
	now   func() time.Time
	begun time.Time
	said  time.Time
	drawn bool
}

// NewTask begins to show work on the node of this name.
func NewTask(w io.Writer, st Style, where string, now func() time.Time) *Task {
	t := &Task{w: w, st: st, where: clean(where), now: now, begun: now()}
	t.said = t.begun
	return t
}

// Emit tells of an event.
func (t *Task) Emit(e event.Event) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now, every := t.now(), sayEvery
	if t.st.Height > 0 {
		every = redrawEvery
	}
	switch e.Type {
	case event.Notice:
		t.erase()
		fmt.Fprintf(t.w, "%s: %s\n", t.where, clean(e.Message))
	case event.Progress:
		if now.Sub(t.said) < every {
			return
		}
		t.said = now
		st := &stepState{begun: t.begun, done: e.Done, total: e.Total, message: clean(e.Message)}
		if t.st.Height == 0 {
			fmt.Fprintln(t.w, t.where+": "+still(st, now))
			return
		}
		t.erase()
		fmt.Fprint(t.w, cut(t.where+": "+far(st, now), t.st.width()-1))
		t.drawn = true
	}
}

// Finish takes what is written over off the screen.
func (t *Task) Finish() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.erase()
}

func (t *Task) erase() {
	if t.drawn {
		fmt.Fprint(t.w, "\r\x1b[K")
		t.drawn = false
	}
}
