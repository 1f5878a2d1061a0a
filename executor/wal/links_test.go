package wal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pg_manage/executor/repo"
	"pg_manage/executor/repo/storage"
)

// counted is a connection that notes its end.
type counted struct {
	storage.Driver
	closed *atomic.Int32
	once   atomic.Int32
}

func (c *counted) Close() error {
	c.closed.Add(1)
	c.once.Add(1)
	return nil
}

// dialer makes connections, and counts them.
type dialer struct {
	dialed, closed atomic.Int32
	err            func(n int32) error
}

func (d *dialer) open(context.Context, repo.Target) (*site, error) {
	n := d.dialed.Add(1)
	if d.err != nil {
		if err := d.err(n); err != nil {
			return nil, err
		}
	}
	return &site{d: &counted{closed: &d.closed}}, nil
}

var cloud = repo.Target{Name: "cloud"}

// TestAKeptConnectionThatDiedIsReplacedOnce: its failure says nothing of the target;
// that of a new one does.
func TestAKeptConnectionThatDiedIsReplacedOnce(t *testing.T) {
	d := &dialer{}
	l := newLinks(true, d.open)
	dead := errors.New("broken pipe")
	use := func(fail int) (tries int, err error) {
		err = l.use(t.Context(), cloud, func(*site) error {
			if tries++; tries <= fail {
				return dead
			}
			return nil
		})
		return tries, err
	}
	for _, c := range []struct {
		what         string
		fail, tries  int
		works        bool
		dialed, left int32
	}{
		{"a new one fails", 1, 1, false, 1, 0},
		{"a new one works", 0, 1, true, 2, 1},
		{"it is kept", 0, 1, true, 2, 1},
		{"it died", 1, 2, true, 3, 1},
		{"it died, and the target is away", 9, 2, false, 4, 0},
		{"back again", 0, 1, true, 5, 1},
	} {
		tries, err := use(c.fail)
		if tries != c.tries || (err == nil) != c.works || d.dialed.Load() != c.dialed || d.dialed.Load()-d.closed.Load() != c.left {
			t.Errorf("%s: %d tries, %v, %d dialed, %d closed", c.what, tries, err, d.dialed.Load(), d.closed.Load())
		}
	}
	// What the target answers is no reason, and neither is the end of the caller.
	for _, err := range []error{storage.ErrNotExist, storage.ErrExists, ErrAbsent, refuse("no"), errNotInitialised} {
		n := 0
		if got := l.use(t.Context(), cloud, func(*site) error { n++; return fmt.Errorf("x: %w", err) }); !errors.Is(got, err) || n != 1 || d.dialed.Load() != 5 {
			t.Errorf("%v: %d tries, %v", err, n, got)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	n := 0
	if err := l.use(ctx, cloud, func(*site) error { n++; cancel(); return ctx.Err() }); !errors.Is(err, context.Canceled) || n != 1 {
		t.Errorf("%d tries, %v", n, err)
	}
	if err := l.close(); err != nil {
		t.Error(err)
	}
	if err := l.use(t.Context(), cloud, func(*site) error { return nil }); !errors.Is(err, errLinksClosed) {
		t.Errorf("after the end: %v", err)
	}
	if d.dialed.Load() != d.closed.Load() {
		t.Errorf("%d were dialed and %d closed", d.dialed.Load(), d.closed.Load())
	}
}

// TestOneDialsForAll: a target that is away costs everybody one time-out together, and
// the one who dials may go away.
func TestOneDialsForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		away := errors.New("no route to host")
		d := &dialer{err: func(n int32) error {
			time.Sleep(30 * time.Second)
			if n == 1 {
				return away
			}
			return nil
		}}
		l := newLinks(true, d.open)
		began := time.Now()
		var all sync.WaitGroup
		for range 50 {
			all.Go(func() {
				if err := l.use(t.Context(), cloud, func(*site) error { return nil }); !errors.Is(err, away) {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if took := time.Since(began); took != 30*time.Second || d.dialed.Load() != 1 {
			t.Errorf("%d dialed, in %s", d.dialed.Load(), took)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		first := make(chan error, 1)
		go func() { first <- l.use(ctx, cloud, func(*site) error { return nil }) }()
		synctest.Wait()
		if err := l.use(t.Context(), cloud, func(*site) error { return nil }); err != nil {
			t.Error(err)
		}
		if err := <-first; !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		if d.dialed.Load() != 2 {
			t.Errorf("%d dialed", d.dialed.Load())
		}
		// Closed while somebody dials.
		l = newLinks(true, d.open)
		go func() { first <- l.use(t.Context(), cloud, func(*site) error { return nil }) }()
		synctest.Wait()
		if err := l.close(); err != nil {
			t.Error(err)
		}
		if err := <-first; !errors.Is(err, errLinksClosed) {
			t.Error(err)
		}
		if d.dialed.Load() != 3 || d.closed.Load() != 1 { // of three one failed, and the first links' connection is kept
			t.Errorf("%d dialed, %d closed", d.dialed.Load(), d.closed.Load())
		}
	})
}

// TestManyShareConnectionsThatDie: nobody gets a closed one, and each is closed once.
func TestManyShareConnectionsThatDie(t *testing.T) {
	for _, keep := range []bool{true, false} {
		d := &dialer{err: func(int32) error {
			if rand.IntN(5) == 0 {
				return errors.New("no route to host")
			}
			return nil
		}}
		l := newLinks(keep, d.open)
		var all sync.WaitGroup
		for range 16 {
			all.Go(func() {
				for range 200 {
					l.use(t.Context(), cloud, func(s *site) error { //nolint:errcheck // half of them fail
						c, ok := s.d.(*counted)
						if !ok || c.once.Load() != 0 {
							t.Error("it is closed already")
						}
						if rand.IntN(2) == 0 {
							return io.ErrClosedPipe
						}
						if ok && c.once.Load() != 0 {
							t.Error("it was closed while it was used")
						}
						return nil
					})
				}
			})
		}
		all.Wait()
		if err := l.close(); err != nil {
			t.Error(err)
		}
		opened := d.dialed.Load()
		if closed := d.closed.Load(); closed > opened || closed == 0 {
			t.Errorf("%d were dialed and %d closed", opened, closed)
		}
	}
}
