package planner

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"pg_manage/schema/postgres"
)

const testSegment = 16 << 20

// seg is the start of a segment, and a little more.
func seg(n int, more ...postgres.LSN) postgres.LSN {
	lsn := postgres.LSN(n) * testSegment
	for _, m := range more {
		lsn += m
	}
	return lsn
}

func clock(h, m int) time.Time { return time.Date(2026, 11, 22, h, m, 0, 0, time.UTC) }

// takenAt is a backup that began at an hour in a segment, and ended half an hour later there.
func takenAt(label string, tli postgres.Timeline, hour, segment int, change ...func(*BackupFact)) BackupFact {
	b := BackupFact{
		Label: label, Kind: "full", SystemIdentifier: "77", PostgreSQL: "17.6", Timeline: tli, WAL: "archive", SegmentSize: testSegment,
		StartTime: clock(hour, 0), StopTime: clock(hour, 30), StartLSN: seg(segment, 0x28), StopLSN: seg(segment, 0x800),
	}
	for _, c := range change {
		c(&b)
	}
	return b
}

func included(b *BackupFact) { b.WAL = walIncluded }

func cold(b *BackupFact) { b.Cold, b.StopLSN = true, b.StartLSN }

// oneTimeline has segments 10 to 39.
func oneTimeline() ArchiveWAL {
	return ArchiveWAL{
		Target: "nas", SystemIdentifier: "77", SegmentSize: testSegment, Timelines: []WALTimeline{{Timeline: 1}},
		Runs: []WALRun{{1, seg(10), seg(40)}}, Ends: []WALEnd{{1, seg(39, 0x5000), clock(20, 0)}},
	}
}

func withHole() ArchiveWAL {
	a := oneTimeline()
	a.Runs = []WALRun{{1, seg(10), seg(20)}, {1, seg(22), seg(40)}}
	return a
}

// forked went from timeline 1 to 2 in segment 25, and on its own to 3 in segment 15; of 1
// there is WAL up to segment 27.
func forked() ArchiveWAL {
	return ArchiveWAL{
		Target: "nas", SystemIdentifier: "77", SegmentSize: testSegment,
		Timelines: []WALTimeline{{Timeline: 1}, {2, 1, seg(25, 0x4000)}, {3, 1, seg(15, 0x4000)}},
		Runs:      []WALRun{{1, seg(10), seg(28)}, {2, seg(10), seg(40)}, {3, seg(10), seg(30)}},
		Ends:      []WALEnd{{2, seg(39, 0x5000), clock(20, 0)}, {3, seg(29, 0x10), clock(15, 0)}, {1, seg(27, 0x10), clock(13, 0)}},
	}
}

func TestTheBackupThatServesIsTheNewestThatReachesThePoint(t *testing.T) {
	at := func(lsn postgres.LSN) RecoveryPoint { return RecoveryPoint{LSN: lsn} }
	when := func(h, m int) RecoveryPoint { return RecoveryPoint{Time: clock(h, m)} }
	xid := func(found ...WALPosition) RecoveryPoint { return RecoveryPoint{XID: "731", Found: found} }
	name := func(found ...WALPosition) RecoveryPoint { return RecoveryPoint{Name: "before", Found: found} }
	two := []BackupFact{takenAt("a", 1, 8, 11), takenAt("b", 1, 12, 24)}
	branched := []BackupFact{takenAt("a", 1, 8, 11), takenAt("b", 1, 11, 26), takenAt("c", 2, 14, 30)}
	tests := []struct {
		name     string
		backups  []BackupFact
		archive  ArchiveWAL
		point    RecoveryPoint
		timeline string
		backup   string
		want     string // backup path setting end
		refused  string // kind: part of the message
		notice   string
	}{
		{"latest", two, oneTimeline(), RecoveryPoint{}, "", "", "b [1] current 0/28000000 20:00", "", ""},
		{"latest of a named backup", two, oneTimeline(), RecoveryPoint{}, "", "a", "a [1] current 0/28000000 20:00", "", ""},
		{"immediate", two, oneTimeline(), RecoveryPoint{Immediate: true}, "", "", "b [1] current 0/18000800 12:30", "", ""},
		{"LSN after the newest", two, oneTimeline(), at(seg(30)), "", "", "b [1] current 0/1E000000 -", "", ""},
		{"LSN at the end of a backup", two, oneTimeline(), at(seg(24, 0x800)), "", "", "b [1] current 0/18000800 -", "", ""},
		{"LSN inside of the newest", two, oneTimeline(), at(seg(24, 0x7F0)), "", "", "a [1] current 0/180007F0 -", "", ""},
		{"LSN inside of the only one", two[:1], oneTimeline(), at(seg(11, 0x7F0)), "", "", "", "inside: choose a point from 0/B000800 (2026-11-22 08:30:00+00) on", ""},
		{"LSN inside of a named one", two, oneTimeline(), at(seg(24, 0x7F0)), "", "b", "", "inside: lies inside of the backup b", ""},
		{"LSN before all", two, oneTimeline(), at(seg(10, 5)), "", "", "", "before: the oldest backup that leads there, a, which ends at 0/B000800 (2026-11-22 08:30:00+00)", ""},
		{"LSN past the WAL", two, oneTimeline(), at(seg(40)), "", "", "", "past: the archive at nas ends at 0/28000000 on timeline 1, and its newest commit is of 2026-11-22 20:00:00+00", ""},
		{"LSN past the last record", two, oneTimeline(), at(seg(39, 0x5001)), "", "", "", "past: the LSN 0/27005001 is past", ""},
		{"LSN of the last record", two, oneTimeline(), at(seg(39, 0x5000)), "", "", "b [1] current 0/27005000 -", "", ""},
		{"time", two, oneTimeline(), when(13, 0), "", "", "b [1] current 0/0 13:00", "", ""},
		{"time at the end of a backup", two, oneTimeline(), when(12, 30), "", "", "b [1] current 0/0 12:30", "", ""},
		{"time inside of the newest", two, oneTimeline(), when(12, 29), "", "", "a [1] current 0/0 12:29", "", ""},
		{"time inside of the only one", two[1:], oneTimeline(), when(12, 29), "", "", "", "inside: the time 2026-11-22 12:29:00+00 lies inside", ""},
		{"time before all", two, oneTimeline(), when(7, 0), "", "", "", "before: a, which ends at", ""},
		{"time past the newest commit", two, oneTimeline(), when(20, 1), "", "", "", "past: newest commit is of 2026-11-22 20:00:00+00", ""},
		{"time of the newest commit, with it", two, oneTimeline(), when(20, 0), "", "", "", "past: choose an earlier point", ""},
		{"time of the newest commit, before it", two, oneTimeline(), RecoveryPoint{Time: clock(20, 0), Exclusive: true}, "", "", "b [1] current 0/0 20:00", "", ""},
		{"time that was found", two, oneTimeline(), RecoveryPoint{Time: clock(13, 0), Found: []WALPosition{{seg(26), clock(13, 1)}}}, "", "", "b [1] current 0/1A000000 13:00", "", ""},
		{"time, and no commit is known", two, ArchiveWAL{Target: "nas", SystemIdentifier: "77", SegmentSize: testSegment, Runs: []WALRun{{1, seg(10), seg(40)}}}, when(13, 0), "", "", "b [1] current 0/0 13:00", "", "it was not looked up"},
		{"XID", two, oneTimeline(), xid(WALPosition{seg(26, 8), clock(13, 1)}), "", "", "b [1] current 0/1A000008 13:01", "", ""},
		{"XID that ended during the newest", two, oneTimeline(), xid(WALPosition{seg(24, 0x100), clock(12, 1)}), "", "", "a [1] current 0/18000100 12:01", "", ""},
		{"XID that was not found", two, oneTimeline(), xid(), "", "", "", "target: no end of a transaction 731", ""},
		{"XID before all", two, oneTimeline(), xid(WALPosition{seg(10, 8), clock(7, 1)}), "", "", "", "before: the end of transaction 731 is before", ""},
		{"name", two, oneTimeline(), name(WALPosition{seg(26, 8), clock(13, 1)}), "", "", "b [1] current 0/1A000008 13:01", "", ""},
		{"name that was not found", two, oneTimeline(), name(), "", "", "", `target: no restore point "before"`, ""},
		{"name that comes twice", two, oneTimeline(), name(WALPosition{seg(13, 8), clock(9, 1)}, WALPosition{seg(26, 8), clock(13, 1)}), "", "", "b [1] current 0/1A000008 13:01", "", "there are 2 restore points"},
		{"name that comes twice, from before both", two[:1], oneTimeline(), name(WALPosition{seg(13, 8), clock(9, 1)}, WALPosition{seg(26, 8), clock(13, 1)}), "", "", "a [1] current 0/D000008 09:01", "", "this is the one at 0/D000008"},
		{"name inside of the newest and again later", two, oneTimeline(), name(WALPosition{seg(24, 0x100), clock(12, 1)}, WALPosition{seg(26, 8), clock(13, 1)}), "", "", "a [1] current 0/18000100 12:01", "", "this is the one at 0/18000100"},

		{"hole before the end", two[:1], withHole(), RecoveryPoint{}, "", "", "", "hole: the archive at nas lacks the WAL from 0/14000000 to 0/16000000", ""},
		{"a backup after the hole", two, withHole(), RecoveryPoint{}, "", "", "b [1] current 0/28000000 20:00", "", ""},
		{"LSN before the hole", two, withHole(), at(seg(19)), "", "", "a [1] current 0/13000000 -", "", ""},
		{"LSN in the hole", two, withHole(), at(seg(21)), "", "", "", "hole: choose a point before 0/14000000", ""},
		{"LSN beyond the hole and before the next backup", two, withHole(), at(seg(23)), "", "", "", "hole: cannot get to the LSN 0/17000000", ""},
		{"time beyond the hole, perhaps", two, withHole(), when(11, 0), "", "", "", "hole: the time 2026-11-22 11:00:00+00", ""},
		{"time found before the hole", two, withHole(), RecoveryPoint{Time: clock(11, 0), Found: []WALPosition{{seg(19), clock(11, 1)}}}, "", "", "a [1] current 0/13000000 11:00", "", ""},
		{"immediate before the hole", two, withHole(), RecoveryPoint{Immediate: true}, "", "a", "a [1] current 0/B000800 08:30", "", ""},
		{"a backup whose WAL is missing", []BackupFact{takenAt("x", 1, 9, 21)}, withHole(), RecoveryPoint{Immediate: true}, "", "", "", "wal: the backup x needs the WAL from 0/15000028 to 0/15000800", ""},
		{"a backup whose WAL breaks off", []BackupFact{takenAt("x", 1, 9, 19, func(b *BackupFact) { b.StopLSN = seg(20, 8) })}, withHole(), RecoveryPoint{Immediate: true}, "", "", "", "wal: lacks it from 0/14000000 on", ""},
		{"an older one where the newest one's WAL is missing", []BackupFact{takenAt("a", 1, 8, 11), takenAt("x", 1, 9, 20)}, withHole(), RecoveryPoint{Immediate: true}, "", "", "a [1] current 0/B000800 08:30", "", ""},

		{"the latest timeline is 3, which the newest backups are not on", branched, forked(), RecoveryPoint{}, "", "", "a [1 3] 3 0/1E000000 15:00", "", ""},
		{"timeline 2", branched, forked(), RecoveryPoint{}, "2", "", "c [2] current 0/28000000 20:00", "", ""},
		{"timeline 2 before its first backup", branched, forked(), at(seg(28)), "2", "", "a [1 2] 2 0/1C000000 -", "", ""},
		{"timeline 1 where it was left", branched, forked(), at(seg(27)), "1", "", "b [1] current 0/1B000000 -", "", ""},
		{"the backup's own timeline", branched, forked(), at(seg(27)), "current", "b", "b [1] current 0/1B000000 -", "", ""},
		{"timeline that does not contain the point", branched, forked(), at(seg(35)), "3", "", "", `past: timeline 3 does not contain the LSN 0/23000000: in the archive at nas it ends at 0/1E000000, and timeline 2 goes on: write timeline = "2"`, ""},
		{"timeline that the backup is not on", branched, forked(), RecoveryPoint{}, "3", "b", "", "timeline: timeline 3 leaves timeline 1 at 0/F004000, before the end of the backup b", ""},
		{"timeline that does not come from the backup's", branched, forked(), RecoveryPoint{}, "3", "c", "", "timeline: timeline 3 does not come from timeline 2", ""},
		{"timeline that nobody knows", branched, forked(), RecoveryPoint{}, "7", "", "", "timeline: knows no timeline 7, but [1 2 3]", ""},
		{"no timeline", branched, forked(), RecoveryPoint{}, "newest", "", "", "timeline: is no timeline", ""},
		{"timeline whose history is missing", []BackupFact{takenAt("a", 1, 8, 11), takenAt("z", 5, 16, 30, broken)}, func() ArchiveWAL {
			a := forked()
			a.Timelines = append(a.Timelines, WALTimeline{Timeline: 5})
			return a
		}(), RecoveryPoint{}, "", "", "", "timeline: the archive lacks 00000005.history", ""},
		{"a moment of a timeline that was left", branched, forked(), when(12, 0), "2", "", "a [1 2] 2 0/0 12:00", "", "the backup b of timeline 1 is newer"},

		{"damaged ones come last", []BackupFact{takenAt("a", 1, 8, 11), takenAt("b", 1, 12, 24, damaged)}, oneTimeline(), RecoveryPoint{}, "", "", "a [1] current 0/28000000 20:00", "", ""},
		{"damaged rather than none", []BackupFact{takenAt("b", 1, 12, 24, damaged)}, oneTimeline(), RecoveryPoint{}, "", "", "b [1] current 0/28000000 20:00", "", "damaged on the node already"},
		{"broken ones never", []BackupFact{takenAt("a", 1, 8, 11), takenAt("b", 1, 12, 24, broken)}, oneTimeline(), RecoveryPoint{}, "", "", "a [1] current 0/28000000 20:00", "", ""},
		{"a broken one by name", []BackupFact{takenAt("a", 1, 8, 11), takenAt("b", 1, 12, 24, broken)}, oneTimeline(), RecoveryPoint{}, "", "b", "", "backup: cannot be restored (a part is missing)", ""},
		{"a parent is missing", []BackupFact{takenAt("b", 1, 12, 24, upon("a"))}, oneTimeline(), RecoveryPoint{}, "", "b", "", "backup: builds upon is missing", ""},
		{"no such backup", two, oneTimeline(), RecoveryPoint{}, "", "z", "", "backup: there is no backup z", ""},
		{"no backup at all", nil, oneTimeline(), RecoveryPoint{}, "", "", "", "backup: take one", ""},
		{"none that can be restored", []BackupFact{takenAt("b", 1, 12, 24, broken)}, oneTimeline(), RecoveryPoint{}, "", "", "", "backup: none of the 1 backups", ""},
		{"of another cluster", []BackupFact{takenAt("b", 1, 12, 24, upgraded)}, oneTimeline(), RecoveryPoint{}, "", "", "", "backup: system identifier 88", ""},

		{"WAL included, no archive, latest", []BackupFact{takenAt("b", 1, 12, 24, included)}, ArchiveWAL{}, RecoveryPoint{}, "", "", "b [1] current 0/18000800 12:30", "", ""},
		{"WAL included, no archive, immediate", []BackupFact{takenAt("b", 1, 12, 24, included)}, ArchiveWAL{}, RecoveryPoint{Immediate: true}, "", "", "b [1] current 0/18000800 12:30", "", ""},
		{"WAL included, no archive, LSN", []BackupFact{takenAt("b", 1, 12, 24, included)}, ArchiveWAL{}, at(seg(30)), "", "", "", "past: it can be restored to its end at 0/18000800", ""},
		{"WAL included, no archive, time", []BackupFact{takenAt("b", 1, 12, 24, included)}, ArchiveWAL{}, when(13, 0), "", "", "", "past: leave the point out, or write immediate", ""},
		{"WAL included, and an archive to go on with", []BackupFact{takenAt("b", 1, 12, 24, included)}, oneTimeline(), at(seg(30)), "", "", "b [1] current 0/1E000000 -", "", ""},
		{"WAL included, archive away, immediate", []BackupFact{takenAt("b", 1, 12, 24, included)}, ArchiveWAL{Target: "nas", Error: "no route"}, RecoveryPoint{Immediate: true}, "", "", "b [1] current 0/18000800 12:30", "", ""},
		{"WAL included, archive away, latest", []BackupFact{takenAt("b", 1, 12, 24, included)}, ArchiveWAL{Target: "nas", Error: "no route"}, RecoveryPoint{}, "", "", "", "wal: could not be looked at (no route)", ""},
		{"WAL included, archive away, time", []BackupFact{takenAt("b", 1, 12, 24, included)}, ArchiveWAL{Target: "nas", Error: "no route"}, when(13, 0), "", "", "", "wal: could not be looked at (no route)", ""},
		{"WAL archived, no archive", two, ArchiveWAL{}, RecoveryPoint{}, "", "", "", "wal: needs WAL of an archive", ""},
		{"WAL archived, archive away", two, ArchiveWAL{Target: "nas", Error: "no route"}, RecoveryPoint{}, "", "", "", "wal: could not be looked at (no route)", ""},
		{"cold, latest", []BackupFact{takenAt("b", 1, 12, 24, cold)}, oneTimeline(), RecoveryPoint{}, "", "", "b [1] current 0/28000000 20:00", "", ""},
		{"cold, immediate without its WAL", []BackupFact{takenAt("b", 1, 12, 50, cold)}, oneTimeline(), RecoveryPoint{Immediate: true}, "", "", "b [1] current 0/32000028 12:30", "", ""},
		{"cold, newer than the archive", []BackupFact{takenAt("b", 1, 12, 50, cold)}, oneTimeline(), RecoveryPoint{}, "", "", "b [1] current 0/32000028 12:30", "", ""},
		{"cold, hole behind it", []BackupFact{takenAt("b", 1, 12, 20, cold)}, withHole(), RecoveryPoint{}, "", "", "", "hole: lacks the WAL from 0/14000028 to 0/16000000", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := ChooseBackup(RecoveryQuery{test.backups, test.backup, test.point, test.timeline, test.archive})
			if test.refused != "" {
				var r *RecoveryRefusal
				kind, text, _ := strings.Cut(test.refused, ": ")
				if !errors.As(err, &r) || r.Kind != kind || !strings.Contains(r.Error(), text) {
					t.Fatalf("got %+v, %v", got, err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			end := "-"
			if !got.EndTime.IsZero() {
				end = got.EndTime.Format("15:04")
			}
			if s := fmt.Sprint(got.Backup, " ", got.Path, " ", got.Setting, " ", got.EndLSN, " ", end); s != test.want {
				t.Errorf("got %s, want %s", s, test.want)
			}
			if notices := strings.Join(got.Notices, "; "); !strings.Contains(notices, test.notice) || test.notice == "" && notices != "" {
				t.Errorf("notices: %q", notices)
			}
		})
	}
}

func TestPointsAreLookedForFromTheOldestBackupOn(t *testing.T) {
	q := RecoveryQuery{Backups: []BackupFact{takenAt("a", 1, 8, 11), takenAt("b", 1, 12, 24), takenAt("c", 1, 13, 26, broken)}, Archive: withHole()}
	got, err := q.Searches()
	if want := "[{1 0/18000028 0/28000000} {1 0/B000028 0/14000000}]"; err != nil || fmt.Sprint(got) != want {
		t.Errorf("%v, %v, want %s", got, err, want)
	}
	q = RecoveryQuery{Backups: []BackupFact{takenAt("a", 1, 8, 11), takenAt("b", 1, 11, 26)}, Archive: forked(), Timeline: "2"}
	got, err = q.Searches()
	if want := "[{2 0/B000028 0/28000000}]"; err != nil || fmt.Sprint(got) != want {
		t.Errorf("%v, %v, want %s", got, err, want)
	}
}
