package wal

import (
	"context"
	"errors"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"pg_manage/executor/repo"
)

// dialTime bounds the way to a target: jump hosts, logins and the start of SFTP.
const dialTime = time.Minute

// links are the connections to the targets of an instance. Several goroutines share
// one; after an error that leaves open what state it is in, nobody new gets it.
type links struct {
	keep bool // open until close, not just while used
	open func(ctx context.Context, t repo.Target) (*site, error)

	dialing singleflight.Group
	mu      sync.Mutex
	current map[string]*link
	closed  bool
}

type link struct {
	site    *site
	users   int
	used    bool // it has served somebody
	retired bool
}

func newLinks(keep bool, open func(context.Context, repo.Target) (*site, error)) *links {
	return &links{keep: keep, open: open, current: map[string]*link{}}
}

var errLinksClosed = errors.New("the archiver ends")

// use runs f with a connection to a target. A connection that was kept may have died
// since it was used last, so its failure is no news of the target: f gets another try.
func (l *links) use(ctx context.Context, t repo.Target, f func(s *site) error) error {
	kept, err := l.try(ctx, t, f)
	if kept && !clear(err) && ctx.Err() == nil {
		_, err = l.try(ctx, t, f)
	}
	return err
}

// try runs f once. kept says that the connection served others before.
func (l *links) try(ctx context.Context, t repo.Target, f func(s *site) error) (kept bool, err error) {
	k, kept, err := l.acquire(ctx, t)
	if err != nil {
		return false, err
	}
	err = f(k.site)
	l.mu.Lock()
	k.users--
	k.used = k.used || clear(err)
	if !clear(err) || !l.keep {
		l.retire(t.Name, k)
	}
	last := k.users == 0 && k.retired
	l.mu.Unlock()
	if last {
		k.site.close()
	}
	return kept, err
}

// retire takes a connection out of use; its last user closes it.
func (l *links) retire(name string, k *link) {
	k.retired = true
	if l.current[name] == k {
		delete(l.current, name)
	}
}

func (l *links) acquire(ctx context.Context, t repo.Target) (k *link, kept bool, err error) {
	for {
		l.mu.Lock()
		if l.closed {
			l.mu.Unlock()
			return nil, false, errLinksClosed
		}
		if k := l.current[t.Name]; k != nil {
			k.users++
			kept := k.used
			l.mu.Unlock()
			return k, kept, nil
		}
		l.mu.Unlock()
		// One dials for all that wait: a target that is away costs everybody one time-out, not each his own.
		dialed := l.dialing.DoChan(t.Name, func() (any, error) { return nil, l.dial(ctx, t) })
		select {
		case <-ctx.Done():
			return nil, false, context.Cause(ctx)
		case res := <-dialed:
			if res.Err != nil {
				return nil, false, &dialError{res.Err}
			}
		}
	}
}

func (l *links) dial(ctx context.Context, t repo.Target) error {
	// Others wait too, so the end of the one who happens to dial is not the end of it.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), dialTime)
	defer cancel()
	s, err := l.open(ctx, t)
	if err != nil {
		return err
	}
	l.mu.Lock()
	if !l.closed && l.current[t.Name] == nil {
		l.current[t.Name] = &link{site: s}
		s = nil
	}
	l.mu.Unlock()
	if s != nil {
		s.close()
	}
	return nil
}

// close ends the connections that nobody uses; those in use end with their last user.
func (l *links) close() error {
	l.mu.Lock()
	l.closed = true
	var idle []*site
	for name, k := range l.current {
		if l.retire(name, k); k.users == 0 {
			idle = append(idle, k.site)
		}
	}
	l.mu.Unlock()
	for _, s := range idle {
		s.close()
	}
	return nil
}
