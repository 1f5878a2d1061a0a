package audit

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"pg_manage/schema/postgres"
)

func lsn(t testing.TB, s string) postgres.LSN {
	t.Helper()
	v, err := postgres.ParseLSN(s)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// describe gives continuity in few words: timeline, ranges, missing.
func describe(ts []Timeline) string {
	var b strings.Builder
	for _, x := range ts {
		fmt.Fprintf(&b, "%d:", x.Timeline)
		for _, r := range x.Ranges {
			fmt.Fprintf(&b, " %s-%s", r.From[9:], r.To[9:])
		}
		for _, m := range x.Missing {
			fmt.Fprintf(&b, " !%s-%s", m.From[9:], m.To[9:])
		}
		b.WriteString("\n")
	}
	return b.String()
}

// continuity says from names alone what an archive has of each timeline, and what it lacks.
func continuity(size int64, names, pending []string, histories map[postgres.Timeline][]postgres.Branch) ([]Timeline, error) {
	a := Archive{SegmentSize: size}
	present, err := a.pending(names)
	if err != nil {
		return nil, err
	}
	waiting, err := a.pending(pending)
	if err != nil {
		return nil, err
	}
	l, _ := newLineage(size, histories)
	return l.timelines(present, waiting), nil
}

func TestContinuityFollowsTimelines(t *testing.T) {
	const size = 16 << 20
	fork := func(s string) []postgres.Branch { return []postgres.Branch{{Timeline: 1, End: lsn(t, s)}} }
	type histories = map[postgres.Timeline][]postgres.Branch
	seg := func(tli int, from, to uint64) (names []string) {
		l := lineage{segSize: size}
		for n := from; n <= to; n++ {
			names = append(names, l.name(postgres.Timeline(tli), n))
		}
		return names
	}
	for what, c := range map[string]struct {
		names       [][]string
		histories   histories
		want        string
		recoverable string
	}{
		"nothing":                   {nil, nil, "", ""},
		"one range":                 {[][]string{seg(1, 1, 9)}, nil, "1: 000000000000001-000000000000009\n", "1 0/1000000-0/A000000 [1]"},
		"over a log's end":          {[][]string{seg(1, 254, 257)}, nil, "1: 0000000000000FE-000000100000001\n", "1 0/FE000000-1/2000000 [1]"},
		"a hole":                    {[][]string{seg(1, 3, 4), seg(1, 7, 7)}, nil, "1: 000000000000003-000000000000004 000000000000007-000000000000007 !000000000000005-000000000000006\n", "1 0/3000000-0/5000000 [1] 1 0/7000000-0/8000000 [1]"},
		"a switch":                  {[][]string{seg(1, 3, 4), seg(2, 5, 6)}, histories{2: fork("0/5000100")}, "1: 000000000000003-000000000000004\n2: 000000000000005-000000000000006\n", "2 0/3000000-0/7000000 [1 2]"},
		"a switch between segments": {[][]string{seg(1, 3, 4), seg(2, 5, 6)}, histories{2: fork("0/5000000")}, "1: 000000000000003-000000000000004\n2: 000000000000005-000000000000006\n", "2 0/3000000-0/7000000 [1 2]"},
		"parent's end is missing":   {[][]string{seg(1, 3, 3), seg(2, 5, 6)}, histories{2: fork("0/5000100")}, "1: 000000000000003-000000000000003 !000000000000004-000000000000004\n2: 000000000000005-000000000000006\n", "1 0/3000000-0/4000000 [1] 2 0/5000000-0/7000000 [2]"},
		"child's start is missing":  {[][]string{seg(1, 3, 4), seg(2, 7, 7)}, histories{2: fork("0/5000100")}, "1: 000000000000003-000000000000004\n2: 000000000000007-000000000000007 !000000000000005-000000000000006\n", "1 0/3000000-0/5000000 [1] 2 0/7000000-0/8000000 [2]"},
		"cleaned up into the child": {[][]string{seg(2, 7, 8)}, histories{2: fork("0/5000100")}, "1:\n2: 000000000000007-000000000000008\n", "2 0/7000000-0/9000000 [2]"},
		"parent went on":            {[][]string{seg(1, 3, 8), seg(2, 5, 6)}, histories{2: fork("0/5000100")}, "1: 000000000000003-000000000000008\n2: 000000000000005-000000000000006\n", "1 0/3000000-0/9000000 [1] 2 0/3000000-0/7000000 [1 2]"},
		"just promoted":             {[][]string{seg(1, 3, 4)}, histories{2: fork("0/5000100")}, "1: 000000000000003-000000000000004\n2:\n", "1 0/3000000-0/5000000 [1]"},
		"no history":                {[][]string{seg(1, 3, 4), seg(2, 7, 7)}, nil, "1: 000000000000003-000000000000004\n2: 000000000000007-000000000000007\n", "1 0/3000000-0/5000000 [1] 2 0/7000000-0/8000000 [2]"},
		"a whole timeline is missing": {
			[][]string{seg(1, 3, 4), seg(3, 7, 7)},
			histories{3: {{Timeline: 1, End: lsn(t, "0/5000100")}, {Timeline: 2, End: lsn(t, "0/7000100")}}},
			"1: 000000000000003-000000000000004\n2: !000000000000005-000000000000006\n3: 000000000000007-000000000000007\n", "1 0/3000000-0/5000000 [1] 3 0/7000000-0/8000000 [3]",
		},
		"two switches in one segment": {
			[][]string{seg(1, 3, 4), seg(3, 5, 5)},
			histories{2: fork("0/5000100"), 3: {{Timeline: 1, End: lsn(t, "0/5000100")}, {Timeline: 2, End: lsn(t, "0/5000200")}}},
			"1: 000000000000003-000000000000004\n2:\n3: 000000000000005-000000000000005\n", "3 0/3000000-0/6000000 [1 3]",
		},
	} {
		t.Run(what, func(t *testing.T) {
			names := slices.Concat(c.names...)
			rand.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
			got, err := continuity(size, names, nil, c.histories)
			if err != nil || describe(got) != c.want {
				t.Errorf("got %v\n%swant\n%s", err, describe(got), c.want)
			}
			a := Archive{SegmentSize: size}
			present, err := a.pending(names)
			if err != nil {
				t.Fatal(err)
			}
			l, problems := newLineage(size, c.histories)
			if len(problems) > 0 {
				t.Error(problems)
			}
			var said []string
			for _, r := range l.recoverable(present) {
				said = append(said, fmt.Sprintf("%d %s-%s %d", r.Timeline, r.FromLSN, r.ToLSN, r.Through))
			}
			if strings.Join(said, " ") != c.recoverable {
				t.Errorf("recoverable: got %s, want %s", said, c.recoverable)
			}
		})
	}
}

func TestMissingAndPresentMakeTheWhole(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := int64(1) << rapid.IntRange(20, 30).Draw(t, "size")
		first := rapid.Uint64Range(0, 1<<40/uint64(size)).Draw(t, "first")
		keep := rapid.SliceOfN(rapid.Bool(), 1, 600).Draw(t, "keep")
		l := lineage{segSize: size}
		var names []string
		want := map[string]bool{}
		lo, hi := -1, -1
		for i, k := range keep {
			if k {
				names = append(names, l.name(1, first+uint64(i)))
				want[names[len(names)-1]] = true
				if lo < 0 {
					lo = i
				}
				hi = i
			}
		}
		shuffled := rapid.Permutation(names).Draw(t, "names")
		got, err := continuity(size, append(shuffled, shuffled...), nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		if len(names) == 0 {
			if len(got) > 0 {
				t.Fatal(got)
			}
			return
		}
		// Walk ranges and holes in turn: together they must be all from first to last, in order.
		var all []string
		walk := func(from, to string, n uint64, present bool) {
			f, err := postgres.ClassifyWALName(from)
			if err != nil {
				t.Fatal(err)
			}
			start, err := f.Start(size)
			if err != nil {
				t.Fatal(err)
			}
			for i := range n {
				name := l.name(1, uint64(start)/uint64(size)+i)
				if want[name] != present {
					t.Fatalf("%s: present %v", name, want[name])
				}
				all = append(all, name)
				if i == n-1 && name != to {
					t.Fatalf("%s, not %s", name, to)
				}
			}
		}
		tl := got[0]
		if len(tl.Ranges) != len(tl.Missing)+1 {
			t.Fatalf("%d ranges and %d holes", len(tl.Ranges), len(tl.Missing))
		}
		for i, r := range tl.Ranges {
			walk(r.From, r.To, r.Segments, true)
			if i < len(tl.Missing) {
				walk(tl.Missing[i].From, tl.Missing[i].To, tl.Missing[i].Segments, false)
			}
		}
		if len(all) != hi-lo+1 || !slices.IsSorted(all) {
			t.Fatalf("%d of %d", len(all), hi-lo+1)
		}
		if len(tl.Missing) > 0 { // a hole that waits in pg_wal is none
			hole := tl.Missing[0].From
			got, err := continuity(size, shuffled, []string{hole}, nil)
			if err != nil || slices.ContainsFunc(got[0].Missing, func(m Missing) bool { return m.From == hole }) {
				t.Fatal(got, err)
			}
		}
	})
}

func TestNamesThatDoNotExistAreRefused(t *testing.T) {
	for _, name := range []string{"x", "000000010000000000000100"} {
		if got, err := continuity(16<<20, []string{name}, nil, nil); err == nil {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func BenchmarkContinuity(b *testing.B) {
	l := lineage{segSize: 16 << 20}
	for _, order := range []string{"sorted", "shuffled"} {
		names := make([]string, 0, 1_000_000)
		for n := uint64(1); len(names) < cap(names); n++ {
			if n%1000 != 0 {
				names = append(names, l.name(1, n))
			}
		}
		if order == "shuffled" {
			rand.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
		}
		b.Run(order, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				got, err := continuity(16<<20, names, nil, nil)
				if err != nil || len(got[0].Missing) != 1001 {
					b.Fatal(len(got[0].Missing), err)
				}
			}
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			b.ReportMetric(float64(m.HeapInuse)/(1<<20), "heap-MB")
		})
	}
}
