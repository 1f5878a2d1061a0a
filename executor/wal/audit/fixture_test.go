package audit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"pg_manage/executor/repo/posix"
	"pg_manage/executor/repo/storage"
	"pg_manage/executor/wal/audit/walcheck"
	"pg_manage/executor/wal/audit/walcheck/waltest"
	"pg_manage/schema/postgres"
)

const system = uint64(7711132678460134211)

// store is an archive in a directory, with plain and zstd objects.
type store struct {
	t    testing.TB
	root string
	a    Archive
}

func newStore(t testing.TB, size uint64, system uint64) *store {
	t.Helper()
	s := &store{t: t, root: t.TempDir()}
	d, err := posix.New("file:///target", "file", s.root)
	if err != nil {
		t.Fatal(err)
	}
	s.a = Archive{Driver: d, Target: "nas", Dir: "pg_archlog/main", SystemIdentifier: system, SegmentSize: int64(size), Split: split}
	s.a.Open = opener(d)
	s.write(IdentityName, []byte("{}"))
	return s
}

func split(stored string) (plain, ext string) {
	if p, ok := strings.CutSuffix(stored, ".zst"); ok {
		return p, ".zst"
	}
	return stored, ""
}

func opener(d storage.Driver) func(ctx context.Context, name string) (io.ReadCloser, error) {
	return func(ctx context.Context, name string) (io.ReadCloser, error) {
		raw, err := d.Open(ctx, name)
		if _, ext := split(name); err != nil || ext == "" {
			return raw, err
		}
		dec, err := zstd.NewReader(raw, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(64<<20))
		if err != nil {
			return nil, errors.Join(err, raw.Close())
		}
		z := dec.IOReadCloser()
		return struct {
			io.Reader
			io.Closer
		}{z, closer(func() error { return errors.Join(z.Close(), raw.Close()) })}, nil
	}
}

type closer func() error

func (c closer) Close() error { return c() }

func pack(t testing.TB, b []byte) []byte {
	t.Helper()
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	return enc.EncodeAll(b, nil)
}

func (s *store) path(rel string) string { return filepath.Join(s.root, s.a.Dir, rel) }

func (s *store) write(rel string, b []byte) {
	s.t.Helper()
	if err := os.MkdirAll(filepath.Dir(s.path(rel)), 0o755); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(s.path(rel), b, 0o644); err != nil {
		s.t.Fatal(err)
	}
}

func (s *store) read(rel string) []byte {
	s.t.Helper()
	b, err := os.ReadFile(s.path(rel))
	if err != nil {
		s.t.Fatal(err)
	}
	return b
}

func (s *store) remove(rel string) {
	s.t.Helper()
	if err := os.Remove(s.path(rel)); err != nil {
		s.t.Fatal(err)
	}
}

// put stores a WAL file in its place and gives its relative name.
func (s *store) put(name, ext string, b []byte) string {
	s.t.Helper()
	rel := name + ext
	if f, err := postgres.ClassifyWALName(name); err != nil {
		s.t.Fatal(err)
	} else if f.Kind != postgres.WALHistory {
		rel = name[:16] + "/" + rel
	}
	if ext == ".zst" {
		b = pack(s.t, b)
	}
	s.write(rel, b)
	return rel
}

// all stores every full segment of a writer, every second one compressed.
func (s *store) all(w *waltest.Writer) (names []string) {
	s.t.Helper()
	for n, b := range w.Segments {
		ext := ""
		if n%2 == 0 {
			ext = ".zst"
		}
		names = append(names, s.put(w.Name(n), ext, b))
	}
	return names
}

func (s *store) check(o Options) *Report {
	s.t.Helper()
	if o.Workers == 0 {
		o.Workers = 3
	}
	r, err := Check(s.t.Context(), s.a, o)
	if err != nil {
		s.t.Fatal(err)
	}
	return r
}

func problems(r *Report) string {
	var b strings.Builder
	for _, p := range r.Problems {
		fmt.Fprintf(&b, "%s %s\n", p.Name, p.Kind)
	}
	return b.String()
}

func details(r *Report) string {
	var b strings.Builder
	for _, p := range r.Problems {
		fmt.Fprintf(&b, "%s %s: %s\n", p.Name, p.Kind, p.Detail)
	}
	return b.String()
}

// switched is an archive with a timeline switch in the middle of a segment: timeline 1
// has segments 1 to 4 and 5.partial, timeline 2 has 5 to 8.
func switched(t testing.TB, size uint64) (*store, *waltest.Writer, *waltest.Writer) {
	t.Helper()
	s := newStore(t, size, system)
	one := waltest.New(system, 1, size, 1, 9)
	one.Fill(4)
	one.Record(int(size / 3))
	two := one.Fork(2)
	fork := postgres.LSN(two.Pos)
	two.Fill(7)
	two.Switch()
	partial := bytes.Clone(one.Segments[5])
	copy(partial[one.Pos%size:], one.Segments[2][one.Pos%size:]) // an earlier use of the file
	delete(one.Segments, 5)
	s.all(one)
	s.all(two)
	s.put(one.Name(5)+".partial", "", partial)
	s.put("00000002.history", "", []byte(postgres.FormatHistory([]postgres.Branch{{Timeline: 1, End: fork, Reason: "x"}})))
	return s, one, two
}

// faulty is a driver whose operations fail where the test says.
type faulty struct {
	storage.Driver
	fail func(op, name string) error
}

func (f *faulty) Stat(ctx context.Context, name string) (storage.Info, error) {
	if err := f.fail("stat", name); err != nil {
		return storage.Info{}, err
	}
	return f.Driver.Stat(ctx, name)
}

func (f *faulty) Open(ctx context.Context, name string) (io.ReadCloser, error) {
	if err := f.fail("open", name); err != nil {
		return nil, err
	}
	return f.Driver.Open(ctx, name)
}

func (f *faulty) List(ctx context.Context, dir string) ([]storage.Info, error) {
	if err := f.fail("list", dir); err != nil {
		return nil, err
	}
	return f.Driver.List(ctx, dir)
}

// fault puts a faulty driver in front of an archive.
func (s *store) fault(fail func(op, name string) error) Archive {
	a := s.a
	a.Driver = &faulty{s.a.Driver, fail}
	a.Open = opener(a.Driver)
	return a
}

func checkBytes(x *index, o object, b []byte) (*walcheck.Result, error) {
	return walcheck.Check(bytes.NewReader(b), x.expect(o.file), x.a.SystemIdentifier)
}
