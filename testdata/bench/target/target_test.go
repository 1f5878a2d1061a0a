// Package target measures the storage drivers: 4 MiB objects, which is what a WAL
// segment is once it is compressed, stored and read by several workers.
//
//	go test ./testdata/bench/target -run '^$' -bench . -benchtime 24x
package target

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"pg_manage/executor/repo"
	"pg_manage/executor/repo/storage"
	"pg_manage/testdata/lab"
)

const objectSize = 4 << 20

func BenchmarkDirectory(b *testing.B) {
	object := make([]byte, objectSize)
	rand.Read(object) //nolint:errcheck // never fails
	for _, workers := range []int{1, 2, 4} {
		b.Run(fmt.Sprintf("put/workers=%d", workers), func(b *testing.B) {
			d := open(b, repo.Target{Name: "dir", Scheme: "file", Path: b.TempDir()})
			put(b, d, workers, object, "a")
		})
	}
}

func BenchmarkSSH(b *testing.B) {
	l := lab.Start(b, lab.Options{Nodes: []lab.NodeSpec{{Name: "vault", Backup: true}}})
	vault := l.Node("vault")
	key, err := vault.HostKey()
	if err != nil {
		b.Fatal(err)
	}
	object := make([]byte, objectSize)
	rand.Read(object) //nolint:errcheck // never fails
	var run int
	for _, ms := range []int{0, 50} {
		if err := vault.Delay(ms); err != nil {
			b.Fatal(err)
		}
		for _, workers := range []int{1, 4, 8} {
			dir := fmt.Sprintf("d%d/w%d", ms, workers)
			t := repo.Target{
				Name: "vault", Scheme: "ssh", User: "backup", Host: vault.IP, Path: "/backup",
				HostKeys: []string{key}, IdentityFile: filepath.Join(l.SSHDir, "id_ed25519"),
			}
			var stored string
			b.Run(fmt.Sprintf("put/rtt=%dms/workers=%d", ms, workers), func(b *testing.B) {
				run++
				stored = fmt.Sprintf("%s/%d", dir, run)
				put(b, open(b, t), workers, object, stored)
			})
			b.Run(fmt.Sprintf("get/rtt=%dms/workers=%d", ms, workers), func(b *testing.B) {
				get(b, open(b, t), workers, object, stored)
			})
		}
	}
}

func open(b *testing.B, t repo.Target) storage.Driver {
	b.Helper()
	d, err := repo.Open(b.Context(), t)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := d.Close(); err != nil {
			b.Error(err)
		}
	})
	return d
}

func put(b *testing.B, d storage.Driver, workers int, object []byte, dir string) {
	b.Helper()
	if err := d.Put(b.Context(), dir+"/warm", bytes.NewReader(object)); err != nil {
		b.Fatal(err)
	}
	share(b, workers, func(ctx context.Context, i int64) error {
		return d.Put(ctx, fmt.Sprintf("%s/%d", dir, i), bytes.NewReader(object))
	})
}

func get(b *testing.B, d storage.Driver, workers int, object []byte, dir string) {
	b.Helper()
	share(b, workers, func(ctx context.Context, _ int64) error {
		r, err := d.Open(ctx, dir+"/warm")
		if err != nil {
			return err
		}
		defer r.Close() //nolint:errcheck // what counts is what was read
		var got bytes.Buffer
		got.Grow(len(object) + bytes.MinRead)
		if _, err := io.Copy(&got, r); err != nil {
			return err
		}
		if !bytes.Equal(got.Bytes(), object) {
			return fmt.Errorf("read %d other bytes", got.Len())
		}
		return nil
	})
}

// share divides b.N objects among the workers.
func share(b *testing.B, workers int, f func(ctx context.Context, i int64) error) {
	b.Helper()
	b.SetBytes(objectSize)
	var next atomic.Int64
	var wg sync.WaitGroup
	b.ResetTimer()
	for range workers {
		wg.Go(func() {
			for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
				if err := f(b.Context(), i); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "seg/s")
}
