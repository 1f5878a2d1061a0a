package planner

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"pg_manage/schema"
	"pg_manage/schema/postgres"
)

const testDay = 24 * time.Hour

func testNow() time.Time { return time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC) }

// aged is a full backup that ended so many days ago; its WAL grows with time.
func aged(label string, days int, change ...func(*BackupFact)) BackupFact {
	b := BackupFact{
		Label: label, Kind: "full", SystemIdentifier: "77", PostgreSQL: "17.6", Timeline: 1, WAL: "archive", SegmentSize: 16 << 20,
		StartTime: testNow().Add(-time.Duration(days)*testDay - time.Hour), StopTime: testNow().Add(-time.Duration(days) * testDay),
		StartLSN: postgres.LSN(1000-days) << 24, StopLSN: postgres.LSN(1000-days)<<24 + 0x100,
	}
	for _, c := range change {
		c(&b)
	}
	return b
}

func upon(parent string) func(*BackupFact) {
	return func(b *BackupFact) { b.Kind, b.Parent = "incremental", parent }
}

func broken(b *BackupFact) { b.Broken = "a part is missing" }

func damaged(b *BackupFact) { b.Damaged = 3 }

func pinned(b *BackupFact) { b.Pinned = true }

func upgraded(b *BackupFact) { b.SystemIdentifier, b.PostgreSQL = "88", "18.1" }

func timeline(tli postgres.Timeline) func(*BackupFact) {
	return func(b *BackupFact) { b.Timeline = tli }
}

func TestBackupsAreKeptWhileAnyRuleWantsThem(t *testing.T) {
	full := func(n int) []schema.Keep { return []schema.Keep{{Full: n}} }
	tests := []struct {
		name      string
		rules     []schema.Keep
		timelines []WALTimeline
		backups   []BackupFact
		kept      string // label: reasons
		expire    string
	}{
		{
			"without rules nothing ever expires",
			[]schema.Keep{{}},
			nil,
			[]BackupFact{aged("a", 900), aged("b", 1)},
			"b: no rule says what may go, newest whole backup | a: no rule says what may go", "",
		},
		{
			"the newest full ones and all that builds upon them", full(2), nil,
			[]BackupFact{aged("f1", 9), aged("i1", 8, upon("f1")), aged("f2", 7), aged("i2", 6, upon("f2")), aged("i3", 5, upon("i2")), aged("f3", 4)},
			"f3: newest 2 full, newest whole backup | i3: builds upon f2, of the newest 2 full | i2: builds upon f2, of the newest 2 full, parent of i3 | f2: newest 2 full, parent of i2",
			"i1 f1",
		},
		{
			"age, and never the newest whole backup",
			[]schema.Keep{{Age: 7 * testDay}},
			nil,
			[]BackupFact{aged("a", 30), aged("b", 20)},
			"b: newest whole backup", "a",
		},
		{
			"age keeps the parents of what is young",
			[]schema.Keep{{Age: 7 * testDay}},
			nil,
			[]BackupFact{aged("f", 9), aged("g", 8, upon("f")), aged("h", 8), aged("i", 3, upon("g"))},
			"i: younger than 7d, newest whole backup | g: parent of i | f: parent of g", "h",
		},
		{
			"the window reaches back to the newest backup before it",
			[]schema.Keep{{Window: 14 * testDay}},
			nil,
			[]BackupFact{aged("a", 30), aged("b", 15), aged("c", 13), aged("d", 1)},
			"d: recovery window 14d, newest whole backup | c: recovery window 14d | b: recovery window 14d", "a",
		},
		{
			"a damaged or broken backup does not begin a window",
			[]schema.Keep{{Window: 14 * testDay}},
			nil,
			[]BackupFact{aged("a", 40), aged("b", 30), aged("c", 20, broken), aged("d", 16, damaged), aged("e", 1)},
			"e: recovery window 14d, newest whole backup | d: not whole, and newer than b | c: not whole, and newer than b | b: recovery window 14d", "a",
		},
		{
			"the window on a timeline that left before the newest backup",
			[]schema.Keep{{Window: 5 * testDay}},
			[]WALTimeline{{Timeline: 1}, {Timeline: 2, Parent: 1, Fork: postgres.LSN(991) << 24}},
			[]BackupFact{aged("mon", 10), aged("tue", 8), aged("fri", 1, timeline(2))},
			"fri: recovery window 5d, newest whole backup | mon: recovery window 5d", "tue",
		},
		{
			"rules of several blocks add up",
			[]schema.Keep{{Full: 1}, {}, {Age: 10 * testDay}, {Full: 3}},
			nil,
			[]BackupFact{aged("a", 40), aged("b", 30), aged("c", 20), aged("d", 9), aged("e", 8)},
			"e: newest 1 full, younger than 10d, newest 3 full, newest whole backup | d: younger than 10d, newest 3 full | c: newest 3 full", "a b",
		},
		{
			"pins keep, and keep parents", full(1), nil,
			[]BackupFact{aged("a", 50), aged("f", 40), aged("g", 30, upon("f"), pinned), aged("h", 29, upon("g")), aged("z", 1)},
			"z: newest 1 full, newest whole backup | g: pinned | f: parent of g", "h a",
		},
		{
			"broken ones count for nothing and go with those of their age", full(2), nil,
			[]BackupFact{aged("a", 9, broken), aged("b", 8), aged("c", 7, broken), aged("d", 6), aged("e", 5, broken), aged("i", 4, upon("nowhere"))},
			"i: not whole, and newer than b | e: not whole, and newer than b | d: newest 2 full, newest whole backup | c: not whole, and newer than b | b: newest 2 full", "a",
		},
		{
			"damaged ones count when there are no others", full(1), nil,
			[]BackupFact{aged("a", 9, damaged), aged("b", 8, damaged)},
			"b: newest 1 full, newest whole backup", "a",
		},
		{
			"where nothing is whole nothing goes", full(1), nil,
			[]BackupFact{aged("a", 9, broken), aged("b", 8, broken)},
			"b: there is no whole backup | a: there is no whole backup", "",
		},
		{
			"an upgrade takes nothing from the backups before it", full(2), nil,
			[]BackupFact{aged("a", 9), aged("b", 8), aged("c", 7), aged("x", 1, upgraded)},
			"x: newest 2 full, newest whole backup | c: newest 2 full, newest whole backup | b: newest 2 full", "a",
		},
		{
			"by age the newest before an upgrade stays",
			[]schema.Keep{{Age: testDay * 2}},
			nil,
			[]BackupFact{aged("a", 9), aged("b", 8), aged("x", 1, upgraded)},
			"x: younger than 2d, newest whole backup | b: newest whole backup", "a",
		},
		{
			// The node refuses to remove long, which was begun before quick, and ended after it, only
			// where it is the newest.
			"of full ones that overlap the one that was begun last is the newest", full(1), nil,
			[]BackupFact{aged("long", 1, func(b *BackupFact) { b.StartTime = b.StartTime.Add(-2 * testDay) }), aged("quick", 2)},
			"quick: newest 1 full, newest whole backup", "long",
		},
		{
			"backups that refer to one another in a ring are broken", full(1), nil,
			[]BackupFact{aged("a", 9, upon("b")), aged("b", 8, upon("a")), aged("c", 1)},
			"c: newest 1 full, newest whole backup", "a b",
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := Retain(RetentionInput{test.backups, test.rules, testNow(), test.timelines})
			var kept []string
			for _, k := range got.Kept {
				kept = append(kept, k.Label+": "+strings.Join(k.Reasons, ", "))
			}
			if d := cmp.Diff(test.kept, strings.Join(kept, " | ")); d != "" {
				t.Error(d)
			}
			if d := cmp.Diff(test.expire, strings.Join(got.Expired, " ")); d != "" {
				t.Error(d)
			}
		})
	}
}

// drawBackups makes chains, breaks some, and lets clocks go wrong.
func drawBackups(t *rapid.T) []BackupFact {
	var out []BackupFact
	for i := range rapid.IntRange(0, 14).Draw(t, "backups") {
		b := aged(fmt.Sprintf("b%02d", i), rapid.IntRange(0, 40).Draw(t, "age"))
		b.StartTime = b.StopTime.Add(-time.Duration(rapid.IntRange(0, 10*24).Draw(t, "hours")) * time.Hour) // they may overlap
		b.Timeline = postgres.Timeline(rapid.IntRange(1, 3).Draw(t, "timeline"))
		if len(out) > 0 && rapid.Bool().Draw(t, "incremental") {
			p := rapid.SampledFrom(out).Draw(t, "parent")
			upon(p.Label)(&b)
			b.SystemIdentifier, b.PostgreSQL = p.SystemIdentifier, p.PostgreSQL
		} else if rapid.IntRange(0, 3).Draw(t, "upgraded") == 0 {
			upgraded(&b)
		}
		for _, c := range []func(*BackupFact){broken, damaged, pinned, upon("gone"), func(b *BackupFact) { b.WAL = walIncluded }} {
			if rapid.IntRange(0, 9).Draw(t, "odd") == 0 {
				c(&b)
			}
		}
		out = append(out, b)
	}
	return out
}

func drawRetention(t *rapid.T) RetentionInput {
	in := RetentionInput{Backups: drawBackups(t), Now: testNow()}
	for range rapid.IntRange(0, 3).Draw(t, "rules") {
		in.Rules = append(in.Rules, schema.Keep{
			Full:   rapid.IntRange(0, 3).Draw(t, "full"),
			Age:    time.Duration(rapid.IntRange(0, 20).Draw(t, "days")) * testDay,
			Window: time.Duration(rapid.IntRange(0, 20).Draw(t, "window")) * testDay,
		})
	}
	if rapid.Bool().Draw(t, "histories") {
		in.Timelines = []WALTimeline{{Timeline: 1}, {2, 1, postgres.LSN(rapid.IntRange(950, 1000).Draw(t, "fork")) << 24}, {3, 2, 990 << 24}}
	}
	return in
}

func keptLabels(r Retention) (out []string) {
	for _, k := range r.Kept {
		out = append(out, k.Label)
	}
	return out
}

func TestPropertyRetention(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := drawRetention(t)
		r := Retain(in)
		kept := keptLabels(r)
		by := map[string]BackupFact{}
		for _, b := range in.Backups {
			by[b.Label] = b
			if slices.Contains(kept, b.Label) == slices.Contains(r.Expired, b.Label) {
				t.Fatalf("%s is kept and expires, or neither", b.Label)
			}
		}
		for _, label := range kept {
			if p := by[label].Parent; p != "" && by[p].Label != "" && !slices.Contains(kept, p) {
				t.Fatalf("%s is kept and its parent %s is not", label, p)
			}
		}
		for i, label := range r.Expired { // no step of it leaves a backup without its parent
			for _, later := range r.Expired[i+1:] {
				if by[later].Parent == label {
					if by[label].Parent == later {
						continue // a ring
					}
					t.Fatalf("%s goes before %s, which builds upon it", label, later)
				}
			}
		}
		newestWhole(t, in, kept)
		again := in
		again.Backups = nil
		for _, b := range in.Backups {
			if slices.Contains(kept, b.Label) {
				again.Backups = append(again.Backups, b)
			}
		}
		if d := cmp.Diff(kept, keptLabels(Retain(again))); d != "" {
			t.Fatalf("what was kept is not kept again: %s", d)
		}
		if len(in.Backups) == 0 {
			return
		}
		more := in
		more.Backups = slices.Clone(in.Backups)
		more.Backups[rapid.IntRange(0, len(in.Backups)-1).Draw(t, "pin")].Pinned = true
		now := keptLabels(Retain(more))
		for _, label := range kept {
			if !slices.Contains(now, label) {
				t.Fatalf("a pin lets %s expire", label)
			}
		}
	})
}

// newestWhole looks for them in its own, plain way.
func newestWhole(t *rapid.T, in RetentionInput, kept []string) {
	by := map[string]BackupFact{}
	for _, b := range in.Backups {
		by[b.Label] = b
	}
	for _, system := range []string{"77", "88"} {
		for _, allowed := range []int64{0, 1 << 60} {
			var newest *BackupFact
			for i := range in.Backups {
				b := in.Backups[i]
				if b.SystemIdentifier != system {
					continue
				}
				whole := true
				for c, n := b, 0; ; n++ {
					whole = whole && c.Broken == "" && c.Damaged <= allowed && c.Label != "" && n < 50
					if c.Parent == "" || !whole {
						break
					}
					c = by[c.Parent]
				}
				if whole && (newest == nil || b.StartTime.After(newest.StartTime) || b.StartTime.Equal(newest.StartTime) && b.Label > newest.Label) {
					newest = &in.Backups[i]
				}
			}
			if newest != nil {
				if !slices.Contains(kept, newest.Label) {
					t.Fatalf("%s, the newest whole backup of %s, expires", newest.Label, system)
				}
				break
			}
		}
	}
}
