package view

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"pg_manage/executor/event"
	"pg_manage/planner"
)

// redrawEvery is how often the running steps are drawn anew on a terminal.
const redrawEvery = 200 * time.Millisecond

// barWidth is the length of a progress bar, in columns.
const barWidth = 20

// live is Progress on a terminal: lines for what has ended, and below them a
// region that is drawn again and again, with what runs.
type live struct {
	mu    sync.Mutex
	w     io.Writer
	style Style
	steps steps
	drawn int // lines of the region that are on the screen
	stop  chan struct{}
	gone  chan struct{}
}

// NewLive shows progress on a terminal.
func NewLive(w io.Writer, st Style, p *planner.Plan) Progress {
	v := &live{w: w, style: st, steps: newSteps(p), stop: make(chan struct{}), gone: make(chan struct{})}
	go v.watch()
	return v
}

func (v *live) watch() {
	defer close(v.gone)
	t := time.NewTicker(redrawEvery)
	defer t.Stop()
	for {
		select {
		case <-v.stop:
			return
		case now := <-t.C:
			v.mu.Lock()
			v.draw(now, "")
			v.mu.Unlock()
		}
	}
}

// Emit tells of an event.
func (v *live) Emit(e event.Event) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.steps.take(e)
	v.draw(e.Time, v.steps.ended(v.style, e))
}

// draw takes the region off the screen, writes the line that stays, if there is
// one, and draws the region below it: in one write, so that nothing flickers.
func (v *live) draw(now time.Time, line string) {
	var b strings.Builder
	if v.drawn > 0 {
		fmt.Fprintf(&b, "\x1b[%dA\x1b[J", v.drawn)
	}
	if line != "" {
		b.WriteString(line + "\n")
	}
	rows := v.steps.running
	if room := max(1, v.style.Height-3); v.style.Height > 0 && len(rows) > room {
		rows = rows[:room] // what has scrolled off the screen cannot be drawn again
	}
	for _, st := range rows {
		// A line that wraps would be two lines on the screen.
		b.WriteString(cut(v.row(st, now), v.style.Width-1) + "\n")
	}
	v.drawn = len(rows)
	if more := len(v.steps.running) - len(rows); more > 0 {
		fmt.Fprintf(&b, "(and %d more)\n", more)
		v.drawn++
	}
	if b.Len() > 0 {
		io.WriteString(v.w, b.String())
	}
}

// row is one running step: what it is, cut where the line is too short, and how far it is.
func (v *live) row(st *stepState, now time.Time) string {
	node, summary := v.steps.called(st.id)
	running, _ := tenses(summary)
	far := far(st, now)
	return cut(node+running, max(20, v.style.Width-2-columns(far))) + " " + far
}

// far is how far a step has come, with a bar, its rate and the time left where these are known.
func far(st *stepState, now time.Time) string {
	took := now.Sub(st.begun)
	var text string
	switch {
	case st.total > 0:
		full := int(min(barWidth, st.done*barWidth/st.total))
		text = fmt.Sprintf("[%s%s] %d%% %s of %s, ", strings.Repeat("=", full), strings.Repeat(" ", barWidth-full),
			percent(st), size(st.done), size(st.total))
	case st.done > 0:
		text = size(st.done) + ", "
	case st.message != "":
		text = "(" + st.message + ") "
	}
	seconds := took.Seconds()
	if st.done == 0 || seconds < 1 {
		return text + age(took)
	}
	rate := float64(st.done) / seconds
	text += size(int64(rate)) + "/s, "
	if left := st.total - st.done; left > 0 {
		return text + age(time.Duration(float64(left)/rate*float64(time.Second))) + " left"
	}
	return text + age(took)
}

// cut shortens a line to n columns.
func cut(line string, n int) string {
	r := []rune(line)
	if n < 10 || len(r) <= n {
		return line
	}
	return string(r[:n-1]) + "…"
}

// Interrupted says what is being finished.
func (v *live) Interrupted() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.draw(time.Now(), v.style.paint(bold+";"+yellow, v.steps.finishing()))
}

// Finish takes the region off the screen.
func (v *live) Finish() {
	close(v.stop)
	<-v.gone
	v.mu.Lock()
	defer v.mu.Unlock()
	v.steps.running = nil
	v.draw(time.Time{}, "")
}
