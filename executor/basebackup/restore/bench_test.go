package restore

import (
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"pg_manage/executor/basebackup/backuptest"
	"pg_manage/executor/repo"
)

// BenchmarkRestore compares restores of a real data directory, of a stopped server, named
// by PG_MANAGE_BENCH_DATA, with `cp -a` and sync of the same files.
func BenchmarkRestore(b *testing.B) {
	source := os.Getenv("PG_MANAGE_BENCH_DATA")
	if source == "" {
		b.Fatal("PG_MANAGE_BENCH_DATA must name the data directory of a stopped server")
	}
	dir, err := os.MkdirTemp(filepath.Dir(source), "bench")
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	g := backuptest.Open(b, dir, repo.Target{}, nil)
	full := g.Take(b, source, 0, "")
	cpu := func() time.Duration {
		var own, children unix.Rusage
		_, _ = unix.Getrusage(unix.RUSAGE_SELF, &own), unix.Getrusage(unix.RUSAGE_CHILDREN, &children)
		return time.Duration(own.Utime.Nano() + own.Stime.Nano() + children.Utime.Nano() + children.Stime.Nano())
	}
	timed := func(f func()) float64 {
		unix.Sync()
		begun, used := time.Now(), cpu()
		f()
		wall := time.Since(begun)
		b.Logf("wall %v, CPU %v", wall, cpu()-used)
		return wall.Seconds()
	}
	for b.Loop() {
		var cp, whole, delta, same float64
		copied, data := filepath.Join(dir, "copy"), filepath.Join(dir, "data")
		cp = timed(func() {
			if err := exec.Command("sh", "-c", "mkdir "+copied+" && cd "+source+" && cp -a $(ls -d * | grep -v pg_wal) "+copied+" && sync").Run(); err != nil {
				b.Fatal(err)
			}
		})
		o := Options{Catalog: g.Catalog, Label: full.Label, DataDir: data, TempDir: b.TempDir()}
		restore := func() {
			r, err := Restore(b.Context(), o)
			if err != nil {
				b.Fatal(err)
			}
			b.Logf("%+v", *r)
		}
		whole = timed(restore)
		o.Delta = true
		same = timed(restore)
		spoil(b, data, 0.01)
		delta = timed(restore)
		b.ReportMetric(float64(full.Size)/1e6, "MB")
		b.ReportMetric(cp, "s-cp")
		b.ReportMetric(whole, "s-restore")
		b.ReportMetric(whole/cp, "restore/cp")
		b.ReportMetric(same/whole, "unchanged/restore")
		b.ReportMetric(delta/whole, "delta1%/restore")
		_ = os.RemoveAll(copied)
		_ = os.RemoveAll(data)
	}
}

// spoil changes some of the blocks of all relations, here and there.
func spoil(b *testing.B, data string, share float64) {
	b.Helper()
	rnd := rand.New(rand.NewPCG(1, 1))
	files, err := filepath.Glob(filepath.Join(data, "base/*/[0-9]*"))
	if err != nil {
		b.Fatal(err)
	}
	for _, name := range files {
		f, err := os.OpenFile(name, os.O_RDWR, 0)
		if err != nil {
			b.Fatal(err)
		}
		info, err := f.Stat()
		if err != nil {
			b.Fatal(err)
		}
		for i := range info.Size() / 8192 {
			if rnd.Float64() < share {
				if _, err := f.WriteAt([]byte("spoiled"), i*8192+100); err != nil {
					b.Fatal(err)
				}
			}
		}
		if err := f.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
