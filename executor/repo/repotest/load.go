package repotest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"pg_manage/executor/repo/storage"
)

// oneWinner: of 16 writers of one name, each over a connection of one of two drivers,
// one stores its content, whole, and the others learn that they didn't.
func (s suite) oneWinner(t *testing.T) {
	ctx, d1 := s.driver(t)
	_, d2 := s.driver(t)
	for round := range 8 {
		name := fmt.Sprintf("winner/%d/one", round)
		var wg sync.WaitGroup
		won := make(chan byte, 16)
		for i := range 16 {
			d := []storage.Driver{d1, d2}[i%2]
			wg.Go(func() {
				err := d.Put(ctx, name, bytes.NewReader(bytes.Repeat([]byte{byte(i)}, 100_000+i)))
				switch {
				case err == nil:
					won <- byte(i)
				case !errors.Is(err, storage.ErrExists):
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if len(won) != 1 {
			t.Fatalf("%d writers believe that they stored the file", len(won))
		}
		i := <-won
		if got := read(ctx, t, d1, name); !bytes.Equal(got, bytes.Repeat([]byte{i}, 100_000+int(i))) {
			t.Errorf("the file is not what writer %d was told that it stored", i)
		}
		onlyWhole(ctx, t, d1, fmt.Sprintf("winner/%d", round), 1)
	}
}

func (s suite) longNames(t *testing.T) {
	ctx, d := s.driver(t)
	name := "long/" + strings.Repeat("d", 200) + "/" + strings.Repeat("f", 200)
	if err := d.Put(ctx, name, bytes.NewBufferString("x")); err != nil {
		t.Fatal(err)
	}
	if got := read(ctx, t, d, name); string(got) != "x" {
		t.Errorf("got %q", got)
	}
	if err := d.Put(ctx, name, bytes.NewBufferString("y")); !errors.Is(err, storage.ErrExists) {
		t.Errorf("a second Put gave %v", err)
	}
}

// syncOfAnothers: a file that another connection stored can be made durable.
func (s suite) syncOfAnothers(t *testing.T) {
	ctx, d := s.driver(t)
	if err := d.Put(ctx, "others/deep/file", bytes.NewBufferString("x")); err != nil {
		t.Fatal(err)
	}
	ctx, d = s.driver(t)
	if err := d.Sync(ctx, "others/deep/file"); err != nil {
		t.Error(err)
	}
	if err := d.Sync(ctx, "others/deep/none"); !errors.Is(err, storage.ErrNotExist) {
		t.Errorf("Sync of what isn't there: %v", err)
	}
}

// pooled is how many files or goroutines more there may be than before because the pools of
// connections are fuller at the moment: 4 workers, of whom each may have a connection in
// use and leave one behind, with both of its ends in this process. What leaks does so at
// every file, or at every second one, and 150 files are far more.
const pooled = 40

// leaks: a process that lives on for weeks must not gather goroutines or files.
func (s suite) leaks(t *testing.T) {
	ctx, d := s.driver(t)
	body := make([]byte, 70_000) // more than one request of SFTP
	work := func(from, to int) {
		var wg sync.WaitGroup
		for w := range 4 {
			wg.Go(func() {
				for i := from + w; i < to; i += 4 {
					name := fmt.Sprintf("leaks/%d", i)
					if err := d.Put(ctx, name, bytes.NewReader(body)); err != nil {
						t.Error(err)
						return
					}
					if err := d.Put(ctx, name, bytes.NewReader(body)); !errors.Is(err, storage.ErrExists) {
						t.Errorf("a second Put gave %v", err)
					}
					if err := d.Put(ctx, name+"broken", &failingReader{40_000}); !errors.Is(err, errSource) {
						t.Errorf("a broken source gave %v", err)
					}
					r, err := d.Open(ctx, name)
					if err != nil {
						t.Error(err)
						return
					}
					if i%2 == 0 { // some read all, some close early
						if n, err := io.Copy(io.Discard, r); err != nil || int(n) != len(body) {
							t.Errorf("%d bytes read, %v", n, err)
						}
					}
					if err := r.Close(); err != nil {
						t.Error(err)
					}
					if _, err := d.Open(ctx, name+"none"); !errors.Is(err, storage.ErrNotExist) {
						t.Errorf("Open of what isn't there: %v", err)
					}
				}
			})
		}
		wg.Wait()
	}
	work(0, 20) // connections and sessions that are kept are made here
	files, goroutines := openFiles(t), runtime.NumGoroutine()
	work(20, 170)
	var nowFiles, nowGoroutines int
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		nowFiles, nowGoroutines = openFiles(t), runtime.NumGoroutine()
		if nowFiles <= files+pooled && nowGoroutines <= goroutines+pooled {
			return
		}
	}
	t.Errorf("150 files later there are %d goroutines instead of %d, and %d open files instead of %d", nowGoroutines, goroutines, nowFiles, files)
}

func openFiles(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}
