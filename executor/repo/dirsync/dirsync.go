// Package dirsync lets writers that store files in one directory at the same time share
// the fsync of that directory.
package dirsync

import (
	"context"
	"sync"
)

// Group shares syncs. Its zero value is ready.
type Group struct {
	mu   sync.Mutex
	dirs map[string]*queue // those that are being synced now
}

type queue struct {
	next *run // has not begun yet; nil when nobody waits
}

type run struct {
	done chan struct{}
	err  error
}

// Sync runs f for a directory, and returns its error. Of one directory only one sync
// runs at a time; callers that come while it does wait for the next one, which serves
// them all: it begins after they came, and so it covers what they did before. When ctx
// ends Sync returns its cause; f goes on, as others may wait for it.
func (g *Group) Sync(ctx context.Context, dir string, f func(dir string) error) error {
	g.mu.Lock()
	q := g.dirs[dir]
	begin := q == nil
	if begin {
		if g.dirs == nil {
			g.dirs = make(map[string]*queue)
		}
		q = &queue{}
		g.dirs[dir] = q
	}
	if q.next == nil {
		q.next = &run{done: make(chan struct{})}
	}
	r := q.next
	g.mu.Unlock()
	if begin {
		go g.work(dir, q, f)
	}
	select {
	case <-r.done:
		return r.err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (g *Group) work(dir string, q *queue, f func(dir string) error) {
	for {
		g.mu.Lock()
		r := q.next
		if r == nil {
			delete(g.dirs, dir)
			g.mu.Unlock()
			return
		}
		q.next = nil
		g.mu.Unlock()
		r.err = f(dir)
		close(r.done)
	}
}
