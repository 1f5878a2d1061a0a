package archiver

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"pg_manage/executor/wal"
	"pg_manage/schema/postgres"
)

const segSize = postgres.MinSegmentSize

// source is an archive of sparse segments.
type source struct {
	t *testing.T

	mu      sync.Mutex
	has     map[string]bool
	started []string
	running int
	most    int
	block   func(ctx context.Context, name string) error
}

func newSource(t *testing.T, names ...string) *source {
	s := &source{t: t, has: map[string]bool{}}
	for _, n := range names {
		s.has[n] = true
	}
	return s
}

func (s *source) fetch(ctx context.Context, f postgres.WALFile, dest string) error {
	s.mu.Lock()
	s.started = append(s.started, f.Name)
	s.running++
	s.most = max(s.most, s.running)
	block, has := s.block, s.has[f.Name]
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.running--
		s.mu.Unlock()
	}()
	if block != nil {
		if err := block(ctx, f.Name); err != nil {
			return err
		}
	}
	if !has {
		return fmt.Errorf("%s: %w", f.Name, wal.ErrAbsent)
	}
	if err := os.WriteFile(dest, []byte(f.Name), 0o600); err != nil {
		return err
	}
	return os.Truncate(dest, segSize)
}

func (s *source) fetched() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.started)
}

func (s *source) on(block func(ctx context.Context, name string) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.block = block
}

func (s *source) fetcher(spool string, segments int64, workers int) *fetcher {
	s.t.Helper()
	f := newFetcher(s.fetch, filepath.Join(spool, "1"), segments*segSize, workers)
	if err := f.prepare(); err != nil {
		s.t.Fatal(err)
	}
	return f
}

// get restores a segment and checks that it is the one.
func (s *source) get(f *fetcher, dir, name string) error {
	s.t.Helper()
	file, err := postgres.ClassifyWALName(name)
	if err != nil {
		s.t.Fatal(err)
	}
	dest := filepath.Join(dir, "RECOVERYXLOG")
	if err := os.Remove(dest); err != nil && !os.IsNotExist(err) {
		s.t.Fatal(err)
	}
	if err := f.get(s.t.Context(), file, dest); err != nil {
		if _, serr := os.Stat(dest); !os.IsNotExist(serr) {
			s.t.Errorf("%s: %v left a file: %v", name, err, serr)
		}
		return err
	}
	b, err := os.ReadFile(dest)
	if err != nil || len(b) != segSize || string(b[:len(name)]) != name {
		s.t.Errorf("%s: got %q, %v", name, b[:min(len(b), 24)], err)
	}
	return nil
}

func (s *source) must(f *fetcher, dir, name string) {
	s.t.Helper()
	if err := s.get(f, dir, name); err != nil {
		s.t.Errorf("%s: %v", name, err)
	}
}

func TestPrefetchGoesInOrderWithinItsLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, dir, spool := newSource(t, segs(1, 20)...), t.TempDir(), t.TempDir()
		f := s.fetcher(spool, 4, 3)
		for n := 1; n <= 20; n++ {
			s.must(f, dir, seg(n))
			synctest.Wait()
			lies, err := os.ReadDir(f.spool)
			if err != nil || len(lies) != min(4, 20-n) {
				t.Errorf("after %d, %d files lie in the spool, %v", n, len(lies), err)
			}
		}
		all := s.fetched()
		for n := 1; n <= 20; n++ {
			if all[n-1] != seg(n) && s.most == 1 || !slices.Contains(all, seg(n)) {
				t.Errorf("fetched %v", all)
			}
		}
		if s.most > 3 {
			t.Errorf("%d were fetched at once", s.most)
		}
		counts := map[string]int{}
		for _, n := range all {
			if counts[n]++; counts[n] > 1 && s.has[n] {
				t.Errorf("%s was fetched twice", n)
			}
		}
		f.close()
		if _, err := os.Stat(f.spool); !os.IsNotExist(err) {
			t.Errorf("the spool after the end: %v", err)
		}
	})
}

func TestPrefetchBeginsWithOneWorker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, dir := newSource(t, segs(1, 9)...), t.TempDir()
		f := s.fetcher(t.TempDir(), 8, 8)
		gate := make(chan struct{})
		s.on(func(_ context.Context, name string) error {
			if name != seg(1) {
				<-gate
			}
			return nil
		})
		s.must(f, dir, seg(1))
		for want := range 3 { // each success adds one
			synctest.Wait()
			if s.running != want+1 {
				t.Errorf("%d are fetched at once after %d", s.running, want)
			}
			gate <- struct{}{}
		}
		close(gate)
		synctest.Wait()
		f.close()
	})
}

func TestTheEndOfTheArchiveIsLookedAtOnceACall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, dir := newSource(t, seg(1)), t.TempDir()
		f := s.fetcher(t.TempDir(), 8, 8)
		s.must(f, dir, seg(1))
		synctest.Wait()
		if got := s.fetched(); !slices.Equal(got, segs(1, 2)) {
			t.Errorf("fetched %v", got)
		}
		// Not remembered: it is there the moment after.
		if err := s.get(f, dir, seg(2)); !errors.Is(err, wal.ErrAbsent) {
			t.Error(err)
		}
		s.mu.Lock()
		s.has[seg(2)] = true
		s.mu.Unlock()
		s.must(f, dir, seg(2))
		// Neither is an outage.
		outage := errors.New("no route to host")
		s.on(func(context.Context, string) error { return outage })
		synctest.Wait()
		if err := s.get(f, dir, seg(3)); !errors.Is(err, outage) || errors.Is(err, wal.ErrAbsent) {
			t.Error(err)
		}
		s.on(nil)
		s.mu.Lock()
		s.has[seg(3)] = true
		s.mu.Unlock()
		s.must(f, dir, seg(3))
		synctest.Wait()
		f.close()
	})
}

// TestAnOutageWhileItWasFetchedAheadIsNotTheAnswer: the target is asked again.
func TestAnOutageWhileItWasFetchedAheadIsNotTheAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, dir := newSource(t, segs(1, 3)...), t.TempDir()
		f := s.fetcher(t.TempDir(), 8, 1)
		fail := make(chan error)
		s.on(func(_ context.Context, name string) error {
			if name == seg(2) {
				return <-fail
			}
			return nil
		})
		s.must(f, dir, seg(1))
		synctest.Wait()
		got := make(chan error, 1)
		go func() { got <- s.get(f, dir, seg(2)) }() // while it is on its way
		synctest.Wait()
		fail <- wal.ErrAbsent
		synctest.Wait()
		close(fail)
		if err := <-got; err != nil {
			t.Error(err)
		}
		synctest.Wait()
		f.close()
	})
}

func TestAFileThatIsOnItsWayIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, dir := newSource(t, segs(1, 3)...), t.TempDir()
		f := s.fetcher(t.TempDir(), 8, 1)
		gate := make(chan struct{})
		s.on(func(ctx context.Context, name string) error {
			if name == seg(1) {
				return nil
			}
			select {
			case <-gate:
			case <-ctx.Done():
			}
			return ctx.Err()
		})
		s.must(f, dir, seg(1))
		synctest.Wait()
		got := make(chan error, 1)
		go func() { got <- s.get(f, dir, seg(2)) }()
		synctest.Wait()
		close(gate)
		if err := <-got; err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if n := s.fetched(); !slices.Equal(n[:3], segs(1, 3)) {
			t.Errorf("fetched %v", n)
		}
		f.close()
	})
}

func TestGoingBackOrToAnotherTimelineDropsTheSpool(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		other := "00000002" + seg(12)[8:]
		after := "00000002" + seg(13)[8:]
		s, dir := newSource(t, append(segs(1, 14), other, after)...), t.TempDir()
		f := s.fetcher(t.TempDir(), 3, 2)
		lie := func() (names []string) {
			synctest.Wait()
			all, err := os.ReadDir(f.spool)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range all {
				names = append(names, e.Name())
			}
			return names
		}
		s.must(f, dir, seg(10))
		if got := lie(); !slices.Equal(got, segs(11, 13)) {
			t.Errorf("in the spool: %v", got)
		}
		s.must(f, dir, seg(1))
		if got := lie(); !slices.Equal(got, segs(2, 4)) {
			t.Errorf("after going back: %v", got)
		}
		s.must(f, dir, other)
		if got := lie(); !slices.Equal(got, []string{after}) {
			t.Errorf("on another timeline: %v", got)
		}
		f.close()
	})
}

func TestHistoryFilesComeFromTheTarget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, dir := newSource(t, "00000002.history"), t.TempDir()
		f := s.fetcher(t.TempDir(), 8, 1)
		for range 2 {
			s.must(f, dir, "00000002.history")
		}
		if got := s.fetched(); len(got) != 2 {
			t.Errorf("fetched %v", got)
		}
		f.close()
	})
}
