package wal

import (
	"context"
	"errors"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"pg_manage/executor/repo"
	"pg_manage/executor/repo/storage"
)

// TestEachSegmentOverTheLimitWaitsForNoDialOfItsOwn has a network that drops packets: a
// dial is answered only when the target is back.
func TestEachSegmentOverTheLimitWaitsForNoDialOfItsOwn(t *testing.T) {
	in := newInstance(t)
	in.init()
	seg3, seg4 := seg1[:23]+"3", seg1[:23]+"4"
	in.backlog(seg1, seg2, seg3, seg4)
	in.writeConfig(func(c *Config) { c.Targets[0].QueueLimit = 2 * segSize })
	c, err := LoadConfig(in.config)
	if err != nil {
		t.Fatal(err)
	}
	var dials atomic.Int32
	hangs, back := make(chan struct{}, 100), make(chan struct{})
	i, err := NewInstance(c, func(ctx context.Context, t repo.Target) (storage.Driver, error) {
		if dials.Add(1) == 1 {
			return nil, errors.New("i/o timeout")
		}
		hangs <- struct{}{}
		select {
		case <-back:
			return repo.Open(ctx, t)
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}, true)
	if err != nil {
		t.Fatal(err)
	}
	defer i.Close() //nolint:errcheck // its drivers are directories
	i.away.pause = time.Millisecond
	if err := i.Archive(t.Context(), ".", "pg_wal/"+seg1); err != nil {
		t.Fatal(err)
	}
	<-hangs // the probe's
	if err := i.Archive(t.Context(), ".", "pg_wal/"+seg2); err != nil {
		t.Fatal(err)
	}
	if got, err := c.Dropped("nas"); err != nil || len(got) != 1 || got[0].From != seg1 || got[0].To != seg2 {
		t.Fatalf("noted as dropped: %v, %v", got, err)
	}
	// What is not over the limit waits for the target, and so does what is never dropped.
	for _, name := range []string{seg1, seg2} {
		if err := os.Rename("pg_wal/archive_status/"+name+".ready", "pg_wal/archive_status/"+name+".done"); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	done, small := make(chan error, 1), make(chan error, 1)
	go func() { done <- i.Archive(ctx, ".", "pg_wal/"+seg3) }()
	in.write("pg_wal/00000002.history", []byte("1\t0/1000000\tx\n"))
	go func() { small <- i.Archive(t.Context(), ".", "pg_wal/00000002.history") }()
	cancel(errors.New("ended by terminated"))
	if err := <-done; err == nil {
		t.Error("it says that the file is archived")
	}
	// Once the target is back, everything goes there.
	close(back)
	if err := <-small; err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(time.Minute); i.away.of("nas") != nil; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the target is taken for away still")
		}
	}
	if err := i.Archive(t.Context(), ".", "pg_wal/"+seg4); err != nil {
		t.Fatal(err)
	}
	if got, err := c.Dropped("nas"); err != nil || len(got) != 1 || got[0].To != seg2 {
		t.Errorf("noted as dropped: %v, %v", got, err)
	}
	if _, ok := in.inArchive()[in.stored(seg1[:16]+"/"+seg4+".zst")]; !ok {
		t.Error("it is not in the archive")
	}
}
