package view

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"pg_manage/executor/event"
)

// story is what an apply of fullPlan tells.
func story() []event.Event {
	at := func(seconds int) time.Time { return created().Add(time.Duration(seconds) * time.Second) }
	return []event.Event{
		{Time: at(0), Type: event.RunStarted},
		{Time: at(0), Type: event.Started, Step: "main/node1/write-settings"},
		{Time: at(1), Type: event.Done, Step: "main/node1/write-settings", Elapsed: time.Second},
		{Time: at(1), Type: event.Started, Step: "main/node2/build-standby"},
		{Time: at(3), Type: event.Progress, Step: "main/node2/build-standby", Done: 120 << 20, Total: 350 << 20, Message: "base/5"},
		{Time: at(4), Type: event.Notice, Node: "node2", Message: "moved the old directory aside"},
		{Time: at(20), Type: event.Failed, Step: "main/node2/build-standby", Elapsed: 19 * time.Second, Error: "disk full"},
		{Time: at(20), Type: event.Skipped, Step: "main/node1/restart", Message: "a step it needs failed"},
		{Time: at(20), Type: event.RunDone},
	}
}

func TestPlain(t *testing.T) {
	var b bytes.Buffer
	v := &plain{w: &b, every: sayEvery, steps: newSteps(fullPlan())}
	for _, e := range story() {
		v.Emit(e)
		if e.Type == event.Progress {
			v.remind(e.Time.Add(5 * time.Second))
			v.remind(e.Time.Add(9 * time.Second))
			v.remind(e.Time.Add(12 * time.Second))
		}
	}
	golden(t, "apply_plain.txt", b.Bytes())
}

func TestPlainFinishes(t *testing.T) {
	var b bytes.Buffer
	v := NewPlain(&b, Style{}, fullPlan())
	v.Emit(event.Event{Time: time.Now(), Type: event.Started, Step: "main/node1/restart"})
	v.Finish()
	if want := "main/node1: restarting PostgreSQL ...\n"; b.String() != want {
		t.Errorf("got %q, want %q", b.String(), want)
	}
}

func TestLive(t *testing.T) {
	var b bytes.Buffer
	v := &live{w: &b, style: Style{Width: 100}, steps: newSteps(fullPlan())}
	for _, e := range story() {
		v.Emit(e)
	}
	golden(t, "apply_live.txt", []byte(strings.ReplaceAll(b.String(), "\x1b", "^[")))
}

func TestLiveFitsTheScreen(t *testing.T) {
	var b bytes.Buffer
	v := &live{w: &b, style: Style{Width: 80, Height: 5}, steps: newSteps(fullPlan())}
	for _, s := range fullPlan().Steps {
		v.Emit(event.Event{Time: created(), Type: event.Started, Step: s.ID})
	}
	if v.drawn != 3 || !strings.Contains(b.String(), "(and 3 more)") {
		t.Errorf("%d lines are drawn on a screen of 5:\n%s", v.drawn, b.String())
	}
}

func TestInterrupted(t *testing.T) {
	var b bytes.Buffer
	v := NewPlain(&b, Style{}, fullPlan())
	v.Interrupted()
	v.Emit(event.Event{Time: created(), Type: event.Started, Step: "main/node1/restart"})
	v.Interrupted()
	v.Finish()
	want := "Interrupted: no step is running; press Ctrl-C again to leave at once.\n" +
		"main/node1: restarting PostgreSQL ...\n" +
		"Interrupted: finishing main/node1: restart PostgreSQL. Press Ctrl-C again to leave at once.\n"
	if b.String() != want {
		t.Errorf("got %q", b.String())
	}
}

func TestLiveRowNeverWraps(t *testing.T) {
	v := &live{style: Style{Width: 40}, steps: newSteps(fullPlan())}
	st := &stepState{id: "main/node2/build-standby", begun: created(), done: 5 << 30, total: 5000 << 30}
	row := cut(v.row(st, created().Add(time.Minute)), v.style.Width-1)
	if n := columns(row); n > 39 {
		t.Errorf("a row has %d columns: %s", n, row)
	}
}

func TestOutcome(t *testing.T) {
	for _, tc := range []struct {
		name string
		o    Outcome
	}{
		{"outcome_done.txt", Outcome{Done: []string{"a", "b"}, Elapsed: 75 * time.Second}},
		{"outcome_failed.txt", Outcome{
			Done: []string{"a"}, Skipped: []string{"main/node1/restart"}, Elapsed: 20 * time.Second, Again: "pg_manage apply",
			Failed: []StepFailure{{"main/node1/write-settings", "node1: pg_ctl reload: exit status 1 after 20ms: no such file"}},
		}},
		{"outcome_interrupted.txt", Outcome{Done: []string{"a"}, Skipped: []string{"main/node1/restart"}, Interrupted: true, Elapsed: time.Second, Again: "pg_manage apply"}},
	} {
		var b bytes.Buffer
		OutcomeHuman(&b, Style{}, fullPlan(), tc.o)
		golden(t, tc.name, b.Bytes())
	}
	var b bytes.Buffer
	l := NewLines(&b, "apply", "v1.2.3")
	for _, e := range story() {
		NewJSONProgress(l).Emit(e)
	}
	OutcomeJSON(l, Outcome{Failed: []StepFailure{{"main/node2/build-standby", "disk full"}}, Elapsed: time.Second})
	golden(t, "apply.jsonl", b.Bytes())
}

func TestTenses(t *testing.T) {
	for in, want := range map[string][2]string{
		"build standby from node1": {"building standby from node1", "built standby from node1"},
		"create replication slot":  {"creating replication slot", "created replication slot"},
		"reset x":                  {"resetting x", "reset x"},
		"send it and see it go":    {"sending it and seeing it go", "sent it and saw it go"},
		"frobnicate it":            {"frobnicate it", "done: frobnicate it"},
		"restart":                  {"restarting", "restarted"},
	} {
		if a, b := tenses(in); a != want[0] || b != want[1] {
			t.Errorf("tenses(%q) = %q, %q", in, a, b)
		}
	}
}

func TestUnits(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1024: "1.0 kB", 120 << 20: "120 MB", 3 << 40: "3.0 TB"} {
		if got := size(n); got != want {
			t.Errorf("size(%d) = %q, want %q", n, got, want)
		}
	}
	for d, want := range map[time.Duration]string{
		-time.Second: "0s", 0: "0s", time.Millisecond: "0.1s", 400 * time.Millisecond: "0.4s", 12 * time.Second: "12s", 200 * time.Second: "3m20s",
		5*time.Hour + 10*time.Minute: "5h10m", 76 * time.Hour: "3d4h",
	} {
		if got := age(d); got != want {
			t.Errorf("age(%v) = %q, want %q", d, got, want)
		}
	}
}
