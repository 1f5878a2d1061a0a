package walcheck

import (
	"bytes"
	"errors"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"

	"pg_manage/executor/wal/audit/walcheck/waltest"
	"pg_manage/schema/postgres"
)

const system = 7711132678460134211

func TestChecksumsCombine(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := rapid.SliceOf(rapid.Byte()).Draw(t, "a"), rapid.SliceOf(rapid.Byte()).Draw(t, "b")
		want := crc32.Checksum(append(bytes.Clone(a), b...), castagnoli)
		if got := combine(crc32.Checksum(a, castagnoli), crc32.Checksum(b, castagnoli), int64(len(b))); got != want {
			t.Fatalf("got %x, want %x", got, want)
		}
	})
}

func expect(t testing.TB, w *waltest.Writer, n uint64) Segment {
	t.Helper()
	f, err := postgres.ClassifyWALName(w.Name(n))
	if err != nil {
		t.Fatal(err)
	}
	return Segment{File: f, Size: int64(w.Size), Start: postgres.LSN(n * w.Size)}
}

func mustCheck(t testing.TB, w *waltest.Writer, n uint64) *Result {
	t.Helper()
	r, err := Check(bytes.NewReader(w.Segments[n]), expect(t, w, n), system)
	if err != nil {
		t.Fatalf("%s: %v", w.Name(n), err)
	}
	return r
}

func joined(t testing.TB, w *waltest.Writer, from, to uint64) {
	t.Helper()
	tail := mustCheck(t, w, from).Tail
	for n := from + 1; n <= to; n++ {
		r := mustCheck(t, w, n)
		next, err := Join(tail, r.Head, postgres.LSN(n*w.Size))
		if err != nil {
			t.Fatalf("%s: %v", w.Name(n), err)
		}
		if tail = r.Tail; tail.Through() {
			tail = next
		}
	}
	if tail.open != nil {
		t.Fatal("the last segment ends within a record, though it was switched")
	}
}

func TestSegmentsOfEverySizeAreSoundAndJoin(t *testing.T) {
	for _, size := range []uint64{1 << 20, 16 << 20, 64 << 20} {
		w := waltest.New(system, 1, size, 1, size)
		w.Fill(1)
		w.Record(2 * int(size)) // one record that is larger than a segment
		w.Switch()
		joined(t, w, 1, w.Segment()-1)
	}
}

func TestAbandonedRecordsAreNoDamage(t *testing.T) {
	w := waltest.New(system, 1, 1<<20, 1, 3)
	w.Record(300)
	w.Abandon(false)
	w.Record(20000)
	w.Abandon(true)
	w.Record(100)
	w.Switch()
	joined(t, w, 1, 2)
}

// harmless says whether PostgreSQL passes over a bit: two flags of a page, one of which
// it sets at will and the other one where a record was given up, mean nothing elsewhere.
func harmless(at, bit int) bool { return at%8192 == 2 && (bit == 2 || bit == 3) }

// TestEveryBitFlipIsFound flips one bit anywhere in two segments that share a record.
func TestEveryBitFlipIsFound(t *testing.T) {
	w := waltest.New(system, 1, 1<<20, 1, 5)
	w.Fill(1)
	w.Record(9000)
	w.Switch()
	joined(t, w, 1, 2)
	sound := mustCheck(t, w, 1)
	r := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		n, bit := 1+r.Uint64N(2), r.IntN(8<<20)
		if r.IntN(3) == 0 { // near the border and in headers
			bit = r.IntN(8 * 600)
			if n == 1 {
				bit = 8<<20 - 1 - bit
			}
		}
		if harmless(bit/8, bit%8) {
			continue
		}
		w.Segments[n][bit/8] ^= 1 << (bit % 8)
		a, err := sound, error(nil)
		if n == 1 {
			a, err = Check(bytes.NewReader(w.Segments[1]), expect(t, w, 1), system)
		}
		if err == nil {
			var b *Result
			if b, err = Check(bytes.NewReader(w.Segments[2]), expect(t, w, 2), system); err == nil {
				_, err = Join(a.Tail, b.Head, 2<<20)
			}
		}
		if err == nil {
			t.Fatalf("bit %d of segment %d", bit, n)
		}
		w.Segments[n][bit/8] ^= 1 << (bit % 8)
	}
}

func TestLeftoversBehindTheEndAreNoDamage(t *testing.T) {
	old := waltest.New(system, 1, 1<<20, 1, 5)
	old.Fill(1)
	w := waltest.New(system, 1, 1<<20, 3, 6)
	w.Record(20000)
	end := w.Pos
	seg := bytes.Clone(w.Segments[3])
	copy(seg[20<<10+4096:], old.Segments[1][20<<10+4096:]) // written by pages, and the file was used before
	copy(seg[end%(1<<20):], old.Segments[1][end%(1<<20):])
	s := expect(t, w, 3)
	if _, err := Check(bytes.NewReader(seg), s, system); err == nil {
		t.Fatal("a segment that isn't full was taken for one")
	}
	s.Ends, s.Sure = true, postgres.LSN(end)
	r, err := Check(bytes.NewReader(seg), s, system)
	if err != nil || !r.Ended {
		t.Fatal(r, err)
	}
	for at := uint64(0); at < end%(1<<20); at += 97 { // all before the end counts
		seg[at] ^= 4
		if _, err := Check(bytes.NewReader(seg), s, system); err == nil {
			t.Fatalf("byte %d", at)
		}
		seg[at] ^= 4
	}
	// After a switch, pages of an earlier use may lie there as well.
	w.Switch()
	seg = bytes.Clone(w.Segments[3])
	copy(seg[512<<10:], old.Segments[1][512<<10:])
	if _, err := Check(bytes.NewReader(seg), expect(t, w, 3), system); err != nil {
		t.Fatal(err)
	}
	// Valid WAL behind a fault shows that the fault is one.
	full := waltest.New(system, 1, 1<<20, 3, 6)
	full.Fill(3)
	full.Segments[3][100000] ^= 1
	s = expect(t, full, 3)
	s.Ends = true
	if _, err := Check(bytes.NewReader(full.Segments[3]), s, system); err == nil || !strings.Contains(err.Error(), "valid WAL follows") {
		t.Fatal(err)
	}
	s.Partial = true
	if _, err := Check(bytes.NewReader(full.Segments[3]), s, system); err != nil {
		t.Fatal(err)
	}
}

func TestReadErrorsAreNotDamage(t *testing.T) {
	w := waltest.New(system, 1, 1<<20, 3, 6)
	w.Fill(3)
	for _, broken := range []error{io.ErrUnexpectedEOF, errors.New("no route to host")} {
		for _, n := range []int{0, 20, 100000} {
			_, err := Check(io.MultiReader(bytes.NewReader(w.Segments[3][:n]), iotest.ErrReader(broken)), expect(t, w, 3), system)
			var d *DamageError
			if err == nil || errors.As(err, &d) {
				t.Errorf("%v after %d bytes: %v", broken, n, err)
			}
		}
	}
	for _, b := range [][]byte{nil, w.Segments[3][:30], w.Segments[3][:1<<19], append(bytes.Clone(w.Segments[3]), 0)} {
		_, err := Check(bytes.NewReader(b), expect(t, w, 3), system)
		if d := (*DamageError)(nil); !errors.As(err, &d) || d.Other {
			t.Errorf("%d bytes: %v", len(b), err)
		}
	}
	_, err := Check(bytes.NewReader(w.Segments[3]), expect(t, w, 4), system)
	if d := (*DamageError)(nil); !errors.As(err, &d) || !d.Other {
		t.Error(err)
	}
	_, err = Check(bytes.NewReader(w.Segments[3]), expect(t, w, 3), system+1)
	if d := (*DamageError)(nil); !errors.As(err, &d) || !d.Other {
		t.Error(err)
	}
}

func FuzzCheck(f *testing.F) {
	w := waltest.New(system, 1, 1<<20, 1, 5)
	w.Fill(1)
	f.Add(w.Segments[1][:9000], uint32(0), true, true)
	f.Add([]byte{0, 0, 0, 0}, uint32(40), false, true)
	f.Add(bytes.Repeat([]byte{0xFF}, 30), uint32(8192), true, false)
	f.Fuzz(func(t *testing.T, b []byte, at uint32, ends, partial bool) {
		seg := bytes.Clone(w.Segments[1])
		copy(seg[int(at)%len(seg):], b)
		s := expect(t, w, 1)
		s.Ends, s.Partial, s.Sure = ends || partial, partial, s.Start
		r, err := Check(bytes.NewReader(seg), s, system)
		if d := (*DamageError)(nil); err != nil && !errors.As(err, &d) {
			t.Fatal(err)
		}
		for at := 2; at < len(seg); at += 8192 {
			seg[at] = seg[at]&^0x0C | w.Segments[1][at]&0x0C // see harmless
		}
		if err == nil && !s.Ends && !bytes.Equal(seg, w.Segments[1]) && r.Tail.open == nil {
			t.Fatal("changed WAL passed")
		}
	})
}

func BenchmarkCheck(b *testing.B) {
	w := waltest.New(system, 1, 16<<20, 1, 5)
	w.Fill(1)
	b.SetBytes(16 << 20)
	for b.Loop() {
		mustCheck(b, w, 1)
	}
}
