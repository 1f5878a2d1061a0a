package archiver

import (
	"context"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// Pauses between tries to empty a queue, and between looks at an empty one: a call that
// is done alone puts files there too.
const (
	drainPause    = time.Second
	drainPauseMax = time.Minute
	drainLook     = 5 * time.Second
)

// drainQueue keeps the queue of one target empty, as far as the target takes what is
// in it, until ctx ends. drain empties it once; more says that something was added.
func drainQueue(ctx context.Context, drain func(context.Context) error, more <-chan struct{}, told func(error)) {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval, b.MaxInterval = drainPause, drainPauseMax
	for ctx.Err() == nil {
		err := drain(ctx)
		if ctx.Err() != nil {
			return
		}
		told(err)
		if err == nil {
			b.Reset()
			select {
			case <-ctx.Done():
			case <-more:
			case <-time.After(drainLook):
			}
			continue
		}
		select {
		case <-ctx.Done():
		case <-time.After(b.NextBackOff()):
		}
	}
}
