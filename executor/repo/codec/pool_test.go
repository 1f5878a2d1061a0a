package codec

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"testing"
)

// TestALongRunMakesLittleGarbage archives as a long-running process does. Without pools
// each object takes megabytes.
func TestALongRunMakesLittleGarbage(t *testing.T) {
	k := newKeys(t)
	plain := wal(1 << 20)
	sum := sha256.Sum256(plain)
	for ext, c := range all(t, k) {
		var stored bytes.Buffer
		once := func() {
			stored.Reset()
			w, err := c.Writer(&stored, sum)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := w.Write(plain); err != nil {
				t.Fatal(err)
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			r, err := c.Reader(&stored, ext)
			if err != nil {
				t.Fatal(err)
			}
			if n, err := io.Copy(io.Discard, r); err != nil || n != int64(len(plain)) {
				t.Fatal(n, err)
			}
			if err := r.Close(); err != nil {
				t.Fatal(err)
			}
		}
		once()
		const runs = 50
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range runs {
			once()
		}
		runtime.ReadMemStats(&after)
		each := (after.TotalAlloc - before.TotalAlloc) / runs
		t.Logf("%q: %d KB an object", ext, each>>10)
		// A pool may be emptied by the garbage collector now and then, and drops some
		// on purpose under the race detector. age takes a new buffer for each 64 KiB that
		// it decrypts, and some for each object.
		limit := uint64(256 << 10)
		if Encrypted(ext) {
			limit += 512<<10 + uint64(len(encode(t, c, plain)))
		}
		if each > limit && !raceDetector {
			t.Errorf("%q: an object takes %d KB, and gives them to the garbage collector", ext, each>>10)
		}
	}
}

func TestManyAtOnceShareACodec(t *testing.T) {
	k := newKeys(t)
	codecs := all(t, k)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for ext, c := range codecs {
				for j := range 5 {
					plain := wal(10_000*i + j)
					var stored bytes.Buffer
					w, err := c.Writer(&stored, sha256.Sum256(plain))
					if err == nil {
						_, err = w.Write(plain)
					}
					if err == nil {
						err = w.Close()
					}
					if err != nil {
						t.Error(err)
						return
					}
					// One that is left in the middle must not spoil another.
					if r, err := c.Reader(bytes.NewReader(stored.Bytes()), ext); err != nil {
						t.Error(err)
					} else {
						_, _ = r.Read(make([]byte, 10))
						_ = r.Close()
					}
					got, err := decodeAll(c, &stored, ext)
					if err != nil || !bytes.Equal(got, plain) {
						t.Errorf("%q: %v", ext, err)
					}
				}
			}
		})
	}
	wg.Wait()
}

// segments gives what benchmarks run on: the WAL files in the directory
// $PG_MANAGE_BENCH_WAL, or what wal makes up.
func segments(b *testing.B) []byte {
	b.Helper()
	dir := os.Getenv("PG_MANAGE_BENCH_WAL")
	if dir == "" {
		return wal(64 << 20)
	}
	files, err := filepath.Glob(filepath.Join(dir, "????????????????????????"))
	if err != nil || len(files) == 0 {
		b.Fatalf("no WAL in %s: %v", dir, err)
	}
	var all []byte
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			b.Fatal(err)
		}
		all = append(all, text...)
	}
	return all
}

const segment = 16 << 20

func BenchmarkEncode(b *testing.B) {
	plain := segments(b)
	k := newKeys(b)
	codecs := all(b, k)
	for _, ext := range Extensions() {
		c := codecs[ext]
		b.Run(fmt.Sprintf("ext=%s", ext), func(b *testing.B) {
			b.SetBytes(int64(len(plain)))
			b.ReportAllocs()
			var sums [][32]byte
			for part := range slices.Chunk(plain, segment) {
				sums = append(sums, sha256.Sum256(part))
			}
			var stored int
			for b.Loop() {
				stored = 0
				for i, sum := range sums {
					count := &counter{}
					w, err := c.Writer(count, sum)
					if err == nil {
						_, err = w.Write(plain[i*segment : min((i+1)*segment, len(plain))])
					}
					if err == nil {
						err = w.Close()
					}
					if err != nil {
						b.Fatal(err)
					}
					stored += count.n
				}
			}
			b.ReportMetric(float64(stored)/float64(len(plain))*100, "%stored")
		})
	}
}

type counter struct{ n int }

func (c *counter) Write(b []byte) (int, error) {
	c.n += len(b)
	return len(b), nil
}

func BenchmarkDecode(b *testing.B) {
	plain := segments(b)
	k := newKeys(b)
	codecs := all(b, k)
	for _, ext := range Extensions() {
		c := codecs[ext]
		var stored [][]byte
		for part := range slices.Chunk(plain, segment) {
			stored = append(stored, encode(b, c, part))
		}
		b.Run(fmt.Sprintf("ext=%s", ext), func(b *testing.B) {
			b.SetBytes(int64(len(plain)))
			b.ReportAllocs()
			for b.Loop() {
				for _, s := range stored {
					r, err := c.Reader(bytes.NewReader(s), ext)
					if err != nil {
						b.Fatal(err)
					}
					if _, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, r, make([]byte, 256<<10)); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}
