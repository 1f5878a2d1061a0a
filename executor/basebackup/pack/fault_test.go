package pack

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"pg_manage/executor/basebackup/frame"
	"pg_manage/executor/basebackup/page"
)

func newCoder(compression string) (*frame.Coder, error) { return frame.NewCoder(compression) }

// pages makes n pages with checksums, whose first is the given one of the relation.
func pages(n int, first uint32) []byte {
	b := make([]byte, n*8192)
	for i := range n {
		p := b[i*8192:][:8192]
		copy(p[24:], noise(5000, uint64(first)+uint64(i)))
		binary.LittleEndian.PutUint32(p[4:], uint32(1000+i)) // pd_lsn
		binary.LittleEndian.PutUint16(p[14:], 8192)          // pd_upper
		binary.LittleEndian.PutUint16(p[8:], page.Checksum(p, first+uint32(i)))
	}
	return b
}

// TestDamagedPagesAreTold: the backup goes on, and says which they are.
func TestDamagedPagesAreTold(t *testing.T) {
	d := newDir(t)
	b := pages(300, 0)
	b[8192*7+100]++
	b[8192*250+3000]++
	d.write("base/5/16384", b)
	b = pages(2, 131072)
	d.write("base/5/16385.1", b)
	b[9000]++
	d.write("global/1262", pages(1, 0))
	d.write("base/5/16385.2", b)     // all pages are elsewhere
	d.write("base/5/no_relation", b) // not verified
	d.write("base/5/16386", append(pages(1, 0), 1, 2, 3))
	bk := d.take(newStore(t, "zstd"), func(o *Options) { o.Checksums = true }, nil)
	want := "[{base/5/16384 7} {base/5/16384 250} {base/5/16385.2 0} {base/5/16385.2 1}]"
	if got := fmt.Sprint(bk.result.DamagedPages); got != want || bk.result.Damaged != 4 {
		t.Errorf("%d: %s, want %s", bk.result.Damaged, got, want)
	}
	same(t, files(t, bk.tar(t)), files(t, d.path))
	// Those changed since the backup began can be half written: the WAL has them.
	bk = d.take(newStore(t, "zstd"), func(o *Options) { o.Checksums, o.Cold, o.StartLSN = true, false, 1000 }, nil)
	if bk.result.Damaged != 0 {
		t.Errorf("%+v", bk.result)
	}
	bk = d.take(newStore(t, "zstd"), func(o *Options) { o.Checksums, o.Cold, o.StartLSN = true, false, 1008 }, nil)
	if bk.result.Damaged != 3 {
		t.Errorf("%+v", bk.result)
	}
	if bk = d.take(newStore(t, "zstd"), nil, nil); bk.result.Damaged != 0 {
		t.Error("a cluster without checksums has no wrong ones")
	}
}

// watched calls something whenever it is asked whether it ended, which every read does first.
type watched struct {
	context.Context
	asked func()
}

func (w watched) Err() error {
	w.asked()
	return w.Context.Err()
}

// TestTornPageIsReadAgain: a page that is half written when it is read is in order when it is
// read for the third time.
func TestTornPageIsReadAgain(t *testing.T) {
	d := newDir(t)
	good := pages(10, 0)
	torn := append([]byte(nil), good...)
	clear(torn[8192*5+4096 : 8192*6])
	for _, heals := range []bool{true, false} {
		d.write("base/5/16384", torn)
		o := d.options(newStore(t, "zstd"))
		o.Checksums = true
		p, err := New(context.Background(), o)
		if err != nil {
			t.Fatal(err)
		}
		defer p.Abort()
		w, err := p.newWorker()
		if err != nil {
			t.Fatal(err)
		}
		f, err := p.open(&item{name: "base/5/16384"})
		if err != nil {
			t.Fatal(err)
		}
		defer f.release()
		asked := 0
		ctx := watched{context.Background(), func() {
			if asked++; asked == 3 && heals {
				d.write("base/5/16384", good)
			}
		}}
		got := make([]byte, len(good))
		if err := w.fetch(ctx, f, got, 0); err != nil {
			t.Fatal(err)
		}
		if heals != bytes.Equal(got, good) || (p.damaged == 0) != heals || asked < 3 {
			t.Errorf("heals %v: %d damaged, %d reads", heals, p.damaged, asked)
		}
	}
}

// TestMuchDamageDoesNotTakeForever counts what it does not list.
func TestMuchDamageDoesNotTakeForever(t *testing.T) {
	d := newDir(t)
	d.write("base/5/16384", pages(2000, 1))
	b := d.take(newStore(t, "zstd"), func(o *Options) { o.Checksums = true }, nil)
	if b.result.Damaged != 2000 || len(b.result.DamagedPages) != maxDamaged {
		t.Errorf("%d, %d listed", b.result.Damaged, len(b.result.DamagedPages))
	}
}

// bad is a writer that fails after some bytes.
type bad struct{ left int }

var errFull = errors.New("no space left on the target")

func (b *bad) Write(p []byte) (int, error) {
	if b.left -= len(p); b.left < 0 {
		return 0, errFull
	}
	return len(p), nil
}

// TestTargetThatFails at every stage ends the backup with its own error, and leaves nothing that looks
// whole but what was whole.
func TestTargetThatFails(t *testing.T) {
	d := newDir(t)
	d.write("base/5/16384", noise(20<<20, 1))
	for i := range 2000 {
		d.write(fmt.Sprintf("base/5/%d", 20000+i), noise(3000, uint64(i)))
	}
	for _, object := range []string{"part-0000", "part-0001", "part-0002", "index", "backup_manifest"} {
		for _, after := range []int{0, 20, 700_000} {
			if after > 100_000 && !strings.HasPrefix(object, "part-0000") {
				continue
			}
			st := newStore(t, "zstd")
			st.fail = func(name string) io.Writer {
				if strings.HasPrefix(name, object) {
					return &bad{after}
				}
				return nil
			}
			p, err := New(context.Background(), d.options(st))
			if err != nil {
				t.Fatal(err)
			}
			if err = p.Files(context.Background()); err == nil {
				_, err = p.Finish(context.Background(), []File{{Path: "backup_label", Data: []byte("x")}}, nil)
			}
			if !errors.Is(err, errFull) || !strings.Contains(err.Error(), object) {
				t.Errorf("%s after %d bytes: %v", object, after, err)
			}
			p.Abort()
			left, err := filepath.Glob(st.dir + "/*")
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range left {
				if base := filepath.Base(name); strings.HasPrefix(base, object) || !strings.HasPrefix(base, "part-") || strings.HasSuffix(base, ".tmp") {
					t.Errorf("%s after %d bytes: %s is there", object, after, base)
				}
			}
		}
	}
}

// TestCancelEndsPromptly: while the target hangs, while reading is slow, and before it began.
func TestCancelEndsPromptly(t *testing.T) {
	d := newDir(t)
	d.write("base/5/16384", noise(20<<20, 1))
	slow := func(o *Options) { o.Rate = 1 << 20 }
	for _, own := range []bool{true, false} {
		o := d.options(newStore(t, "zstd"))
		slow(&o)
		outer, endOuter := context.WithCancel(context.Background())
		inner, endInner := context.WithCancel(context.Background())
		o.Progress = func(done, _ int64) {
			if done > 0 && own {
				endInner()
			} else if done > 0 {
				endOuter()
			}
		}
		p, err := New(outer, o)
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if err := p.Files(inner); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		if took := time.Since(began); took > 18*time.Second { // all of it takes 20 and more
			t.Errorf("it took %v", took)
		}
		if _, err := p.Finish(context.Background(), nil, nil); err == nil {
			t.Error("a backup that was cancelled can be finished")
		}
		endInner()
		endOuter()
		left, err := filepath.Glob(o.Store.(*store).dir + "/*")
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range left { // a part that was whole before is for the caller to remove
			plain, err := io.ReadAll(o.Store.(*store).decode(t, filepath.Base(name)))
			if !strings.HasPrefix(filepath.Base(name), "part-") || err != nil || len(plain) >= 20<<20 || !bytes.HasSuffix(plain, make([]byte, 2*tarBlock)) {
				t.Errorf("%s is there, with %d bytes: %v", name, len(plain), err)
			}
		}
	}
}

// TestRateIsKept reads 3 MB at 6 MB a second.
func TestRateIsKept(t *testing.T) {
	d := newDir(t)
	d.write("base/5/16384", noise(3<<20, 1))
	began := time.Now()
	d.take(newStore(t, "zstd"), func(o *Options) { o.Rate = 6 << 20 }, nil)
	if took := time.Since(began); took < 400*time.Millisecond {
		t.Errorf("it took %v", took)
	}
}

// deaf is a store that says it has stored what it did not read.
type deaf struct{ *store }

func (s deaf) Create(ctx context.Context, label, name string, r io.Reader) (o catalogObject, err error) {
	o, err = s.store.Create(ctx, label, name, io.LimitReader(r, 100))
	return o, err
}

func TestStoreThatStopsEarlyIsNoticed(t *testing.T) {
	d := newDir(t)
	d.write("base/5/16384", noise(1<<20, 1))
	o := d.options(nil)
	o.Store = deaf{newStore(t, "zstd")}
	p, err := New(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Files(context.Background()); err == nil {
		_, err = p.Finish(context.Background(), nil, nil)
		t.Errorf("it was accepted: %v", err)
	}
}

// TestMissingWALIsAnError: a segment that Finish is told to add must be there.
func TestMissingWALIsAnError(t *testing.T) {
	d := newDir(t)
	p, err := New(context.Background(), d.options(newStore(t, "zstd")))
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Files(context.Background()); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Finish(context.Background(), []File{{Path: "pg_wal/000000010000000000000001"}}, nil); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "000000010000000000000001") {
		t.Error(err)
	}
}

// TestManySmallFiles takes thousands with few calls of Progress, and their next backup hardly anything.
func TestManySmallFiles(t *testing.T) {
	d := newDir(t)
	for i := range 3_000 {
		d.write(fmt.Sprintf("base/5/%d", 20000+i), noise(8192, uint64(i)))
	}
	began := time.Now()
	var calls atomic.Int64
	b := d.take(newStore(t, "zstd"), func(o *Options) { o.Progress = func(_, _ int64) { calls.Add(1) } }, nil)
	t.Logf("%v for %d files", time.Since(began), b.result.Files)
	if b.result.Files != 3_002 || calls.Load() > 300 {
		t.Errorf("%d files, %d calls", b.result.Files, calls.Load())
	}
	again := d.take(newStore(t, "zstd"), func(o *Options) { o.Parent, o.Previous = o.Label, previous{b} }, nil)
	if again.result.Stored*10 > b.result.Stored || len(again.result.Parts) != 1 {
		t.Errorf("%+v", again.result)
	}
	for path, e := range again.entries {
		if e.Path != "" && path != controlFile && !e.Same {
			t.Errorf("%+v", e)
		}
	}
}

// TestUnreadableFileIsNamed runs as another user when it is root, whom nothing keeps from reading.
func TestUnreadableFileIsNamed(t *testing.T) {
	d := newDir(t)
	d.write("base/5/16384", noise(1000, 1))
	if err := os.Chmod(d.path+"/base/5/16384", 0); err != nil {
		t.Fatal(err)
	}
	out := asOther(t, d.path)
	if !strings.Contains(out, d.path+"/base/5/16384 cannot be read: permission denied") {
		t.Error(out)
	}
	if err := os.Chmod(d.path+"/base/5/16384", 0o600); err != nil {
		t.Fatal(err)
	}
	if out := asOther(t, d.path); !strings.Contains(out, "packed") {
		t.Error(out)
	}
	if err := os.Chmod(d.path+"/base/5", 0); err != nil {
		t.Fatal(err)
	}
	if out := asOther(t, d.path); !strings.Contains(out, d.path+"/base/5: permission denied") {
		t.Error(out)
	}
}

// TestEveryBlockSize: pages of other servers.
func TestEveryBlockSize(t *testing.T) {
	for _, size := range []int{4096, 16384, 32768} {
		d := newDir(t)
		b := make([]byte, 40*size)
		for i := range 40 {
			p := b[i*size:][:size]
			copy(p[24:], noise(2000, uint64(i)))
			binary.LittleEndian.PutUint16(p[14:], 100)
			binary.LittleEndian.PutUint16(p[8:], page.Checksum(p, uint32(i)))
		}
		b[size*33+50]++
		d.write("base/5/16384", b)
		bk := d.take(newStore(t, "zstd"), func(o *Options) { o.Checksums, o.BlockSize = true, size }, nil)
		if bk.result.Damaged != 1 || bk.result.DamagedPages[0].Block != 33 {
			t.Errorf("%d: %+v", size, bk.result)
		}
		same(t, files(t, bk.tar(t)), files(t, d.path))
	}
	o := newDir(t).options(newStore(t, "zstd"))
	if o.BlockSize = 5000; o.BlockSize < math.MaxInt16 {
		if _, err := New(context.Background(), o); err == nil {
			t.Error("pages of 5000 bytes")
		}
	}
}
