package event

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"
)

type kept struct{ all []Event }

func (k *kept) Emit(e Event) { k.all = append(k.all, e) }

func TestLinesGoThereAndComeBack(t *testing.T) {
	var b bytes.Buffer
	w := NewLineWriter(&b)
	now := time.Date(2026, 11, 22, 21, 55, 0, 0, time.UTC)
	w.now = func() time.Time { return now }
	for i := range 10 {
		w.Emit(Event{Type: Progress, Done: int64(i + 1), Total: 10})
		now = now.Add(50 * time.Millisecond)
	}
	w.Emit(Event{Type: Notice, Message: "the end"})
	w.Flush()
	now = now.Add(time.Second)
	w.Emit(Event{Type: Progress, Done: 11})
	w.Emit(Event{Type: Progress, Done: 12})
	w.Flush()

	var got kept
	r := &LineReader{Sink: &got}
	for _, part := range strings.SplitAfter("a warning\n"+b.String()+`{"type":`, "o") { // in pieces, between other text
		if n, err := r.Write([]byte(part)); n != len(part) || err != nil {
			t.Fatalf("%d, %v", n, err)
		}
	}
	var text []string
	for _, e := range got.all {
		text = append(text, fmt.Sprint(e.Type, " ", e.Done))
	}
	// One in 200 ms, the last one surely, and in order.
	if want := "step_progress 1, step_progress 5, step_progress 9, step_progress 10, notice 0, step_progress 11, step_progress 12"; strings.Join(text, ", ") != want {
		t.Errorf("got %s, want %s", strings.Join(text, ", "), want)
	}
}

func TestALineWithoutEndIsNotKept(t *testing.T) {
	var got kept
	r := &LineReader{Sink: &got}
	for range 100 {
		r.Write(bytes.Repeat([]byte("x"), 1<<10))
	}
	if len(r.rest) > longestLine {
		t.Errorf("%d bytes are kept", len(r.rest))
	}
}
