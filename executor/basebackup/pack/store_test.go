package pack

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"pg_manage/executor/basebackup/frame"
	"pg_manage/executor/basebackup/index"
	"pg_manage/executor/repo/catalog"
)

// store keeps objects in a directory.
type store struct {
	dir, compression string
	fail             func(name string) io.Writer // nil: none fails
}

func (s *store) ext() string {
	return map[string]string{"zstd": ".zst", "lz4": ".lz4", "gzip": ".gz", "none": ""}[s.compression]
}

func (s *store) Compression() string     { return s.compression }
func (s *store) PartName(n int) string   { return fmt.Sprintf("part-%04d.tar%s", n, s.ext()) }
func (s *store) IndexName() string       { return "index.json" + s.ext() }
func (s *store) ManifestName() string    { return "backup_manifest" }
func (s *store) path(name string) string { return filepath.Join(s.dir, name) }

func (s *store) Create(ctx context.Context, label, name string, r io.Reader) (catalog.Object, error) {
	f, err := os.Create(s.path(name) + ".tmp")
	if err != nil {
		return catalog.Object{}, err
	}
	sum := sha256.New()
	var w io.Writer = io.MultiWriter(f, sum)
	if s.fail != nil {
		if bad := s.fail(name); bad != nil {
			w = io.MultiWriter(w, bad)
		}
	}
	n, err := io.Copy(w, r)
	if err := errors.Join(err, f.Close(), ctx.Err()); err != nil {
		return catalog.Object{}, errors.Join(err, os.Remove(s.path(name)+".tmp"))
	}
	return catalog.Object{Name: name, Size: n, SHA256: hex.EncodeToString(sum.Sum(nil))}, os.Rename(s.path(name)+".tmp", s.path(name))
}

// decode gives the content of a stored object, frame by frame as the methods' own readers do.
func (s *store) decode(t testing.TB, name string) io.Reader {
	t.Helper()
	f, err := os.Open(s.path(name))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() }) //nolint:errcheck // only read
	return reader(t, s.compression, f)
}

// entries reads the index.
func (s *store) entries(t testing.TB) map[string]*index.Entry {
	t.Helper()
	x, err := index.NewReader(s.decode(t, s.IndexName()))
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]*index.Entry{}
	for {
		e, err := x.Next()
		if errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		name := e.Dir + e.Link + e.Path
		if all[name] != nil {
			t.Errorf("%s is twice in the index", name)
		}
		all[name] = e
	}
}

// content puts a file together from the chunks of a backup and its ancestors, the newest first, and
// checks every sum.
func content(t *testing.T, path string, backups []*backup) []byte {
	t.Helper()
	e := backups[0].entries[path]
	b := make([]byte, e.Size)
	left := map[int64]bool{}
	for i := range index.Blocks(e.Size) {
		left[i] = true
	}
	for _, bk := range backups {
		e := bk.entries[path]
		if e == nil {
			break
		}
		sums := e.Sums
		for _, c := range e.Chunks {
			n := c.Count * index.SumSize
			mine := sums[:n]
			sums = sums[n:]
			data := bk.frame(t, c)[c.Skip:][:c.Bytes(e.Size)]
			if got := frame.Sums(nil, data); string(got) != string(mine) {
				t.Fatalf("%s: the sums of %+v do not fit", path, c)
			}
			for i := range c.Count {
				if block := c.Block + i; left[block] {
					delete(left, block)
					at := data[i*index.BlockSize:]
					if want := min(index.BlockSize, int64(len(b))-block*index.BlockSize); int64(len(at)) < want {
						t.Fatalf("%s: block %d has %d bytes, want %d", path, block, len(at), want)
					}
					copy(b[block*index.BlockSize:min((block+1)*index.BlockSize, int64(len(b)))], at)
				}
			}
		}
	}
	if len(left) > 0 {
		t.Fatalf("%s: %d blocks are in no backup", path, len(left))
	}
	return b
}

// backup is one that was read.
type backup struct {
	*store
	result  *Result
	entries map[string]*index.Entry
	coder   *frame.Coder
	at      index.Chunk
	last    []byte
}

func (b *backup) frame(t *testing.T, c index.Chunk) []byte {
	t.Helper()
	if b.last != nil && b.at.Part == c.Part && b.at.Offset == c.Offset {
		return b.last
	}
	f, err := os.Open(b.path(b.PartName(c.Part)))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // only read
	packed := make([]byte, c.Length)
	if _, err := f.ReadAt(packed, c.Offset); err != nil {
		t.Fatal(err)
	}
	if b.last, err = b.coder.Decode(nil, packed); err != nil {
		t.Fatal(err)
	}
	b.at = c
	return b.last
}

// File makes a backup what an incremental one builds on.
type previous []*backup

func (p previous) File(path string) (int64, []byte, bool, error) {
	e := p[0].entries[path]
	if e == nil || e.Path == "" {
		return 0, nil, false, nil
	}
	sums := make([]byte, index.Blocks(e.Size)*index.SumSize)
	for i := len(p) - 1; i >= 0; i-- {
		if e := p[i].entries[path]; e != nil {
			s := e.Sums
			for _, c := range e.Chunks {
				n := c.Count * index.SumSize
				if at := c.Block * index.SumSize; at < int64(len(sums)) {
					copy(sums[at:], s[:n])
				}
				s = s[n:]
			}
		}
	}
	return e.Size, sums, true, nil
}
