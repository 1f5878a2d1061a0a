package take

import (
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pg_manage/executor/basebackup/frame"
	"pg_manage/executor/repo/catalog"
	"pg_manage/schema/postgres"
)

func TestNeededWAL(t *testing.T) {
	const mb = 1 << 20
	for _, c := range []struct {
		start, stop postgres.LSN
		want        string
	}{
		{3*mb + 40, 3*mb + 400, "000000020000000000000003"},
		{3*mb + 40, 4 * mb, "000000020000000000000003"}, // the byte at stop is not needed
		{3*mb + 40, 4*mb + 1, "000000020000000000000003 000000020000000000000004"},
		{1<<32 - mb + 40, 1<<32 + 40, "000000020000000000000FFF 000000020000000100000000"},
	} {
		names, err := neededWAL(2, c.start, c.stop, mb)
		if err != nil || strings.Join(names, " ") != c.want {
			t.Errorf("%s to %s: %v, %v", c.start, c.stop, names, err)
		}
	}
	if names, err := neededWAL(1, 400, 400, mb); err == nil {
		t.Errorf("nothing at all: %v", names)
	}
}

func TestAfterRecord(t *testing.T) {
	const page, segment = 8192, 1 << 20
	for _, c := range []struct{ at, n, want postgres.LSN }{
		{page + 24, 114, page + 24 + 120},
		{2*page - 120, 114, 2 * page},            // its padding ends the page
		{2*page - 96, 114, 2*page + 24 + 24},     // 18 bytes go on behind the header
		{segment - 96, 114, segment + 40 + 24},   // and behind the longer one
		{2*page - 8, 2 * page, 4*page + 24 + 40}, // over two pages
	} {
		if got := afterRecord(c.at, c.n, page, segment); got != c.want {
			t.Errorf("%d bytes at %d end at %d, want %d", c.n, c.at, got, c.want)
		}
	}
}

func TestUnfitParents(t *testing.T) {
	f := &facts{control: &postgres.ControlData{SystemIdentifier: 7}, version: "15.18"}
	history := []postgres.Branch{{Timeline: 1, End: 0x100}, {Timeline: 2, End: 0x200}}
	for name, c := range map[string]struct {
		change func(e *catalog.Entry)
		want   string
	}{
		"same timeline":           {func(*catalog.Entry) {}, ""},
		"broken":                  {func(e *catalog.Entry) { e.Broken = "a part is missing" }, "a part is missing"},
		"another system":          {func(e *catalog.Entry) { e.SystemIdentifier = "8" }, "it is of the system 8"},
		"another major version":   {func(e *catalog.Entry) { e.PostgreSQL = "14.9" }, "it is of PostgreSQL 14.9"},
		"another minor version":   {func(e *catalog.Entry) { e.PostgreSQL = "15.1" }, ""},
		"cold":                    {func(e *catalog.Entry) { e.PostgreSQL, e.Cold = "15", true }, ""},
		"an ancestor":             {func(e *catalog.Entry) { e.Timeline, e.StopLSN = 1, 0x100 }, ""},
		"an ancestor's other end": {func(e *catalog.Entry) { e.Timeline, e.StopLSN = 2, 0x201 }, "left its timeline 2 at 0/200"},
		"a sibling":               {func(e *catalog.Entry) { e.Timeline = 4 }, "does not lead to"},
	} {
		e := &catalog.Entry{Info: catalog.Info{SystemIdentifier: "7", PostgreSQL: "15.18", Timeline: 3}}
		c.change(e)
		if got := unfit(e, f, 3, history); !strings.Contains(got, c.want) || (got == "") != (c.want == "") {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// TestATimelineIsKnownByItsHistoryAndNotByItsNumber: summaries of one tell nothing of the other.
func TestATimelineIsKnownByItsHistoryAndNotByItsNumber(t *testing.T) {
	const two, other = "1\t0/3000100\tno recovery target specified\n", "1\t0/5000100\tno recovery target specified\n"
	three := two + "\n2\t0/7000100\tno recovery target specified\n"
	for name, c := range map[string]struct {
		server, parent string
		want           bool
	}{
		"the same":            {two, two, true},
		"its parent":          {three, two, true},
		"another of its name": {two, other, false},
		"another's child":     {three, other, false},
		"a child":             {two, three, false},
		"the server has none": {"", two, false},
		"the parent has none": {two, "", false},
	} {
		if got := begins([]byte(c.server), int64(len(c.parent)), frame.Sums(nil, []byte(c.parent))); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestSummariesMustCoverThePath(t *testing.T) {
	history := []postgres.Branch{{Timeline: 1, End: 100}, {Timeline: 2, End: 200}}
	path := walPath(span{1, 50, 250}, 3, history)
	if want := []span{{1, 50, 100}, {2, 100, 200}, {3, 200, 250}}; !slices.Equal(path, want) {
		t.Errorf("got %v", path)
	}
	if p := walPath(span{2, 150, 190}, 2, history[:1]); !slices.Equal(p, []span{{2, 150, 190}}) {
		t.Errorf("got %v", p)
	}
	whole := []span{{2, 100, 200}, {1, 60, 100}, {1, 40, 60}, {1, 0, 40}, {3, 200, 250}, {3, 250, 300}}
	needed, err := covering(whole, path)
	if want := []span{{1, 40, 60}, {1, 60, 100}, {2, 100, 200}, {3, 200, 250}}; err != nil || !slices.Equal(needed, want) {
		t.Errorf("got %v, %v", needed, err)
	}
	for i, s := range whole {
		if s.end <= 40 || s.start >= 250 {
			continue // not needed
		}
		if _, err := covering(slices.Delete(slices.Clone(whole), i, i+1), path); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("on timeline %d", s.timeline)) {
			t.Errorf("without %v: %v", s, err)
		}
	}
	if needed, err := covering(nil, []span{{1, 50, 50}}); err != nil || needed != nil {
		t.Errorf("an empty path: %v, %v", needed, err)
	}
}

func TestChanges(t *testing.T) {
	c := newChanges(131072)
	add := func(row ...string) {
		t.Helper()
		var bytes [][]byte
		for _, v := range row {
			bytes = append(bytes, []byte(v))
		}
		if err := c.add(bytes); err != nil {
			t.Fatal(err)
		}
	}
	add("1663", "5", "16384", "0", "3", "f")
	add("1663", "5", "16384", "0", "131075", "f")
	add("1663", "5", "16384", "2", "0", "f") // its visibility map
	add("1663", "5", "16390", "0", "10", "t")
	add("1663", "5", "16390", "0", "20", "t") // an earlier truncation cut more
	add("1663", "5", "16390", "0", "4", "f")
	add("1663", "5", "16391", "0", "131080", "t")
	add("16500", "6", "0", "0", "0", "t") // a database that was made in a tablespace
	for _, q := range []struct {
		path    string
		known   bool
		changed []int64 // of the first 200
		limit   int64
	}{
		{"base/5/16384", true, []int64{3}, math.MaxInt64},
		{"base/5/16384.1", true, []int64{3}, math.MaxInt64},
		{"base/5/16384.2", true, nil, math.MaxInt64},
		{"base/5/16385", true, nil, math.MaxInt64}, // nobody wrote to it
		{"base/5/16390", true, []int64{4}, 10},
		{"base/5/16390.1", false, nil, 0}, // behind the limit
		{"base/5/16391", true, nil, 131080},
		{"base/5/16391.1", true, nil, 8},
		{"base/5/16384_fsm", false, nil, 0},
		{"base/5/16384_vm", false, nil, 0},
		{"base/5/16384_init", false, nil, 0},
		{"base/5/t3_16384", false, nil, 0},
		{"base/5/PG_VERSION", false, nil, 0},
		{"base/5/pg_filenode.map", false, nil, 0},
		{"global/1260", false, nil, 0},
		{"pg_xact/0000", false, nil, 0},
		{"postgresql.conf", false, nil, 0},
		{"pg_tblspc/16500/PG_17_202406281/6/16384", false, nil, 0},
		{"pg_tblspc/16500/PG_17_202406281/5/16384", true, nil, math.MaxInt64},
		{"pg_tblspc/16501/PG_17_202406281/6/16384", true, nil, math.MaxInt64},
		{"base/6/16384", true, nil, math.MaxInt64},
	} {
		blocks, limit, known := c.Changed(q.path)
		var changed []int64
		for b := int64(0); known && b < 200; b++ {
			if blocks(b) {
				changed = append(changed, b)
			}
		}
		if known != q.known || !slices.Equal(changed, q.changed) || limit != q.limit {
			t.Errorf("%s: %v, %v, %d", q.path, known, changed, limit)
		}
	}
	for _, row := range [][]string{{"x", "5", "1", "0", "1", "f"}, {"1663", "5", "1", "0", "-1", "f"}, {"1663", "5", "1", "0", "4294967296", "f"}} {
		var bytes [][]byte
		for _, v := range row {
			bytes = append(bytes, []byte(v))
		}
		if err := c.add(bytes); err == nil {
			t.Errorf("%v is taken for a row of a summary", row)
		}
	}
}

func FuzzChanged(f *testing.F) {
	f.Add("base/5/16384.1")
	f.Add("pg_tblspc/16500/PG_17_202406281/6/16384_fsm")
	f.Add("//")
	f.Fuzz(func(t *testing.T, name string) {
		c := newChanges(131072)
		if err := c.add([][]byte{[]byte("1663"), []byte("5"), []byte("16384"), []byte("0"), []byte("131075"), []byte("f")}); err != nil {
			t.Fatal(err)
		}
		blocks, limit, known := c.Changed(name)
		if !known {
			return
		}
		if !strings.HasPrefix(name, "base/") && !strings.HasPrefix(name, "pg_tblspc/") || limit <= 0 {
			t.Errorf("%q is taken for a relation's file", name)
		}
		blocks(0)
		blocks(1 << 40)
	})
}

func TestRunning(t *testing.T) {
	dir := t.TempDir()
	pid := func(text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, "postmaster.pid"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want := func(want int) {
		t.Helper()
		if got, err := running(dir); err != nil || got != want {
			t.Errorf("got %d, %v, want %d", got, err, want)
		}
	}
	want(0)
	sleep := exec.Command("sleep", "600")
	sleep.Dir = dir
	if err := sleep.Start(); err != nil {
		t.Fatal(err)
	}
	pid(fmt.Sprintf("%d\n%s\n", sleep.Process.Pid, dir))
	want(sleep.Process.Pid)
	pid(fmt.Sprintf("-%d\n", sleep.Process.Pid)) // a single-user server
	want(sleep.Process.Pid)
	pid(fmt.Sprintf("%d\n", os.Getpid())) // a number that has gone to another program
	want(0)
	sleep.Process.Kill() //nolint:errcheck // it runs
	sleep.Wait()         //nolint:errcheck // killed
	pid(fmt.Sprintf("%d\n", sleep.Process.Pid))
	want(0)
	for _, text := range []string{"", "x\n", "0\n"} {
		pid(text)
		if got, err := running(dir); err == nil {
			t.Errorf("%q: %d", text, got)
		}
	}
}

func TestWaitReason(t *testing.T) {
	away := errors.New("connection refused")
	for _, c := range []struct {
		err  error
		a    archiverState
		want string
	}{
		{nil, archiverState{running: true, archived: "5", last: "000000010000000000000005"}, "the archiver is behind: the last file that it has archived is 000000010000000000000005"},
		{nil, archiverState{running: true, failing: "000000010000000000000006", failed: "2026-11-25 19:26:26 UTC"}, "archive_command fails, last for 000000010000000000000006 at 2026-11-25 19:26:26 UTC"},
		{nil, archiverState{running: true, last: "000000010000000000000008"}, "does its archive_command lead elsewhere?"},
		{nil, archiverState{}, "the server's archiver is not running"},
		{nil, archiverState{unknown: away}, "the server cannot be asked about its archiver: connection refused"},
		{nil, archiverState{ofAStandby: true}, "the primary archives it"},
		{away, archiverState{running: true}, "the archive cannot be asked: connection refused"},
	} {
		if got := waitReason(c.err, "000000010000000000000007", c.a); !strings.Contains(got, c.want) {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}
