package audit

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pg_manage/executor/wal/audit/walcheck/waltest"
	"pg_manage/schema/postgres"
)

// dataDir is a directory with the pg_wal of a server that archives to a store.
type dataDir struct {
	t      *testing.T
	dir    string
	pushed []string
	fail   map[string]error
	s      *store
}

func newDataDir(t *testing.T, s *store) *dataDir {
	t.Helper()
	d := &dataDir{t: t, dir: t.TempDir(), s: s, fail: map[string]error{}}
	if err := os.MkdirAll(filepath.Join(d.dir, "pg_wal", "archive_status"), 0o700); err != nil {
		t.Fatal(err)
	}
	return d
}

func (d *dataDir) wal(name string, b []byte, mark string) {
	d.t.Helper()
	if b != nil {
		if err := os.WriteFile(filepath.Join(d.dir, "pg_wal", name), b, 0o600); err != nil {
			d.t.Fatal(err)
		}
	}
	if mark != "" {
		if err := os.WriteFile(filepath.Join(d.dir, "pg_wal", "archive_status", name+mark), nil, 0o600); err != nil {
			d.t.Fatal(err)
		}
	}
}

func (d *dataDir) options() PushOptions {
	return PushOptions{DataDir: d.dir, Archive: d.s.a, Push: func(_ context.Context, path string) error {
		name := filepath.Base(path)
		if err := d.fail[name]; err != nil {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		d.s.put(name, "", b)
		d.pushed = append(d.pushed, name)
		return nil
	}}
}

func shape(t *testing.T, r *PushReport) string {
	t.Helper()
	b, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestPushMissingClosesHolesWithCompleteFilesAlone(t *testing.T) {
	s := newStore(t, 1<<20, system)
	w := waltest.New(system, 1, 1<<20, 1, 3)
	w.Fill(9)
	s.all(w)
	d := newDataDir(t, s)
	for _, n := range []uint64{2, 3, 5, 6, 7, 8, 9, 10} {
		s.remove(strings.TrimPrefix(glob(t, s, w.Name(n)), s.path("")+"/"))
	}
	// Of 4 to 6 pg_wal still has the files, 6 has lost its mark in a crash; 7 is marked and
	// holds old content; 8 was never archived; 9 is being written; 10 waits for later use.
	backup := w.Name(5) + ".00000028.backup"
	d.wal(w.Name(4), w.Segments[4], ".done")
	d.wal(w.Name(5), w.Segments[5], ".done")
	d.wal(w.Name(6), w.Segments[6], "")
	d.wal(w.Name(7), w.Segments[1], ".done")
	d.wal(w.Name(8), w.Segments[8], ".ready")
	d.wal(w.Name(9), w.Segments[9], "")
	d.wal(w.Name(10), w.Segments[4], "")
	d.wal(backup, []byte("START WAL LOCATION: 0/500028 (file "+w.Name(5)+")\n"), ".done")
	o := d.options()
	o.DryRun = true
	r, err := PushMissing(t.Context(), o)
	if err != nil || len(d.pushed) > 0 || !r.DryRun {
		t.Fatal(err, d.pushed)
	}
	o.DryRun = false
	again, err := PushMissing(t.Context(), o)
	if err != nil || fmt.Sprint(again.Pushed) != fmt.Sprint(r.Pushed) || fmt.Sprint(d.pushed) != fmt.Sprint(again.Pushed) {
		t.Fatal(err, r, again, d.pushed)
	}
	want := `{"version":1,"pushed":["` + strings.Join([]string{w.Name(5), backup, w.Name(6), w.Name(8)}, `","`) + `"],"present":1,"unpushable":[{"from":"` + w.Name(2) + `","to":"` + w.Name(3) + `","segments":2}],"failed":[{"name":"` + w.Name(7) + `","error":"`
	if got := shape(t, again); !strings.HasPrefix(got, want) || !strings.Contains(got, "another segment's content") {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if r := s.check(Options{}); len(r.Problems) > 0 {
		t.Error(details(r))
	}
	last, err := PushMissing(t.Context(), o)
	if err != nil || len(last.Pushed) > 0 || last.Present != 5 {
		t.Error(err, shape(t, last))
	}
}

func glob(t *testing.T, s *store, name string) string {
	t.Helper()
	found, err := filepath.Glob(s.path(name[:16] + "/" + name + "*"))
	if err != nil || len(found) != 1 {
		t.Fatal(found, err)
	}
	return found[0]
}

// TestPushMissingLeavesHalfASegmentAlone: a standby marks the segment in which its
// upstream left the timeline, and a crash may leave a mark on one that isn't full.
func TestPushMissingLeavesHalfASegmentAlone(t *testing.T) {
	s := newStore(t, 1<<20, system)
	one := waltest.New(system, 1, 1<<20, 1, 9)
	one.Fill(1)
	one.Record(300000)
	two := one.Fork(2)
	history := []byte(postgres.FormatHistory([]postgres.Branch{{Timeline: 1, End: postgres.LSN(two.Pos), Reason: "x"}}))
	two.Fill(3)
	d := newDataDir(t, s)
	d.wal(one.Name(1), one.Segments[1], ".done")
	d.wal(one.Name(2), one.Segments[2], ".done") // left there
	d.wal("00000002.history", history, "")
	d.wal(two.Name(2), two.Segments[2], ".done")
	half := bytes.Clone(two.Segments[3])
	clear(half[1<<19:])
	d.wal(two.Name(3), half, ".ready") // not full
	r, err := PushMissing(t.Context(), d.options())
	if err != nil || fmt.Sprint(r.Pushed) != fmt.Sprint([]string{"00000002.history", one.Name(1), two.Name(2)}) || len(r.Failed) != 1 || r.Failed[0].Name != two.Name(3) {
		t.Fatal(err, shape(t, r))
	}
}

func TestPushMissingStopsAtAnOutage(t *testing.T) {
	s := newStore(t, 1<<20, system)
	w := waltest.New(system, 1, 1<<20, 1, 3)
	w.Fill(6)
	d := newDataDir(t, s)
	for n := uint64(1); n <= 5; n++ {
		d.wal(w.Name(n), w.Segments[n], ".done")
	}
	d.fail[w.Name(2)] = errors.New("other content")
	r, err := PushMissing(t.Context(), d.options())
	if err != nil || len(r.Pushed) != 4 || len(r.Failed) != 1 || len(r.Unpushable) != 0 {
		t.Fatal(err, shape(t, r))
	}
	out := false
	o := d.options()
	push := o.Push
	for n := uint64(3); n <= 5; n++ {
		s.remove(strings.TrimPrefix(glob(t, s, w.Name(n)), s.path("")+"/"))
	}
	o.Archive = s.fault(func(string, string) error {
		if out {
			return errors.New("connection reset")
		}
		return nil
	})
	o.Push = func(ctx context.Context, path string) error {
		if filepath.Base(path) == w.Name(4) {
			out = true
			return errors.New("connection reset")
		}
		return push(ctx, path)
	}
	r, err = PushMissing(t.Context(), o)
	if err == nil || fmt.Sprint(r.Pushed) != fmt.Sprint([]string{w.Name(3)}) || len(r.Failed) != 2 {
		t.Fatal(err, shape(t, r))
	}
	if _, err := PushMissing(t.Context(), o); err == nil {
		t.Fatal("an archive that cannot be looked at lacks nothing")
	}
}

func TestBacklogCountsWhatWaits(t *testing.T) {
	d := newDataDir(t, nil)
	if n, size, oldest, err := Backlog(d.dir); n != 0 || size != 0 || oldest != "" || err != nil {
		t.Fatal(n, size, oldest, err)
	}
	d.wal("000000020000000000000007", make([]byte, 5000), ".ready")
	d.wal("000000010000000000000009", make([]byte, 1000), ".ready")
	d.wal("00000002.history", make([]byte, 50), ".ready")
	d.wal("000000010000000000000008", make([]byte, 1000), ".done")
	d.wal("000000010000000000000001", nil, ".ready") // a mark that a crash has left
	d.wal("x", make([]byte, 1000), ".ready")
	if n, size, oldest, err := Backlog(d.dir); n != 3 || size != 6050 || oldest != "00000002.history" || err != nil {
		t.Fatal(n, size, oldest, err)
	}
	if _, _, _, err := Backlog(t.TempDir()); err == nil {
		t.Fatal("a directory without pg_wal has no backlog")
	}
}

func FuzzStoredNames(f *testing.F) {
	for _, seed := range [][2]string{{"", "00000002.history"}, {"0000000100000000", "000000010000000000000001.zst"}, {"0000000100000000", "000000010000000000000001.00000028.backup"}, {"", "x"}, {"0000000100000000", ".x.pg_manage-tmp"}} {
		f.Add(seed[0], seed[1], "1\t0/3000000\tx\n")
	}
	a := Archive{SegmentSize: 16 << 20, Split: split}
	f.Fuzz(func(t *testing.T, dir, stored, history string) {
		o, why := a.parse(dir, stored)
		if why == "" {
			if strings.ContainsAny(stored, "/\n\x00") || o.file.Kind != postgres.WALHistory && dir != o.file.Name[:16] || stored != o.file.Name+o.ext {
				t.Fatalf("%q in %q passed as %v", stored, dir, o)
			}
			if n, err := a.number(o.file); o.file.Kind != postgres.WALHistory {
				l := lineage{segSize: a.SegmentSize}
				if err != nil || l.name(o.file.Timeline, n) != o.file.SegmentName() {
					t.Fatalf("%s has the number %d: %v", stored, n, err)
				}
			}
		}
		// Whatever a history file says, the report is finite and orderly.
		b, err := postgres.ParseHistory(9, history)
		if err != nil {
			return
		}
		l, _ := newLineage(a.SegmentSize, map[postgres.Timeline][]postgres.Branch{9: b})
		present, err := a.pending([]string{"000000010000000000000001", "000000090000000000000003"})
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range l.timelines(present, nil) {
			for _, m := range x.Missing {
				if m.Segments == 0 || m.From > m.To {
					t.Fatal(m)
				}
			}
		}
		for _, r := range l.recoverable(present) {
			if r.FromLSN >= r.ToLSN {
				t.Fatal(r)
			}
		}
	})
}
