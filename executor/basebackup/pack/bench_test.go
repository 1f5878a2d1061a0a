package pack

import (
	"context"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"pg_manage/executor/basebackup/manifest"
)

// cpu is the processor time that this process has used.
func cpu(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkPack copies a stopped data directory, the one that PACK_BENCH names or one that is made
// up, with two workers, and gives the processor time that 1 GB took.
func BenchmarkPack(b *testing.B) {
	data := os.Getenv("PACK_BENCH")
	if data == "" {
		data = madeUp(b)
	}
	for _, compression := range []string{"zstd", "lz4", "none"} {
		b.Run(compression, func(b *testing.B) {
			var size int64
			began := cpu(b)
			for range b.N {
				st := &store{dir: b.TempDir(), compression: compression}
				p, err := New(context.Background(), Options{Store: st, DataDir: data, Cold: true, Checksums: true, Workers: 2, Manifest: manifest.Header{Major: 15}})
				if err != nil {
					b.Fatal(err)
				}
				if err := p.Files(context.Background()); err != nil {
					b.Fatal(err)
				}
				r, err := p.Finish(context.Background(), nil, nil)
				if err != nil {
					b.Fatal(err)
				}
				size += r.Size
				b.ReportMetric(float64(r.Size)/float64(r.Stored), "ratio")
			}
			b.SetBytes(size / int64(b.N))
			b.ReportMetric((cpu(b)-began).Seconds()/float64(size)*1e9, "cpu-s/GB")
		})
	}
}

// madeUp is a data directory of 256 MB, which compresses as databases do.
func madeUp(b *testing.B) string {
	d := newDirAt(b, b.TempDir())
	all := pages(1<<12, 0)
	for i := range len(all) / 8192 {
		p := all[i*8192:][:8192]
		copy(p[24:], strings.Repeat(fmt.Sprintf("row %d: %08x;", i, i*7919), 100))
	}
	for i := range 8 {
		d.write(fmt.Sprintf("base/5/%d", 16384+i), all)
	}
	return d.path
}
