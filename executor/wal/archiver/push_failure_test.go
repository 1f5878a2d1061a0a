package archiver

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestAFailureStopsWorkingAheadUntilSomethingSucceeds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWALDir(t, segs(1, 30)...)
		outage := errors.New("no route to host")
		p := w.pusher(2)
		gate := make(chan struct{})
		w.on(func(_ context.Context, name string) error {
			if name == seg(1) {
				return nil
			}
			<-gate
			return outage
		})
		w.push(p, seg(1))
		synctest.Wait()
		close(gate)
		synctest.Wait()
		if got := w.stored(); len(got) > 3 {
			t.Errorf("the outage was met %d times", len(got)-1)
		}
		for range 3 { // a call tries by itself, and nothing more
			before := len(w.stored())
			if err := p.push(t.Context(), w.path(seg(2))); !errors.Is(err, outage) {
				t.Error(err)
			}
			synctest.Wait()
			if got := len(w.stored()) - before; got != 1 {
				t.Errorf("%d tries", got)
			}
		}
		w.on(nil)
		w.push(p, seg(2))
		time.Sleep(remembered) // those that failed are tried ahead no earlier
		w.push(p, seg(3))
		synctest.Wait()
		all := w.stored()
		for _, n := range segs(1, 30) {
			if !slices.Contains(all, n) {
				t.Errorf("%s was not stored", n)
			}
		}
		p.drain(t.Context())
	})
}

func TestAPanicIsAFailureOfOneFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWALDir(t, seg(1))
		p := w.pusher(1)
		w.on(func(context.Context, string) error { panic("boom") })
		if err := p.push(t.Context(), w.path(seg(1))); err == nil || !strings.Contains(err.Error(), "boom") {
			t.Error(err)
		}
		w.on(nil)
		w.push(p, seg(1))
		p.drain(t.Context())
	})
}

// TestACallerThatGoesAwayLeavesTheJob: the next call finds it.
func TestACallerThatGoesAwayLeavesTheJob(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWALDir(t, seg(1))
		p := w.pusher(1)
		gate := make(chan struct{})
		w.on(func(ctx context.Context, _ string) error { <-gate; return ctx.Err() })
		ctx, cancel := context.WithCancelCause(t.Context())
		gone := errors.New("the caller went away")
		done := make(chan error, 1)
		go func() { done <- p.push(ctx, w.path(seg(1))) }()
		synctest.Wait()
		cancel(gone)
		if err := <-done; !errors.Is(err, gone) {
			t.Error(err)
		}
		if !p.busy() {
			t.Error("the job went too")
		}
		go func() { done <- p.push(t.Context(), w.path(seg(1))) }()
		synctest.Wait()
		close(gate)
		if err := <-done; err != nil || len(w.stored()) != 1 {
			t.Errorf("%v, stored %d times", err, len(w.stored()))
		}
		p.drain(t.Context())
	})
}

func TestDrainFinishesWhatWasAskedForAndNoMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWALDir(t, segs(1, 10)...)
		p := w.pusher(1)
		gate := make(chan struct{})
		w.on(func(_ context.Context, name string) error {
			if name != seg(1) {
				<-gate
			}
			return nil
		})
		w.push(p, seg(1))
		synctest.Wait() // 2 runs ahead
		asked := make(chan error, 1)
		go func() { asked <- p.push(t.Context(), w.path(seg(9))) }()
		synctest.Wait()
		drained := make(chan struct{})
		go func() { p.drain(t.Context()); close(drained) }()
		synctest.Wait()
		if err := p.push(t.Context(), w.path(seg(5))); !errors.Is(err, errEnds) {
			t.Errorf("a new call: %v", err)
		}
		close(gate)
		if err := <-asked; err != nil {
			t.Error(err)
		}
		<-drained
		if got := w.stored(); !slices.Equal(got, []string{seg(1), seg(2), seg(9)}) {
			t.Errorf("stored %v", got)
		}
		// One that never ends is not waited for longer than that.
		w = newWALDir(t, seg(1))
		p = w.pusher(1)
		w.on(func(ctx context.Context, _ string) error { <-ctx.Done(); return ctx.Err() })
		go func() { asked <- p.push(t.Context(), w.path(seg(1))) }()
		synctest.Wait()
		ctx, stop := context.WithTimeout(t.Context(), time.Second)
		defer stop()
		p.drain(ctx)
		if err := <-asked; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

// TestThousandsOfFilesLeaveNothingBehind: neither entries nor goroutines, which
// synctest would find at its end.
func TestThousandsOfFilesLeaveNothingBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWALDir(t)
		p := w.pusher(4)
		most := 0
		for n := range 3_000 { // far more than are remembered
			name := seg(n + 1)
			w.write(name, "x")
			w.push(p, name)
			if err := os.Remove(w.path(name)); err != nil {
				t.Fatal(err)
			}
			time.Sleep(50 * time.Millisecond)
			p.mu.Lock()
			most = max(most, len(p.jobs))
			p.mu.Unlock()
		}
		if limit := int(remembered/(50*time.Millisecond)) + aheadFiles; most > limit {
			t.Errorf("%d jobs are remembered, more than the %d of a minute", most, limit)
		}
		p.drain(t.Context())
		if p.busy() || p.free != 4 || len(p.queue) != 0 {
			t.Errorf("%d workers are free, %d jobs wait", p.free, len(p.queue))
		}
	})
}

// TestManyCallersAtOnce is for the race detector.
func TestManyCallersAtOnce(t *testing.T) {
	w := newWALDir(t, segs(1, 40)...)
	p := w.pusher(4)
	var n sync.Map
	w.on(func(_ context.Context, name string) error {
		if v, _ := n.LoadOrStore(name, new(int)); name[23]%7 == 0 {
			if c := v.(*int); *c == 0 {
				*c = 1
				return fmt.Errorf("%s fails once", name)
			}
		}
		return nil
	})
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			for _, name := range segs(1, 40) {
				for p.push(t.Context(), w.path(name)) != nil { //nolint:revive // until it is stored
				}
			}
		})
	}
	all.Wait()
	p.drain(t.Context())
	if w.most > 4 {
		t.Errorf("%d ran at once", w.most)
	}
}

// TestWhatIsStoredHasTheTimeThatItsSizeTakes: several segments of 1 GB share a line.
func TestWhatIsStoredHasTheTimeThatItsSizeTakes(t *testing.T) {
	const size, rate, workers = 1 << 30, 10 << 20, 8 // rate is the line's, in bytes a second
	w := newWALDir(t, seg(1))
	if err := os.Truncate(w.path(seg(1)), size); err != nil { // of which none is on the disk
		t.Fatal(err)
	}
	w.on(func(ctx context.Context, _ string) error {
		end, ok := ctx.Deadline()
		if need := size / (rate / workers) * time.Second; !ok || time.Until(end) < need {
			t.Errorf("storing a file that takes %s ends at %s, %t", need, end, ok)
		}
		return nil
	})
	w.push(w.pusher(workers), seg(1))
}
