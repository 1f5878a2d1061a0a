package event

import (
	"bytes"
	"encoding/json"
	"io"
	"sync"
	"time"
)

// LineWriter is a Sink that writes each event as a line of JSON, as the node's side does.
type LineWriter struct {
	mu  sync.Mutex
	w   io.Writer
	now func() time.Time
	// every is the least time between two events of progress, which come often.
	every time.Duration
	last  time.Time
	late  *Event // progress that was held back; it goes out before what comes next
}

// NewLineWriter writes events to w. Of Progress at most five a second are written, since
// the other end may be far away.
func NewLineWriter(w io.Writer) *LineWriter {
	return &LineWriter{w: w, now: time.Now, every: 200 * time.Millisecond}
}

// Emit writes an event. That nobody reads it any more is no error of the work.
func (l *LineWriter) Emit(e Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	if e.Time.IsZero() {
		e.Time = now
	}
	if e.Type == Progress {
		if now.Sub(l.last) < l.every {
			l.late = &e
			return
		}
		l.last, l.late = now, nil
	} else if l.late != nil {
		l.put(*l.late)
		l.late = nil
	}
	l.put(e)
}

// Flush writes progress that was held back: it is to be called at the end.
func (l *LineWriter) Flush() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.late != nil {
		l.put(*l.late)
		l.late = nil
	}
}

func (l *LineWriter) put(e Event) {
	if text, err := json.Marshal(e); err == nil {
		l.w.Write(append(text, '\n')) //nolint:errcheck // there is nobody else to tell
	}
}

// LineReader is an io.Writer that hands on the events among the lines written to it, as the
// operator's side does with a node's standard error. It is for one goroutine.
type LineReader struct {
	Sink Sink
	rest []byte
}

// longestLine bounds what is kept of a line that has no end.
const longestLine = 64 << 10

// Write takes text, and never fails.
func (l *LineReader) Write(b []byte) (int, error) {
	l.rest = append(l.rest, b...)
	for {
		i := bytes.IndexByte(l.rest, '\n')
		if i < 0 {
			break
		}
		if e, ok := Parse(string(l.rest[:i])); ok {
			l.Sink.Emit(e)
		}
		l.rest = l.rest[i+1:]
	}
	if len(l.rest) > longestLine {
		l.rest = nil
	}
	return len(b), nil
}
