package wal

import (
	"context"
	"errors"
	"sync"
	"time"

	"pg_manage/executor/repo"
)

// probePause is between two looks at a target that is away, beside what each takes.
const probePause = 5 * time.Second

// outages remembers which targets cannot be reached. A network that drops packets lets
// every dial wait out its time, and pg_wal would grow meanwhile beyond a declared limit.
// A target is away from a dial that failed until a probe in the background reaches it.
type outages struct {
	probe func(ctx context.Context, t repo.Target) error
	pause time.Duration

	mu   sync.Mutex
	away map[string]error // by target: why
	ctx  context.Context
	stop context.CancelFunc
	all  sync.WaitGroup
}

func newOutages(probe func(ctx context.Context, t repo.Target) error) *outages {
	o := &outages{probe: probe, pause: probePause, away: map[string]error{}}
	o.ctx, o.stop = context.WithCancel(context.Background())
	return o
}

// of says why a target is known to be away; nil when it is not.
func (o *outages) of(target string) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.away[target]
}

// note remembers a dial that failed. Another failure says nothing of the next file.
func (o *outages) note(t repo.Target, why error) {
	var dial *dialError
	if !errors.As(why, &dial) {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.away[t.Name] == nil && o.ctx.Err() == nil {
		o.all.Go(func() { o.watch(t) })
	}
	o.away[t.Name] = why
}

// watch looks at a target until it can be reached.
func (o *outages) watch(t repo.Target) {
	for {
		select {
		case <-o.ctx.Done():
			return
		case <-time.After(o.pause):
		}
		err := o.probe(o.ctx, t)
		if o.ctx.Err() != nil {
			return
		}
		var dial *dialError
		if !errors.As(err, &dial) {
			o.mu.Lock()
			delete(o.away, t.Name)
			o.mu.Unlock()
			return
		}
	}
}

func (o *outages) close() {
	o.mu.Lock() // nobody adds to all from here on
	o.stop()
	o.mu.Unlock()
	o.all.Wait()
}

// dialError is a target to which no connection could be opened.
type dialError struct{ error }

func (e *dialError) Unwrap() error { return e.error }
