package chain

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pg_manage/executor/basebackup/index"
	"pg_manage/executor/repo"
	"pg_manage/executor/repo/catalog"
	"pg_manage/executor/repo/codec"
	"pg_manage/executor/repo/posix"
)

// memory is what a target has: objects by label and name.
type memory map[string][]byte

// source is a catalogue of what is in the memory.
func (m memory) source(t testing.TB) *catalog.Catalog {
	t.Helper()
	dir := t.TempDir()
	for name, b := range m {
		name = filepath.Join(dir, "b", name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o700), os.WriteFile(name, b, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	d, err := posix.New("file://"+dir, "file", dir)
	if err != nil {
		t.Fatal(err)
	}
	c, err := catalog.New(d, "b", repo.Target{})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func label(i int) string {
	return fmt.Sprintf("2026010%dT000000Z-node1-%s", i+1, map[bool]string{true: "full", false: "incr"}[i == 0])
}

// build makes an index and its backup.json.
func (m memory) build(t testing.TB, i int, entries []*index.Entry) *catalog.Info {
	t.Helper()
	info := &catalog.Info{
		Version: 1, Label: label(i), Kind: catalog.Full, SystemIdentifier: "7", Timeline: 1, SegmentSize: 16 << 20,
		Parts: []catalog.Object{{Name: "part-0000.tar.zst", Size: 1 << 40}, {Name: "part-0001.tar.zst", Size: 1 << 40}},
		Index: catalog.Object{Name: "index.json.zst"},
	}
	if i > 0 {
		info.Kind, info.Parent = catalog.Incremental, label(i-1)
	}
	var plain bytes.Buffer
	w, err := index.NewWriter(&plain, index.Header{Label: info.Label, Parent: info.Parent})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if err := w.Write(e); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	m.store(t, info, plain.Bytes())
	return info
}

// store stores an index and puts its size and sum into info.
func (m memory) store(t testing.TB, info *catalog.Info, plain []byte) {
	t.Helper()
	c, err := codec.New(codec.Settings{}, "")
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	w, err := c.Writer(&out, sha256.Sum256(plain))
	if err == nil {
		_, err = w.Write(plain)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(out.Bytes())
	info.Index.Size, info.Index.SHA256 = int64(out.Len()), hex.EncodeToString(sum[:])
	m[info.Label+"/"+info.Index.Name] = out.Bytes()
}

// version is the content of a file in a model: a number for each block, and a size.
type version struct {
	size   int64
	blocks []uint32
	where  []int // backup that has the block
}

func sumOf(n uint32) []byte {
	return append(binary.LittleEndian.AppendUint32(nil, n), make([]byte, 8)...)
}

// change gives a later version of a file.
func (v version) change(rnd *rand.Rand, i int) version {
	size := v.size
	switch rnd.IntN(4) {
	case 0:
		size = rnd.Int64N(40 * index.BlockSize)
	case 1:
		size = rnd.Int64N(40) * index.BlockSize
	}
	out := version{size: size, blocks: make([]uint32, index.Blocks(size)), where: make([]int, index.Blocks(size))}
	for b := range out.blocks {
		if b < len(v.blocks) && blockLen(v.size, int64(b)) == blockLen(size, int64(b)) && rnd.IntN(5) > 0 {
			out.blocks[b], out.where[b] = v.blocks[b], v.where[b]
			continue
		}
		out.blocks[b], out.where[b] = rnd.Uint32(), i
	}
	return out
}

// entry is the index entry of a version in backup i. Frames hold a few blocks; their
// offset tells the block, so that a piece can be checked.
func (v version) entry(rnd *rand.Rand, path string, i int, has bool) *index.Entry {
	e := &index.Entry{Path: path, Mode: 0o600, Size: v.size, MTime: int64(i), Same: has}
	for b := 0; b < len(v.blocks); {
		if v.where[b] != i {
			b++
			continue
		}
		n := 1
		for b+n < len(v.blocks) && v.where[b+n] == i && n < 1+rnd.IntN(8) {
			n++
		}
		e.Chunks = append(e.Chunks, index.Chunk{Block: int64(b), Count: int64(n), Part: i % 2, Offset: int64(b) << 20, Length: 1000, Skip: 512})
		for _, x := range v.blocks[b : b+n] {
			e.Sums = append(e.Sums, sumOf(x)...)
		}
		b, e.Same = b+n, false
	}
	return e
}

func TestEveryBlockIsFoundWhereItWasStoredLast(t *testing.T) {
	for seed := range uint64(60) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		src := memory{}
		var infos []*catalog.Info
		files := map[string]version{}
		for i := range 1 + rnd.IntN(5) {
			entries := []*index.Entry{{Dir: "base", Mode: 0o700}}
			next := map[string]version{}
			for f := range 12 {
				path := fmt.Sprintf("base/%d", f)
				old, has := files[path]
				if rnd.IntN(6) == 0 {
					continue // not there in this backup
				}
				v := old.change(rnd, i)
				if rnd.IntN(3) == 0 && has {
					v = old
				}
				has = has && v.size == old.size
				next[path] = v
				entries = append(entries, v.entry(rnd, path, i, has))
			}
			files = next
			infos = append(infos, src.build(t, i, entries))
		}
		c, err := Open(t.Context(), src.source(t), infos, t.TempDir())
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		seen := map[string]bool{}
		for f, err := range c.Files() {
			if err != nil {
				t.Fatal(err)
			}
			seen[f.Path] = true
			compare(t, seed, f, files[f.Path])
		}
		if len(seen) != len(files) || c.Len() != len(files) {
			t.Fatalf("seed %d: %v, want %v", seed, seen, maps.Keys(files))
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func compare(t *testing.T, seed uint64, f *File, v version) {
	t.Helper()
	if f.Size != v.size {
		t.Fatalf("seed %d, %s: %d bytes, want %d", seed, f.Path, f.Size, v.size)
	}
	var next int64
	for _, p := range f.Pieces {
		if p.Block != next {
			t.Fatalf("seed %d, %s: a piece begins at %d, want %d", seed, f.Path, p.Block, next)
		}
		for b := p.Block; b < p.Block+p.Count; b++ {
			if p.Backup != v.where[b] {
				t.Fatalf("seed %d, %s: block %d of backup %d, want %d", seed, f.Path, b, p.Backup, v.where[b])
			}
			if at := p.Offset>>20 + (p.Skip-512)/index.BlockSize + b - p.Block; at != b {
				t.Fatalf("seed %d, %s: block %d is taken from where %d lies", seed, f.Path, b, at)
			}
		}
		next = p.Block + p.Count
	}
	if next != int64(len(v.blocks)) {
		t.Fatalf("seed %d, %s: pieces end at %d, want %d", seed, f.Path, next, len(v.blocks))
	}
	for b, x := range v.blocks {
		if !bytes.Equal(f.Sums[b*index.SumSize:(b+1)*index.SumSize], sumOf(x)) {
			t.Fatalf("seed %d, %s: sum of block %d", seed, f.Path, b)
		}
	}
}

func TestWhatDoesNotFitTogetherIsAnErrorThatNamesIt(t *testing.T) {
	whole := func(i int) *index.Entry {
		return &index.Entry{
			Path: "base/1", Mode: 0o600, Size: 2 * index.BlockSize,
			Chunks: []index.Chunk{{Count: 2, Length: 100, Skip: 512}}, Sums: append(sumOf(uint32(i)), sumOf(2)...),
		}
	}
	base := &index.Entry{Dir: "base", Mode: 0o700}
	full := func() []*index.Entry { return []*index.Entry{base, whole(0)} }
	incr := func() []*index.Entry {
		return []*index.Entry{base, {Path: "base/1", Mode: 0o600, Size: 2 * index.BlockSize, Same: true}}
	}
	entry := func(change func(e *index.Entry)) func() []*index.Entry {
		return func() []*index.Entry {
			e := whole(1)
			change(e)
			return []*index.Entry{base, e}
		}
	}
	tests := map[string]struct {
		full, incr func() []*index.Entry
		change     func(src memory, infos []*catalog.Info)
		want       string
	}{
		"sound":                      {full, incr, nil, ""},
		"a hole in a full backup":    {entry(func(e *index.Entry) { e.Chunks[0].Count, e.Sums = 1, e.Sums[:12] }), incr, nil, "lacks block 1"},
		"same without a parent":      {func() []*index.Entry { return []*index.Entry{base} }, incr, nil, "which has no such file"},
		"same with another size":     {full, func() []*index.Entry { return []*index.Entry{base, {Path: "base/1", Size: 5, Same: true}} }, nil, "said to be the parent's"},
		"a block of another length":  {full, func() []*index.Entry { return []*index.Entry{base, {Path: "base/1", Size: index.BlockSize + 5}} }, nil, "not the same in the backup before"},
		"grown without blocks":       {full, func() []*index.Entry { return []*index.Entry{base, {Path: "base/1", Size: 3 * index.BlockSize}} }, nil, "lacks block 2"},
		"twice":                      {full, func() []*index.Entry { return []*index.Entry{base, whole(1), whole(1)} }, nil, "twice"},
		"a file that is a directory": {full, func() []*index.Entry { return []*index.Entry{base, whole(1), {Dir: "base/1"}} }, nil, "twice"},
		"below a file":               {full, func() []*index.Entry { return []*index.Entry{base, whole(1), {Path: "base/1/2"}} }, nil, "lies in no directory"},
		"below a link":               {full, func() []*index.Entry { return []*index.Entry{base, {Link: "x", To: "/etc"}, {Path: "x/passwd"}} }, nil, "lies in no directory"},
		"a part that is not there":   {full, entry(func(e *index.Entry) { e.Chunks[0].Part = 2 }), nil, "lies in part 2"},
		"behind the part's end":      {full, entry(func(e *index.Entry) { e.Chunks[0].Offset = 1 << 40 }), nil, "lies in a frame"},
		"a frame of 1 GB":            {full, entry(func(e *index.Entry) { e.Chunks[0].Length = 1 << 30 }), nil, "lies in a frame"},
		"a frame of nothing":         {full, entry(func(e *index.Entry) { e.Chunks[0].Length = 0 }), nil, "lies in a frame"},
		"more than a frame holds":    {full, entry(func(e *index.Entry) { e.Chunks[0].Skip = 1 << 20 }), nil, "more than it holds"},
		"another index": {full, incr, func(src memory, infos []*catalog.Info) {
			src[infos[1].Label+"/index.json.zst"] = src[infos[0].Label+"/index.json.zst"]
		}, "it is the index of"},
		"another parent":        {full, incr, func(_ memory, infos []*catalog.Info) { infos[1].Parent = label(5) }, "its parent is"},
		"no full backup":        {full, incr, func(_ memory, infos []*catalog.Info) { infos[0].Kind = catalog.Incremental }, "no full backup"},
		"another system":        {full, incr, func(_ memory, infos []*catalog.Info) { infos[1].SystemIdentifier = "8" }, "of system 8"},
		"another sum":           {full, incr, func(_ memory, infos []*catalog.Info) { infos[1].Index.SHA256 = strings.Repeat("0", 64) }, "its SHA-256 is"},
		"another size":          {full, incr, func(_ memory, infos []*catalog.Info) { infos[1].Index.Size-- }, "backup.json says"},
		"index missing":         {full, incr, func(src memory, infos []*catalog.Info) { delete(src, infos[1].Label+"/index.json.zst") }, "not there"},
		"index cut":             {full, incr, func(src memory, infos []*catalog.Info) { cutTail(src, infos[1].Label+"/index.json.zst") }, "backup.json says"},
		"index with lines lost": {full, incr, func(src memory, infos []*catalog.Info) { src.store(t, infos[1], loseLine(t, infos[1])) }, "EOF"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			src := memory{}
			infos := []*catalog.Info{src.build(t, 0, tt.full()), src.build(t, 1, tt.incr())}
			if tt.change != nil {
				tt.change(src, infos)
			}
			dir := t.TempDir()
			c, err := Open(t.Context(), src.source(t), infos, dir)
			if left, _ := os.ReadDir(dir); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
			if tt.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				if err := c.Close(); err != nil {
					t.Fatal(err)
				}
				return
			}
			var bad *DamageError
			if !errors.As(err, &bad) || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("%v, want %q", err, tt.want)
			}
			if bad.Backup != infos[0].Label && bad.Backup != infos[1].Label || bad.Object == "" {
				t.Errorf("the error names %q, %q", bad.Backup, bad.Object)
			}
		})
	}
}

func cutTail(src memory, name string) { src[name] = src[name][:len(src[name])-3] }

func loseLine(t *testing.T, info *catalog.Info) []byte {
	t.Helper()
	return fmt.Appendf(nil, `{"version":1,"label":%q,"parent":%q,"block_size":8192}`+"\n"+`{"dir":"base","mode":448}`+"\n", info.Label, info.Parent)
}

// silent is a source that breaks off.
type silent struct{ *catalog.Catalog }

var errOutage = errors.New("connection lost")

func (s silent) Whole(ctx context.Context, label string, o catalog.Object) (io.ReadCloser, error) {
	r, err := s.Catalog.Whole(ctx, label, o)
	return struct {
		io.Reader
		io.Closer
	}{io.MultiReader(io.LimitReader(r, 20), broken{}), r}, err
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errOutage }

func TestAnOutageIsNoDamage(t *testing.T) {
	src := memory{}
	infos := []*catalog.Info{src.build(t, 0, []*index.Entry{{Dir: "base"}})}
	_, err := Open(t.Context(), silent{src.source(t)}, infos, t.TempDir())
	var bad *DamageError
	if errors.As(err, &bad) || !errors.Is(err, errOutage) || !strings.Contains(err.Error(), infos[0].Label) {
		t.Fatal(err)
	}
}

func FuzzIndex(f *testing.F) {
	src := memory{}
	src.build(f, 0, nil)
	for _, seed := range []string{
		`{"dir":"base","mode":448}` + "\n" + `{"path":"base/1","size":8192,"chunks":[[0,1,0,0,100,512]],"sums":"AAAAAAAAAAAAAAAA"}` + "\n" + `{"lines":3}` + "\n",
		`{"path":"../x","size":8192}` + "\n" + `{"lines":2}` + "\n",
		`{"path":"x","size":9223372036854775807}` + "\n" + `{"lines":2}` + "\n",
		`{"path":"x","size":9000,"chunks":[[0,1,0,0,100,512],[1,1152921504606846976,0,0,1,1]]}` + "\n" + `{"lines":2}` + "\n",
		`{"link":"pg_tblspc/1","to":"/x"}` + "\n" + `{"path":"pg_tblspc/1/x"}` + "\n" + `{"lines":3}` + "\n",
	} {
		f.Add([]byte(seed), []byte(`{"path":"x","size":8192,"same":true}`+"\n"+`{"lines":2}`+"\n"))
	}
	f.Fuzz(func(t *testing.T, first, second []byte) {
		src := memory{}
		infos := []*catalog.Info{src.build(t, 0, nil), src.build(t, 1, nil)}
		for i, body := range [][]byte{first, second} {
			head := fmt.Appendf(nil, `{"version":1,"label":%q,"parent":%q,"block_size":8192}`+"\n", infos[i].Label, infos[i].Parent)
			src.store(t, infos[i], append(head, body...))
		}
		c, err := Open(t.Context(), src.source(t), infos, t.TempDir())
		if err != nil {
			return
		}
		defer func() { _ = c.Close() }()
		for f, err := range c.Files() {
			if err != nil {
				t.Fatal(err)
			}
			if err := index.CheckPath(f.Path); err != nil {
				t.Fatal(err)
			}
			var next int64
			for _, p := range f.Pieces {
				if p.Block != next || p.Count <= 0 || p.Skip+p.Bytes(f.Size) > 1<<20 {
					t.Fatalf("%+v", f)
				}
				next += p.Count
			}
			if next != index.Blocks(f.Size) || int64(len(f.Sums)) != next*index.SumSize {
				t.Fatalf("%+v", f)
			}
		}
	})
}
