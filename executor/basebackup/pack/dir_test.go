package pack

import (
	"context"
	"encoding/binary"
	"hash/crc32"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"pg_manage/executor/basebackup/frame"
	"pg_manage/executor/basebackup/manifest"
)

// dir is what looks like the data directory of a stopped server.
type dir struct {
	t       testing.TB
	path    string
	mu      sync.Mutex
	notices []string
}

const versionDir = "PG_15_202209061"

func newDir(t *testing.T) *dir {
	t.Helper()
	return newDirAt(t, t.TempDir())
}

func newDirAt(t testing.TB, path string) *dir {
	t.Helper()
	d := &dir{t: t, path: path}
	for _, sub := range []string{"global", "base/5", "pg_wal/archive_status", "pg_tblspc", "pg_xact"} {
		d.mkdir(sub)
	}
	control := make([]byte, 288, 8192)
	binary.LittleEndian.PutUint64(control, 7000000000000000001)
	binary.LittleEndian.PutUint32(control[12:], 202209061)
	control = binary.LittleEndian.AppendUint32(control, crc32.Checksum(control, castagnoli))
	d.write(controlFile, control[:8192])
	d.write("PG_VERSION", []byte("15\n"))
	return d
}

func (d *dir) mkdir(path string) {
	d.t.Helper()
	if err := os.MkdirAll(filepath.Join(d.path, path), 0o700); err != nil {
		d.t.Fatal(err)
	}
}

func (d *dir) write(path string, content []byte) {
	d.t.Helper()
	if err := os.WriteFile(filepath.Join(d.path, path), content, 0o600); err != nil {
		d.t.Fatal(err)
	}
}

func (d *dir) options(s *store) Options {
	return Options{
		Store: s, Label: "20260101T000000Z-node1-full", DataDir: d.path, Cold: true, Workers: 2,
		Manifest: manifest.Header{Major: 15},
		Notice: func(text string) {
			d.mu.Lock()
			defer d.mu.Unlock()
			d.notices = append(d.notices, text)
		},
	}
}

func newStore(t *testing.T, compression string) *store {
	return &store{dir: t.TempDir(), compression: compression}
}

// take takes a backup. During, if not nil, runs between New and Files.
func (d *dir) take(s *store, change func(*Options), during func(), extra ...File) *backup {
	d.t.Helper()
	o := d.options(s)
	if change != nil {
		change(&o)
	}
	p, err := New(context.Background(), o)
	if err != nil {
		d.t.Fatal(err)
	}
	if during != nil {
		during()
	}
	if err := p.Files(context.Background()); err != nil {
		d.t.Fatal(err)
	}
	r, err := p.Finish(context.Background(), extra, []manifest.Range{{Timeline: 1, Start: 1, End: 2}})
	if err != nil {
		d.t.Fatal(err)
	}
	p.Abort() // does nothing
	c, err := frame.NewCoder(s.compression)
	if err != nil {
		d.t.Fatal(err)
	}
	return &backup{store: s, result: r, entries: s.entries(d.t), coder: c}
}

// tar unpacks a backup with the program of its compression and tar.
func (b *backup) tar(t *testing.T) string {
	t.Helper()
	to := t.TempDir()
	program := map[string]string{"zstd": "zstd -dc", "lz4": "lz4 -dc", "gzip": "gzip -dc", "none": "cat"}[b.compression]
	for i := range b.result.Parts {
		part := filepath.Join(t.TempDir(), "part.tar")
		out, err := exec.Command("sh", "-ec", program+` "$1" > "$2"; tar -xf "$2" -C "$3"; tar -tvf "$2" > /dev/null`, "sh", b.path(b.PartName(i)), part, to).CombinedOutput()
		if err != nil || len(out) > 0 {
			t.Fatalf("%s: %v: %s", b.PartName(i), err, out)
		}
	}
	return to
}

// files reads all files below a directory.
func files(t *testing.T, root string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(root, func(name string, e os.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(name)
		rel, _ := filepath.Rel(root, name)
		all[rel] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// same compares files.
func same(t *testing.T, got, want map[string]string) {
	t.Helper()
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if g, ok := got[name]; !ok || g != want[name] {
			t.Errorf("%q: %d bytes, want %d, or they differ", name, len(g), len(want[name]))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(got)) {
		if _, ok := want[name]; !ok {
			t.Errorf("%q is too much", name)
		}
	}
}

// noise is content that hardly compresses; the same for the same seed.
func noise(n int, seed uint64) []byte {
	b := make([]byte, n)
	for i := range b {
		seed = seed*6364136223846793005 + 1442695040888963407
		b[i] = byte(seed >> 56)
	}
	return b
}

// TestEveryCompression: files of many sizes, with names of many kinds, come out of tar and out of
// the chunks as they were.
func TestEveryCompression(t *testing.T) {
	for _, compression := range []string{"zstd", "lz4", "gzip", "none"} {
		t.Run(compression, func(t *testing.T) {
			d := newDir(t)
			for i, n := range []int{0, 1, 511, 512, 8191, 8192, 8193, 100_000, small, small + 1, window - 1, window, window + 1, 1<<20 + 8192, 3<<20 + 1} {
				d.write("base/5/"+string(rune('a'+i)), noise(n, uint64(i)))
			}
			d.write("base/5/1000", noise(10<<20, 1))
			deep := "base/" + strings.Repeat("d", 90) + "/" + strings.Repeat("e", 60)
			d.mkdir(deep)
			d.write(deep+"/"+strings.Repeat("f", 80), []byte("in ustar's prefix"))
			d.mkdir(deep + "/" + strings.Repeat("g", 200))
			d.write(deep+"/"+strings.Repeat("g", 200)+"/h", []byte("in a PAX header"))
			d.write("base/with space, \"quotes\"\nand ü", []byte("x"))
			d.write("base/no utf-8 \xff\xfe", []byte("y"))
			var done, total int64
			b := d.take(newStore(t, compression), func(o *Options) {
				o.Progress = func(d, t int64) { done, total = d, t }
			}, nil, File{Path: "pg_wal/00000001", From: filepath.Join(d.path, "base/5/1000"), Mode: 0o640}, File{Path: "backup_label", Data: []byte("label")})
			want := files(t, d.path)
			want["pg_wal/00000001"], want["backup_label"] = want["base/5/1000"], "label"
			same(t, files(t, b.tar(t)), want)
			got := map[string]string{}
			var size int64
			for path, e := range b.entries {
				if e.Path != "" {
					got[path] = string(content(t, path, []*backup{b}))
					size += e.Size
				}
			}
			same(t, got, want)
			if b.result.Size != size || b.result.Files != int64(len(want)) || done != total || done < size-8192-5 {
				t.Errorf("%d bytes in %d files, %d of %d done; want %d in %d", b.result.Size, b.result.Files, done, total, size, len(want))
			}
			if e := b.entries["pg_wal/00000001"]; e.Mode != 0o640 {
				t.Errorf("mode %o", e.Mode)
			}
			listed := 0
			if _, err := manifest.Read(mustOpen(t, b.path(b.ManifestName())), func(f manifest.File) error {
				if listed++; crc32.Checksum([]byte(want[f.Path]), castagnoli) != f.CRC || int64(len(want[f.Path])) != f.Size {
					t.Errorf("%+v", f)
				}
				return nil
			}); err != nil || listed != len(want)-1 { // WAL isn't in it
				t.Errorf("%d files in the manifest: %v", listed, err)
			}
		})
	}
}

func mustOpen(t *testing.T, name string) io.Reader {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() }) //nolint:errcheck // only read
	return f
}
