package dirsync

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestNoSyncServesWhatCameAfterItsStart: each writer publishes, then syncs; a sync covers
// what was published when it began.
func TestNoSyncServesWhatCameAfterItsStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g Group
		var mu sync.Mutex
		published, durable := map[int]bool{}, map[int]bool{}
		var syncs, running atomic.Int64
		f := func(string) error {
			if running.Add(1) != 1 {
				t.Error("two syncs of one directory at once")
			}
			defer running.Add(-1)
			syncs.Add(1)
			mu.Lock()
			var seen []int
			for i := range published {
				seen = append(seen, i)
			}
			mu.Unlock()
			time.Sleep(10 * time.Millisecond)
			mu.Lock()
			defer mu.Unlock()
			for _, i := range seen {
				durable[i] = true
			}
			return nil
		}
		var wg sync.WaitGroup
		for i := range 200 {
			wg.Go(func() {
				time.Sleep(time.Duration(i) * time.Millisecond)
				mu.Lock()
				published[i] = true
				mu.Unlock()
				if err := g.Sync(t.Context(), "d", f); err != nil {
					t.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				if !durable[i] {
					t.Errorf("writer %d was told too early", i)
				}
			})
		}
		wg.Wait()
		synctest.Wait()
		if n := syncs.Load(); n > 30 {
			t.Errorf("%d syncs for 200 writers within 210 ms, of 10 ms each", n)
		}
		if len(g.dirs) != 0 {
			t.Error("the group keeps a directory")
		}
	})
}

func TestErrorsReachAllThatShareASync(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g Group
		broken := errors.New("broken")
		release := make(chan error)
		f := func(string) error { return <-release }
		var wg sync.WaitGroup
		first := make(chan error, 1)
		go func() { first <- g.Sync(t.Context(), "d", f) }()
		synctest.Wait()
		for range 5 {
			wg.Go(func() {
				if err := g.Sync(t.Context(), "d", f); !errors.Is(err, broken) {
					t.Errorf("got %v", err)
				}
			})
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		wg.Go(func() {
			if err := g.Sync(ctx, "d", f); !errors.Is(err, context.Canceled) {
				t.Errorf("got %v", err)
			}
		})
		synctest.Wait()
		cancel(context.Canceled)
		synctest.Wait()
		release <- nil
		release <- broken
		wg.Wait()
		if err := <-first; err != nil {
			t.Errorf("the first sync: %v", err)
		}
	})
}
