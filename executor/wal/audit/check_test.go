package audit

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"pgregory.net/rapid"

	"pg_manage/executor/repo/storage"
	"pg_manage/executor/wal/audit/walcheck"
	"pg_manage/executor/wal/audit/walcheck/waltest"
)

func TestASoundArchiveHasNoProblems(t *testing.T) {
	for _, size := range []uint64{1 << 20, 16 << 20} { // and larger ones come from a real server
		s, _, _ := switched(t, size)
		for _, quick := range []bool{true, false} {
			done, total := 0, 0
			r := s.check(Options{Quick: quick, Progress: func(d, n int, _ int64) { done, total = d, n }})
			if len(r.Problems) > 0 || len(r.Timelines) != 2 || len(r.Timelines[0].Missing)+len(r.Timelines[1].Missing) > 0 {
				t.Fatalf("%s%s", details(r), describe(r.Timelines))
			}
			if r.Segments != 8 || len(r.Recoverable) != 1 || fmt.Sprint(r.Recoverable[0].Through) != "[1 2]" || uint64(r.Recoverable[0].ToLSN) != 9*size {
				t.Errorf("%+v", r)
			}
			if !quick && (done != 9 || total != 9) {
				t.Errorf("progress ended with %d of %d", done, total)
			}
		}
	}
}

func TestTheReportHasItsAgreedShape(t *testing.T) {
	s, one, _ := switched(t, 1<<20)
	s.remove("0000000100000000/" + one.Name(3))
	r := s.check(Options{Quick: true})
	r.BytesStored = 1
	got, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"version":1,"target":"nas","system_identifier":"7711132678460134211","segment_size":1048576,"quick":true,"segments":7,"bytes_stored":1,"timelines":[` +
		`{"timeline":1,"parent":0,"fork_lsn":"","ranges":[{"from":"000000010000000000000001","to":"000000010000000000000002","from_lsn":"0/100000","to_lsn":"0/300000","segments":2},{"from":"000000010000000000000004","to":"000000010000000000000004","from_lsn":"0/400000","to_lsn":"0/500000","segments":1}],"missing":[{"from":"000000010000000000000003","to":"000000010000000000000003","segments":1}]},` +
		`{"timeline":2,"parent":1,"fork_lsn":"` + r.Timelines[1].ForkLSN + `","ranges":[{"from":"000000020000000000000005","to":"000000020000000000000008","from_lsn":"0/500000","to_lsn":"0/900000","segments":4}],"missing":[]}],` +
		`"problems":[],"recoverable":[{"timeline":1,"from_lsn":"0/100000","to_lsn":"0/300000","through":[1]},{"timeline":2,"from_lsn":"0/400000","to_lsn":"0/900000","through":[1,2]}],"error":""}`
	if string(got) != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestEachProblemIsFoundAndNamed(t *testing.T) {
	const dir1, dir2 = "0000000100000000/", "0000000200000000/"
	for what, c := range map[string]struct {
		do    func(s *store, one, two *waltest.Writer)
		quick string // problems by name and size alone
		full  string
	}{
		"truncated": {func(s *store, one, _ *waltest.Writer) { s.put(one.Name(3), "", one.Segments[3][:1<<19]) }, dir1 + "000000010000000000000003 damaged\n", "same"},
		"empty":     {func(s *store, one, _ *waltest.Writer) { s.write(dir1+one.Name(2)+".zst", nil) }, dir1 + "000000010000000000000002.zst damaged\n", "same"},
		"zstd cut short": {func(s *store, one, _ *waltest.Writer) {
			b := pack(s.t, one.Segments[2])
			s.write(dir1+one.Name(2)+".zst", b[:len(b)-9])
		}, "", dir1 + "000000010000000000000002.zst damaged\n"},
		"another segment": {func(s *store, one, _ *waltest.Writer) { s.put(one.Name(3), "", one.Segments[2]) }, "", dir1 + "000000010000000000000003 wrong-content\n"},
		"another cluster": {func(s *store, _, _ *waltest.Writer) {
			o := waltest.New(1, 1, 1<<20, 3, 1)
			o.Fill(3)
			s.put(o.Name(3), "", o.Segments[3])
		}, "", dir1 + "000000010000000000000003 wrong-content\n"},
		"another history": {func(s *store, _, _ *waltest.Writer) {
			o := waltest.New(system, 1, 1<<20, 3, 1)
			o.Fill(3)
			s.put(o.Name(3), "", o.Segments[3])
		}, "", dir1 + "000000010000000000000002.zst damaged\n" + dir1 + "000000010000000000000003 damaged\n"},
		"same twice": {func(s *store, one, _ *waltest.Writer) { s.put(one.Name(3), ".zst", one.Segments[3]) }, dir1 + "000000010000000000000003.zst duplicate\n", "same"},
		"twice, different": {func(s *store, _, two *waltest.Writer) {
			o := waltest.New(system, 2, 1<<20, 8, 1)
			o.Switch()
			s.put(two.Name(8), "", o.Segments[8])
		}, dir2 + "000000020000000000000008.zst duplicate\n", dir2 + "000000020000000000000007 damaged\n" + dir2 + "000000020000000000000008.zst damaged\n" + dir2 + "000000020000000000000008.zst duplicate\n"},
		"foreign files": {func(s *store, one, _ *waltest.Writer) {
			s.write("README", []byte("x"))
			s.write("lost+found/x", nil)
			s.write(dir1+"sub/x", nil)
			s.write(dir1+one.Name(1)+".gz", nil)
			s.write(one.Name(1), nil)
			s.write(dir1+"000000010000000100000001", nil)
			s.write(dir1+"000000010000000000001001", nil)
			s.write(dir1+"00000003.history", nil)
		}, dir1 + "000000010000000000000001.gz foreign\n" + dir1 + "000000010000000000001001 foreign\n" + dir1 + "000000010000000100000001 foreign\n" + dir1 + "00000003.history foreign\n" + dir1 + "sub/ foreign\n" + "000000010000000000000001 foreign\nREADME foreign\nlost+found/ foreign\n", "same"},
		"history garbage": {func(s *store, _, _ *waltest.Writer) { s.write("00000003.history", []byte("x\ty\n")) }, "00000003.history damaged\n", "same"},
		"history contradicted": {func(s *store, _, _ *waltest.Writer) {
			s.write("00000003.history", []byte("1\t0/200000\tx\n2\t0/800000\tx\n"))
		}, "00000003.history damaged\n", "same"},
		"history backwards": {func(s *store, _, _ *waltest.Writer) {
			s.write("00000004.history", []byte("1\t0/200000\tx\n3\t0/100000\tx\n"))
		}, "00000004.history damaged\n", "same"},
		"history missing": {func(s *store, _, _ *waltest.Writer) { s.remove("00000002.history") }, "00000002.history damaged\n", "same"},
		"before the fork": {func(s *store, one, two *waltest.Writer) { s.put(two.Name(3), "", one.Segments[3]) }, dir2 + "000000020000000000000003 foreign\n", "same"},
		"backup in a hole": {func(s *store, one, _ *waltest.Writer) {
			s.remove(dir1 + one.Name(3))
			s.put(one.Name(3)+".00000028.backup", ".zst", []byte("START WAL LOCATION: 0/300028 (file "+one.Name(3)+")\n"))
		}, dir1 + "000000010000000000000003.00000028.backup.zst damaged\n", "same"},
		"old backup": {func(s *store, one, _ *waltest.Writer) {
			s.remove(dir1 + one.Name(1))
			s.put(one.Name(1)+".00000028.backup", "", []byte("START WAL LOCATION: 0/100028 (file "+one.Name(1)+")\n"))
		}, "", ""},
		"backup garbage": {func(s *store, one, _ *waltest.Writer) {
			s.put(one.Name(3)+".00000028.backup", "", []byte("x"))
			s.put(one.Name(4)+".00000028.backup", "", []byte("START WAL LOCATION: 0/300028 (file "+one.Name(3)+")\n"))
		}, "", dir1 + "000000010000000000000003.00000028.backup damaged\n" + dir1 + "000000010000000000000004.00000028.backup wrong-content\n"},
		"partial damaged": {func(s *store, one, _ *waltest.Writer) {
			b := s.read(dir1 + one.Name(5) + ".partial")
			b[5000] ^= 1
			s.write(dir1+one.Name(5)+".partial", b)
		}, "", dir1 + "000000010000000000000005.partial damaged\n"},
	} {
		t.Run(what, func(t *testing.T) {
			s, one, two := switched(t, 1<<20)
			c.do(s, one, two)
			if c.full == "same" {
				c.full = c.quick
			}
			if r := s.check(Options{Quick: true}); problems(r) != c.quick {
				t.Errorf("quick: got\n%swant\n%s", details(r), c.quick)
			}
			r := s.check(Options{})
			if problems(r) != c.full {
				t.Errorf("got\n%swant\n%s", details(r), c.full)
			}
			for _, p := range r.Problems {
				if strings.HasPrefix(p.Name, dir1) && p.Kind == KindDamaged && !strings.Contains(p.Name, ".partial") && !strings.Contains(p.Name, ".backup") && len(r.Recoverable) < 2 {
					t.Errorf("%s is %s, and recovery is said to pass it: %v", p.Name, p.Kind, r.Recoverable)
				}
			}
		})
	}
}

// TestEveryFlippedBitIsFoundInMixedArchives flips one bit in any object of an archive of
// plain and compressed ones. What is read must differ, save when a flipped bit of the
// compressed form means nothing.
func TestEveryFlippedBitIsFoundInMixedArchives(t *testing.T) {
	s, one, _ := switched(t, 1<<20)
	var names []string
	err := filepath.WalkDir(s.path("0000000100000000"), func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			names = append(names, filepath.Join("0000000100000000", d.Name()))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []string{"5", "6.zst", "7", "8.zst"} {
		names = append(names, "0000000200000000/00000002000000000000000"+n)
	}
	plainOf := func(rel string) []byte {
		r, err := s.a.Open(t.Context(), s.a.path(rel))
		if err != nil {
			return nil
		}
		b, err := io.ReadAll(r)
		if errors.Join(err, r.Close()) != nil {
			return nil
		}
		return b
	}
	rapid.Check(t, func(rt *rapid.T) {
		rel := rapid.SampledFrom(names).Draw(rt, "object")
		good := s.read(rel)
		end := len(good)
		if strings.HasSuffix(rel, ".partial") {
			end = int(one.Pos % one.Size) // behind it is an earlier use of the file
		}
		at, bit := rapid.IntRange(0, end-1).Draw(rt, "at"), rapid.IntRange(0, 7).Draw(rt, "bit")
		if !strings.HasSuffix(rel, ".zst") && at%8192 == 2 && (bit == 2 || bit == 3) {
			return // flags that PostgreSQL passes over
		}
		before := plainOf(rel)
		bad := bytes.Clone(good)
		bad[at] ^= 1 << bit
		s.write(rel, bad)
		defer s.write(rel, good)
		r := s.check(Options{Workers: rapid.IntRange(1, 4).Draw(rt, "workers")})
		switch {
		case len(r.Problems) == 0 && bytes.Equal(plainOf(rel), before) && strings.HasSuffix(rel, ".zst"):
		case len(r.Problems) == 0:
			rt.Fatalf("bit %d of byte %d of %s", bit, at, rel)
		case len(r.Recoverable) == 1 && !strings.HasSuffix(rel, ".partial") && r.Recoverable[0].ToLSN-r.Recoverable[0].FromLSN == 8<<20:
			rt.Fatalf("recovery is said to pass %s", rel)
		}
	})
	if r := s.check(Options{}); len(r.Problems) > 0 {
		t.Fatal(details(r))
	}
}

func TestAnOutageIsAnErrorAndNeverAHole(t *testing.T) {
	s, _, _ := switched(t, 1<<20)
	var ops atomic.Int32
	if _, err := Check(t.Context(), s.fault(func(string, string) error { ops.Add(1); return nil }), Options{Workers: 2}); err != nil {
		t.Fatal(err)
	}
	count := ops.Load()
	for _, outage := range []error{errors.New("connection reset"), fmt.Errorf("the share is away: %w", storage.ErrNotExist)} {
		for from := int32(1); from <= count; from++ {
			var n atomic.Int32
			a := s.fault(func(string, string) error {
				if n.Add(1) >= from {
					return outage
				}
				return nil
			})
			r, err := Check(t.Context(), a, Options{Workers: 2})
			if err == nil || r.Error == "" || len(r.Timelines)+len(r.Problems) > 0 {
				t.Fatalf("%v from operation %d on: %v, %+v", outage, from, err, r)
			}
			if errors.Is(err, storage.ErrNotExist) {
				t.Fatalf("an outage is told as an absence: %v", err)
			}
		}
	}
	// A failure that passes is none.
	for at := int32(2); at <= count; at++ {
		var n atomic.Int32
		opened := false
		a := s.fault(func(op, _ string) error {
			if n.Add(1) == at && op == "open" {
				opened = true
				return errors.New("connection reset")
			}
			return nil
		})
		if r, err := Check(t.Context(), a, Options{Workers: 1}); err != nil || len(r.Problems) > 0 {
			t.Fatalf("one failure at operation %d (open: %v): %v, %s", at, opened, err, details(r))
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Check(ctx, s.a, Options{}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	s.remove(IdentityName)
	if r, err := Check(t.Context(), s.a, Options{Quick: true}); err == nil || errors.Is(err, storage.ErrNotExist) {
		t.Error(r, err)
	}
}

func TestAFileThatCannotBeReadWhileOthersCanIsUnreadable(t *testing.T) {
	s, one, _ := switched(t, 1<<20)
	a := s.fault(func(op, name string) error {
		if op == "open" && strings.HasSuffix(name, one.Name(3)) {
			return errors.New("permission denied")
		}
		return nil
	})
	r, err := Check(t.Context(), a, Options{})
	if err != nil || problems(r) != "0000000100000000/000000010000000000000003 unreadable\n" || len(r.Recoverable) != 2 {
		t.Fatal(err, details(r))
	}
	noKey := errors.New("no key")
	a = s.a
	a.KeyMissing = func(err error) bool { return errors.Is(err, noKey) }
	a.Open = func(ctx context.Context, name string) (io.ReadCloser, error) {
		if strings.HasSuffix(name, ".zst") {
			return nil, noKey
		}
		return s.a.Open(ctx, name)
	}
	if r, err = Check(t.Context(), a, Options{}); err != nil || strings.Count(problems(r), " unreadable\n") != 4 || len(r.Problems) != 4 {
		t.Fatal(err, details(r))
	}
}

func TestWhatIsRemovedMeanwhileIsNoDamage(t *testing.T) {
	s, one, _ := switched(t, 1<<20)
	a := s.a
	a.Open = func(ctx context.Context, name string) (io.ReadCloser, error) {
		if strings.HasSuffix(name, one.Name(1)) { // cleaned up after it was listed
			if err := os.Remove(s.path("0000000100000000/" + one.Name(1))); err != nil && !errors.Is(err, os.ErrNotExist) {
				t.Error(err)
			}
		}
		return s.a.Open(ctx, name)
	}
	r, err := Check(t.Context(), a, Options{Workers: 2})
	if err != nil || len(r.Problems) > 0 || r.Segments != 7 || r.Timelines[0].Ranges[0].From != one.Name(2) {
		t.Fatal(err, details(r), describe(r.Timelines))
	}
}

func TestSegmentsJoinInAnyOrder(t *testing.T) {
	w := waltest.New(system, 1, 1<<20, 1, 4)
	w.Fill(2)
	w.Record(5 << 20) // goes through several segments
	w.Fill(9)
	w.Switch()
	s := newStore(t, 1<<20, system)
	s.all(w)
	x, err := survey(t.Context(), &s.a, 1)
	if err != nil {
		t.Fatal(err)
	}
	last := w.Segment() - 1
	sound := map[uint64]*walcheck.Result{} // as they are read again and again
	for n := uint64(1); n <= last; n++ {
		o, _ := x.a.parse(w.Name(n)[:16], w.Name(n))
		if sound[n], err = checkBytes(x, o, w.Segments[n]); err != nil {
			t.Fatal(err)
		}
	}
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 1))
		f := &findings{x: x, chain: newChain(x)}
		broken := seed%2 == 1
		for _, i := range r.Perm(int(last)) {
			n := uint64(i + 1)
			o, _ := x.a.parse(w.Name(n)[:16], w.Name(n))
			again := *sound[n]
			res := &again
			if broken && n == 5 { // within the long record: no other check sees it
				b := bytes.Clone(w.Segments[n])
				b[300000] ^= 1
				if res, err = checkBytes(x, o, b); err != nil {
					t.Fatal(err)
				}
			}
			if found := f.chain.add(o, res); len(found) > 0 != (broken && found != nil) {
				t.Fatal(found)
			} else if found != nil {
				broken = false
			}
		}
		if broken {
			t.Fatalf("seed %d: the flipped bit was not found", seed)
		}
		if len(f.chain.open) > 0 {
			t.Fatalf("%d segments are kept", len(f.chain.open))
		}
	}
}
