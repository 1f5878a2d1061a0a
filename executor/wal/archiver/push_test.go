package archiver

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pg_manage/schema/postgres"
)

// walDir is a pg_wal whose files are all ready to be archived.
type walDir struct {
	t   *testing.T
	dir string

	mu      sync.Mutex
	started []string // names in the order in which they were stored
	running int
	most    int                                          // at once
	block   func(ctx context.Context, name string) error // unless nil, is what storing does
	told    map[string]error
}

func newWALDir(t *testing.T, names ...string) *walDir {
	t.Helper()
	w := &walDir{t: t, dir: t.TempDir(), told: map[string]error{}}
	for _, n := range names {
		w.write(n, n)
	}
	return w
}

func (w *walDir) write(name, content string) {
	w.t.Helper()
	if err := os.WriteFile(w.path(name), []byte(content), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

func (w *walDir) path(name string) string { return filepath.Join(w.dir, name) }

// pusher is one that stores the files of the directory.
func (w *walDir) pusher(workers int) *pusher {
	store := func(ctx context.Context, path string) error {
		name := filepath.Base(path)
		w.mu.Lock()
		w.started = append(w.started, name)
		w.running++
		w.most = max(w.most, w.running)
		block := w.block
		w.mu.Unlock()
		defer func() {
			w.mu.Lock()
			w.running--
			w.mu.Unlock()
		}()
		if block != nil {
			return block(ctx, name)
		}
		return nil
	}
	ready := func() ([]postgres.WALFile, error) { return w.list(), nil }
	return newPusher(store, ready, w.dir, workers, func(name string, _ int64, err error) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.told[name] = err
	})
}

// list gives what is ready, in PostgreSQL's order, which Config.Ready is tested for.
func (w *walDir) list() (all []postgres.WALFile) {
	entries, err := os.ReadDir(w.dir)
	if err != nil {
		w.t.Error(err)
	}
	for _, e := range entries {
		if f, err := postgres.ClassifyWALName(e.Name()); err == nil {
			all = append(all, f)
		}
	}
	slices.SortStableFunc(all, func(a, b postgres.WALFile) int {
		if (a.Kind == postgres.WALHistory) != (b.Kind == postgres.WALHistory) {
			if a.Kind == postgres.WALHistory {
				return -1
			}
			return 1
		}
		return strings.Compare(a.Name, b.Name)
	})
	return all
}

func (w *walDir) stored() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.started)
}

func (w *walDir) on(block func(ctx context.Context, name string) error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.block = block
}

func seg(n int) string {
	name, err := postgres.SegmentName(1, postgres.LSN(n)<<20, 1<<20)
	if err != nil {
		panic(err)
	}
	return name
}

func segs(from, to int) (all []string) {
	for n := from; n <= to; n++ {
		all = append(all, seg(n))
	}
	return all
}

func (w *walDir) push(p *pusher, name string) {
	w.t.Helper()
	if err := p.push(w.t.Context(), w.path(name)); err != nil {
		w.t.Errorf("%s: %v", name, err)
	}
}

func TestAheadGoesInPostgreSQLsOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		names := append(segs(1, 6), "00000002.history", "00000003.history")
		w := newWALDir(t, names...)
		p := w.pusher(1)
		w.push(p, seg(1))
		synctest.Wait()
		want := slices.Concat([]string{seg(1), "00000002.history", "00000003.history"}, segs(2, 6))
		if got := w.stored(); !slices.Equal(got, want) {
			t.Errorf("stored in the order %v", got)
		}
		for _, n := range names { // all are known now
			w.push(p, n)
		}
		if got := w.stored(); len(got) != len(names) {
			t.Errorf("stored again: %v", got[len(names):])
		}
		p.drain(t.Context())
	})
}

func TestWhatIsAskedForGoesInFrontAndNoMoreRunThanMay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWALDir(t, segs(1, 20)...)
		p := w.pusher(3)
		w.push(p, seg(1))
		synctest.Wait()
		if w.most > 3 {
			t.Errorf("%d ran at once", w.most)
		}
		w = newWALDir(t, segs(1, 20)...)
		gate := make(chan struct{})
		w.on(func(_ context.Context, name string) error {
			if name != seg(1) {
				<-gate
			}
			return nil
		})
		p = w.pusher(3)
		w.push(p, seg(1))
		synctest.Wait() // 2, 3 and 4 run, the rest waits
		done := make(chan error, 1)
		go func() { done <- p.push(t.Context(), w.path(seg(20))) }()
		synctest.Wait()
		gate <- struct{}{}
		synctest.Wait()
		if got := w.stored(); len(got) != 5 || got[4] != seg(20) || w.running != 3 {
			t.Errorf("%d run; the order is %v", w.running, got)
		}
		close(gate)
		if err := <-done; err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if w.most > 3 {
			t.Errorf("%d ran at once", w.most)
		}
		p.drain(t.Context())
	})
}

func TestTheMemoryIsOfTheVeryFileAndOfTheLastMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWALDir(t, seg(1))
		p := w.pusher(2)
		times := func(want int, when string) {
			t.Helper()
			w.push(p, seg(1))
			if got := len(w.stored()); got != want {
				t.Errorf("%s: stored %d times, not %d", when, got, want)
			}
		}
		times(1, "first")
		times(1, "again")
		time.Sleep(remembered - time.Second)
		times(1, "within a minute")
		time.Sleep(2 * time.Second)
		times(2, "after it")
		old, err := os.Stat(w.path(seg(1)))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(w.path(seg(1)), old.ModTime(), old.ModTime().Add(time.Second)); err != nil {
			t.Fatal(err)
		}
		times(3, "other time of change")
		if err := os.Chtimes(w.path(seg(1)), old.ModTime(), old.ModTime()); err != nil {
			t.Fatal(err)
		}
		times(4, "the old time of change, put back by hand")
		w.write("new", "X"+seg(1)[1:])
		if err := os.Chtimes(w.path("new"), old.ModTime(), old.ModTime()); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(w.path("new"), w.path(seg(1))); err != nil {
			t.Fatal(err)
		}
		times(5, "another file of the same size and time")
		if err := os.Remove(w.path(seg(1))); err != nil {
			t.Fatal(err)
		}
		if err := p.push(t.Context(), w.path(seg(1))); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("a file that is not there: %v", err)
		}
		p.drain(t.Context())
	})
}

// TestAFileThatChangesWhileItIsStoredIsStoredAgain: what was read may be neither.
func TestAFileThatChangesWhileItIsStoredIsStoredAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWALDir(t, seg(1))
		p := w.pusher(1)
		n := 0
		w.on(func(context.Context, string) error {
			if n++; n == 1 {
				w.write(seg(1), "other")
			}
			return nil
		})
		err := p.push(t.Context(), w.path(seg(1)))
		if err == nil && n < 2 || err != nil && !strings.Contains(err.Error(), "changed while") {
			t.Errorf("stored %d times, %v", n, err)
		}
		w.push(p, seg(1))
		if n != 2 {
			t.Errorf("stored %d times", n)
		}
		w.on(func(_ context.Context, name string) error { return os.Remove(w.path(name)) })
		w.write(seg(1), "a third")
		if err := p.push(t.Context(), w.path(seg(1))); err == nil {
			t.Error("a file that went away meanwhile is stored")
		}
		p.drain(t.Context())
	})
}

// TestACallThatComesWhileAnEarlierStateIsStoredWaitsForItsOwn.
func TestACallThatComesWhileAnEarlierStateIsStoredWaitsForItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWALDir(t, seg(1))
		p := w.pusher(4)
		gate := make(chan struct{})
		var read []string
		w.on(func(_ context.Context, name string) error {
			b, err := os.ReadFile(w.path(name))
			read = append(read, string(b))
			<-gate
			return err
		})
		first, second := make(chan error, 1), make(chan error, 1)
		go func() { first <- p.push(t.Context(), w.path(seg(1))) }()
		synctest.Wait()
		w.write(seg(1), "the new one")
		go func() { second <- p.push(t.Context(), w.path(seg(1))) }()
		synctest.Wait()
		gate <- struct{}{}
		synctest.Wait()
		select {
		case err := <-second:
			t.Errorf("answered early: %v", err)
		default:
		}
		close(gate)
		if err := <-second; err != nil || read[len(read)-1] != "the new one" {
			t.Errorf("%v, read %q", err, read)
		}
		<-first
		p.drain(t.Context())
	})
}
