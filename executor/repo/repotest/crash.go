package repotest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"pg_manage/executor/repo/storage"
)

// ErrCrashed is what a Crasher gives once it has crashed.
var ErrCrashed = fmt.Errorf("crashed: %w", storage.ErrLost)

// Crasher stands before a driver and ends its user's life, as far as the target can see, at
// one of the operations that change something: with it, and with all later ones of any
// kind, it fails.
type Crasher struct {
	storage.Driver
	At   int  // which operation, from 1 on; 0: none
	Done bool // the operation itself is still done
	Once bool // later operations are done again: it was but an answer that got lost

	mu    sync.Mutex
	count int
	dead  bool
}

// Crashed says whether it came to the operation.
func (c *Crasher) Crashed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.dead
}

func (c *Crasher) change(f func() error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.dead {
		return ErrCrashed
	}
	c.count++
	c.dead = c.count == c.At
	if c.dead && !c.Done {
		return ErrCrashed
	}
	err := f()
	if c.dead {
		c.dead = !c.Once
		return errors.Join(ErrCrashed, opaque(err))
	}
	return err
}

// opaque is an error that says nothing about a name.
func opaque(err error) error {
	if err == nil {
		return nil
	}
	return errors.New(err.Error())
}

func (c *Crasher) look() error {
	if c.Crashed() {
		return ErrCrashed
	}
	return nil
}

// Put is part of storage.Driver.
func (c *Crasher) Put(ctx context.Context, name string, r io.Reader) error {
	return c.change(func() error { return c.Driver.Put(ctx, name, r) })
}

// Remove is part of storage.Driver.
func (c *Crasher) Remove(ctx context.Context, name string) error {
	return c.change(func() error { return c.Driver.Remove(ctx, name) })
}

// Sync is part of storage.Driver.
func (c *Crasher) Sync(ctx context.Context, name string) error {
	return c.change(func() error { return c.Driver.Sync(ctx, name) })
}

// Sweep is part of storage.Driver.
func (c *Crasher) Sweep(ctx context.Context, dir string, age time.Duration) error {
	return c.change(func() error { return c.Driver.Sweep(ctx, dir, age) })
}

// Open is part of storage.Driver.
func (c *Crasher) Open(ctx context.Context, name string) (io.ReadCloser, error) {
	if err := c.look(); err != nil {
		return nil, err
	}
	return c.Driver.Open(ctx, name)
}

// OpenRange is part of storage.Driver.
func (c *Crasher) OpenRange(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	if err := c.look(); err != nil {
		return nil, err
	}
	return c.Driver.OpenRange(ctx, name, offset, length)
}

// Stat is part of storage.Driver.
func (c *Crasher) Stat(ctx context.Context, name string) (storage.Info, error) {
	if err := c.look(); err != nil {
		return storage.Info{}, err
	}
	return c.Driver.Stat(ctx, name)
}

// List is part of storage.Driver.
func (c *Crasher) List(ctx context.Context, dir string) ([]storage.Info, error) {
	if err := c.look(); err != nil {
		return nil, err
	}
	return c.Driver.List(ctx, dir)
}
