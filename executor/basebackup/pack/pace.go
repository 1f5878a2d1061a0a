package pack

import (
	"context"
	"sync"
	"time"
)

// pace holds the reading to a rate.
type pace struct {
	rate int64 // bytes a second; 0 is no limit
	mu   sync.Mutex
	free time.Time // when all that was read so far is paid for
}

func (p *pace) wait(ctx context.Context, bytes int) error {
	if p.rate <= 0 {
		return context.Cause(ctx)
	}
	p.mu.Lock()
	now := time.Now()
	if p.free.Before(now) {
		p.free = now
	}
	d := p.free.Sub(now)
	p.free = p.free.Add(time.Duration(float64(bytes) / float64(p.rate) * float64(time.Second)))
	p.mu.Unlock()
	return pause(ctx, d)
}

// pause waits, or less when ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return context.Cause(ctx)
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
