package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

// interrupts gives a context that ends at the first SIGINT, SIGTERM or SIGHUP,
// and a channel that is closed at the second. With it ends a.abort, so that what
// runs is left.
func (a *app) interrupts() (ctx context.Context, leave <-chan struct{}, stop func()) {
	ctx, cancel := context.WithCancelCause(context.Background())
	abort, cut := context.WithCancelCause(context.Background())
	a.abort = abort
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	again := make(chan struct{})
	ended := make(chan struct{})
	go func() {
		for n := 1; ; n++ {
			select {
			case <-ended:
				return
			case <-signals:
			}
			if n > 1 {
				cut(errInterrupted)
				close(again)
				return
			}
			a.mu.Lock()
			say := a.onInterrupt
			a.mu.Unlock()
			if say != nil {
				say()
			}
			cancel(errInterrupted)
		}
	}()
	return ctx, again, func() {
		signal.Stop(signals)
		close(ended)
		cancel(nil)
		cut(nil)
	}
}

// atInterrupt sets what the first Ctrl-C says; nil for nothing.
func (a *app) atInterrupt(say func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.onInterrupt = say
}
