package remote

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// Pool keeps one connection per distinct Options. Jump hosts are shared as well. The
// hosts it gives out belong to it: Close of the Pool ends them.
type Pool struct {
	dial   func(context.Context, Options) (Host, error)
	ctx    context.Context
	cancel context.CancelFunc
	dials  sync.WaitGroup

	mu    sync.Mutex
	hosts map[string]*pooled
}

type pooled struct {
	ready chan struct{} // closed when host and err are set
	host  Host
	err   error
}

// PoolOption changes how a Pool works.
type PoolOption func(*Pool)

// WithDial makes the Pool connect by another function than Dial, such as one that
// hands out scripted hosts.
func WithDial(dial func(context.Context, Options) (Host, error)) PoolOption {
	return func(p *Pool) { p.dial = dial }
}

// NewPool makes an empty Pool.
func NewPool(opts ...PoolOption) *Pool {
	p := &Pool{hosts: map[string]*pooled{}}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	p.dial = func(ctx context.Context, o Options) (Host, error) {
		return dialHost(ctx, o, func(ctx context.Context, hop Options) (Host, bool, error) {
			h, err := p.Get(ctx, hop)
			return h, false, err
		})
	}
	for _, o := range opts {
		o(p)
	}
	return p
}

// Get gives the connection for these options, made anew when there is none or the one
// there was is gone. Calls at the same time share one attempt, which goes on when the
// ctx of one of them ends. A failed attempt is not kept.
func (p *Pool) Get(ctx context.Context, o Options) (Host, error) {
	key := fmt.Sprintf("%#v", o)
	p.mu.Lock()
	if p.ctx.Err() != nil {
		p.mu.Unlock()
		return nil, errors.New("the connection pool is closed")
	}
	e := p.hosts[key]
	if e != nil && e.dead() {
		p.drop(key, e)
		if e.err == nil {
			gone := e.host
			p.dials.Add(1)
			go func() {
				defer p.dials.Done()
				gone.Close() // frees what is left of it; that it is broken is known
			}()
		}
		e = nil
	}
	if e == nil {
		e = &pooled{ready: make(chan struct{})}
		p.hosts[key] = e
		p.dials.Add(1)
		go func() {
			defer p.dials.Done()
			e.host, e.err = p.dial(p.ctx, o)
			close(e.ready)
			if e.err != nil {
				p.mu.Lock()
				p.drop(key, e)
				p.mu.Unlock()
			}
		}()
	}
	p.mu.Unlock()
	select {
	case <-e.ready:
		return e.host, e.err
	case <-ctx.Done():
		name := o.Name
		if name == "" {
			name = o.Host
		}
		return nil, &ConnectError{Host: name, Err: fmt.Errorf("interrupted while connecting: %w", context.Cause(ctx))}
	}
}

func (p *Pool) drop(key string, e *pooled) {
	if p.hosts[key] == e {
		delete(p.hosts, key)
	}
}

// dead tells whether the attempt has ended and left nothing that can be used.
func (e *pooled) dead() bool {
	select {
	case <-e.ready:
	default:
		return false
	}
	a, ok := e.host.(interface{ alive() bool })
	return e.err != nil || ok && !a.alive()
}

// Close ends all connections and waits for attempts under way.
func (p *Pool) Close() error {
	p.mu.Lock()
	p.cancel() // under the lock, so that no attempt begins after it
	p.mu.Unlock()
	p.dials.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	var errs []error
	for key, e := range p.hosts {
		<-e.ready
		if e.err == nil {
			errs = append(errs, e.host.Close())
		}
		delete(p.hosts, key)
	}
	return errors.Join(errs...)
}
