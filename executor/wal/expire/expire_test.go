package expire

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pg_manage/executor/repo/catalog"
	"pg_manage/executor/repo/posix"
	"pg_manage/executor/repo/repotest"
	"pg_manage/executor/repo/storage"
	"pg_manage/executor/wal/audit"
	"pg_manage/executor/wal/audit/walcheck/waltest"
	"pg_manage/schema/postgres"
)

const (
	system  = uint64(7711132678460134211)
	size    = 1 << 20
	archive = "pg_archlog/main"
	first   = 4090 // segments; 4096 is where the second directory begins
)

func open(t *testing.T) (audit.Archive, string) {
	t.Helper()
	root := t.TempDir()
	d, err := posix.New("file://"+root, "file", root)
	if err != nil {
		t.Fatal(err)
	}
	a := of(d)
	put(t, d, audit.IdentityName, []byte("{}"))
	return a, filepath.Join(root, archive)
}

func of(d storage.Driver) audit.Archive {
	return audit.Archive{
		Driver: d, Target: "nas", Dir: archive, SystemIdentifier: system, SegmentSize: size, Open: d.Open,
		Split: func(stored string) (string, string) { return stored, "" },
	}
}

func put(t *testing.T, d storage.Driver, name string, b []byte) {
	t.Helper()
	rel := name
	if f, err := postgres.ClassifyWALName(name); err == nil && f.Kind != postgres.WALHistory {
		rel = name[:16] + "/" + name
	}
	if err := d.Put(t.Context(), archive+"/"+rel, bytes.NewReader(b)); err != nil {
		t.Fatal(err)
	}
}

// switched is an archive with a change of timelines within a segment: timeline 1 goes from
// first to first+4, and the next one's partial; timeline 2 from there to first+10. Two
// .backup files name the segments first+1 and first+7.
func switched(t *testing.T) (audit.Archive, string, *waltest.Writer, *waltest.Writer) {
	t.Helper()
	a, dir := open(t)
	one := waltest.New(system, 1, size, first, 9)
	one.Fill(first + 4)
	one.Record(size / 3)
	two := one.Fork(2)
	fork := postgres.LSN(two.Pos)
	two.Fill(first + 10)
	delete(two.Segments, first+11)
	put(t, a.Driver, one.Name(first+5)+".partial", one.Segments[first+5])
	delete(one.Segments, first+5)
	for _, w := range []*waltest.Writer{one, two} {
		for n, b := range w.Segments {
			put(t, a.Driver, w.Name(n), b)
		}
	}
	put(t, a.Driver, "00000002.history", []byte(postgres.FormatHistory([]postgres.Branch{{Timeline: 1, End: fork, Reason: "x"}})))
	for n, w := range map[uint64]*waltest.Writer{first + 1: one, first + 7: two} {
		put(t, a.Driver, w.Name(n)+".00000028.backup", []byte("START WAL LOCATION: "+(postgres.LSN(n*size)+0x28).String()+" (file "+w.Name(n)+")\n"))
	}
	return a, dir, one, two
}

// kept is a whole backup that begins in a segment, offset bytes behind its start.
func kept(segment, offset uint64) catalog.Entry {
	return catalog.Entry{Info: catalog.Info{
		Label: "20261122T215500Z-node1-full", SystemIdentifier: strconv.FormatUint(system, 10), StartLSN: postgres.LSN(segment*size + offset),
	}}
}

// names lists what an archive holds.
func names(t *testing.T, dir string) (out []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			out = append(out, d.Name())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// sound holds what is left to what `archive check` says.
func sound(t *testing.T, a audit.Archive, what string, quick bool) {
	t.Helper()
	r, err := audit.Check(t.Context(), a, audit.Options{Workers: 2, Quick: quick})
	if err != nil || !r.Sound() {
		t.Errorf("%s: %v, %+v, %+v", what, err, r.Problems, r.Timelines)
	}
}

// needed gives the names that must stay when the first backup begins at a place.
func needed(all []string, floor postgres.LSN) []string {
	return slices.DeleteFunc(slices.Clone(all), func(name string) bool {
		f, err := postgres.ClassifyWALName(name)
		if err != nil || f.Kind == postgres.WALHistory {
			return false
		}
		start, err := f.Start(size)
		return err == nil && start+size <= floor
	})
}

// copies gives another archive with the same files at each call.
func copies(t *testing.T) func() (audit.Archive, string) {
	t.Helper()
	_, from, _, _ := switched(t)
	return func() (audit.Archive, string) {
		root := t.TempDir()
		d, err := posix.New("file://"+root, "file", root)
		if err != nil {
			t.Fatal(err)
		}
		to := filepath.Join(root, archive)
		err = filepath.WalkDir(from, func(path string, e os.DirEntry, err error) error {
			switch rel := strings.TrimPrefix(path, from); {
			case err != nil:
				return err
			case e.IsDir():
				return os.MkdirAll(to+rel, 0o755)
			default:
				return os.Link(path, to+rel)
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		return of(d), to
	}
}

func TestWhatNoBackupNeedsGoes(t *testing.T) {
	another := copies(t)
	for segment := uint64(first); segment <= first+11; segment++ {
		for _, offset := range []uint64{0, 1, size - 1} {
			what := fmt.Sprintf("from %d + %d on", segment-first, offset)
			a, dir := another()
			before := names(t, dir)
			o := Options{Kept: []catalog.Entry{kept(segment+2, 0), kept(segment, offset), kept(segment+1, 7)}}
			dry := o
			dry.DryRun = true
			would, err := Expire(t.Context(), a, dry)
			if err != nil {
				t.Fatal(err)
			}
			if got := names(t, dir); !slices.Equal(got, before) {
				t.Fatalf("%s: a dry run has changed the archive", what)
			}
			did, err := Expire(t.Context(), a, o)
			if err != nil {
				t.Fatal(err)
			}
			want := needed(before, postgres.LSN(segment*size+offset))
			if got := names(t, dir); !slices.Equal(got, want) {
				t.Errorf("%s: there is %q instead of %q", what, got, want)
			}
			would.DryRun = false
			if *would != *did || did.Files != len(before)-len(want) {
				t.Errorf("%s: %+v, but a dry run said %+v", what, did, would)
			}
			if left, err := os.ReadDir(dir); err != nil || slices.ContainsFunc(left, func(e os.DirEntry) bool { return e.Name() == "0000000100000000" }) && segment >= first+6 {
				t.Errorf("%s: an empty directory stays: %v, %v", what, left, err)
			}
			if again, err := Expire(t.Context(), a, o); err != nil || again.Files != 0 || again.First != "" {
				t.Errorf("%s: once more %+v, %v", what, again, err)
			}
			sound(t, a, what, offset > 0)
		}
	}
}

func TestNothingGoesWhenItIsNotKnownWhatIsNeeded(t *testing.T) {
	broken, unknown, foreign, noStart := kept(first+3, 0), catalog.Entry{}, kept(first+3, 0), kept(0, 0)
	broken.Broken, unknown.Label, unknown.Broken, foreign.SystemIdentifier = "part-0000.tar.zst is missing", "x", "backup.json is damaged", "1"
	a, dir, _, _ := switched(t)
	before := names(t, dir)
	for what, o := range map[string]Options{
		"no backup":                {},
		"a broken one":             {Kept: []catalog.Entry{broken}},
		"one of another cluster":   {Kept: []catalog.Entry{foreign}},
		"one that is not readable": {Kept: []catalog.Entry{kept(first+3, 0), unknown}},
		"one without a start":      {Kept: []catalog.Entry{kept(first+3, 0), noStart}},
		"one that is being taken":  {Kept: []catalog.Entry{kept(first+3, 0)}, Begun: []string{"20261123T215500Z-node1-full"}},
	} {
		r, err := Expire(t.Context(), a, o)
		if err != nil || r.Reason == "" || r.Files != 0 || r.Floor != 0 {
			t.Errorf("%s: %+v, %v", what, r, err)
		}
		if got := names(t, dir); !slices.Equal(got, before) {
			t.Fatalf("%s: %q is left", what, got)
		}
	}
	broken.StartLSN -= 2 * size
	r, err := Expire(t.Context(), a, Options{Kept: []catalog.Entry{kept(first+3, 0), broken}})
	if err != nil || r.Floor != broken.StartLSN {
		t.Errorf("the WAL of a broken backup: %+v, %v", r, err)
	}
}

func TestWhatIsNoArchiveIsLeftAlone(t *testing.T) {
	a, dir, _, _ := switched(t)
	if err := os.Remove(filepath.Join(dir, audit.IdentityName)); err != nil {
		t.Fatal(err)
	}
	before := names(t, dir)
	o := Options{Kept: []catalog.Entry{kept(first+9, 0)}}
	if r, err := Expire(t.Context(), a, o); err == nil || r.Error == "" || !slices.Equal(names(t, dir), before) {
		t.Errorf("%+v, %v", r, err)
	}
	a.Dir = "pg_archlog/none"
	if _, err := Expire(t.Context(), a, o); err == nil {
		t.Error("an archive that isn't there gave no error")
	}
}

func TestForeignFilesStay(t *testing.T) {
	a, dir, one, _ := switched(t)
	foreign := []string{"0000000100000000/README", "0000000100000000/00000002000000000000000A", "x/y", "0000000100000000/" + one.Name(first) + ".bak"}
	for _, name := range foreign {
		if err := a.Driver.Put(t.Context(), archive+"/"+name, strings.NewReader("x")); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Expire(t.Context(), a, Options{Kept: []catalog.Entry{kept(first+10, 0)}}); err != nil {
		t.Fatal(err)
	}
	for _, name := range foreign {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			t.Error(err)
		}
	}
}

func TestACrashLeavesAnArchiveWithoutAHole(t *testing.T) {
	o := Options{Kept: []catalog.Entry{kept(first+8, 100)}}
	another := copies(t)
	for _, done := range []bool{false, true} {
		for at := 1; ; at++ {
			a, dir := another()
			crash := &repotest.Crasher{Driver: a.Driver, At: at, Done: done}
			r, err := Expire(t.Context(), of(crash), o)
			what := fmt.Sprintf("crashed at %d (%v)", at, done)
			sound(t, a, what, true)
			all := names(t, dir)
			if crash.Crashed() && r.Error == "" && err == nil && len(needed(all, r.Floor)) != len(all) {
				t.Errorf("%s: nobody was told", what)
			}
			if _, err := Expire(t.Context(), a, o); err != nil {
				t.Fatal(err)
			}
			if got := names(t, dir); !slices.Equal(got, needed(got, postgres.LSN((first+8)*size+100))) {
				t.Errorf("%s: the next run left %q", what, got)
			}
			sound(t, a, what+", and finished", true)
			if !crash.Crashed() {
				if at < 10 {
					t.Fatalf("there were %d operations only", at)
				}
				break
			}
		}
	}
}

func TestACancelledRunStops(t *testing.T) {
	a, dir, _, _ := switched(t)
	before := names(t, dir)
	ctx, cancel := context.WithCancel(t.Context())
	r, err := Expire(ctx, a, Options{Kept: []catalog.Entry{kept(first+8, 0)}, Progress: func(files int, _ int64) {
		if files == 3 {
			cancel()
		}
	}})
	if err == nil || r.Files != 3 || len(names(t, dir)) != len(before)-3 {
		t.Errorf("%+v, %v", r, err)
	}
	sound(t, a, "cancelled", false)
}

// TestATimelineThatWasLeftGoesByTheSameRule: timeline 1 went on after timeline 2 left it,
// and a backup of it may be restored to its end.
func TestATimelineThatWasLeftGoesByTheSameRule(t *testing.T) {
	a, dir := open(t)
	one := waltest.New(system, 1, size, first, 3)
	one.Fill(first + 2)
	one.Record(size / 3)
	two := one.Fork(2)
	fork := postgres.LSN(two.Pos)
	for _, w := range []*waltest.Writer{one, two} {
		w.Fill(first + 8)
		delete(w.Segments, first+9)
		for n, b := range w.Segments {
			put(t, a.Driver, w.Name(n), b)
		}
	}
	put(t, a.Driver, "00000002.history", []byte(postgres.FormatHistory([]postgres.Branch{{Timeline: 1, End: fork, Reason: "x"}})))
	sound(t, a, "before", false)
	before := names(t, dir)
	r, err := Expire(t.Context(), a, Options{Kept: []catalog.Entry{kept(first+5, 40)}})
	if err != nil {
		t.Fatal(err)
	}
	if got := names(t, dir); !slices.Equal(got, needed(before, postgres.LSN((first+5)*size+40))) || r.First != one.Name(first) || r.Last != two.Name(first+4) {
		t.Errorf("%q is left, %+v", got, r)
	}
	sound(t, a, "after", false)
}
