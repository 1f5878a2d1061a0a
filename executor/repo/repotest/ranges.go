package repotest

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"

	"pg_manage/executor/repo/storage"
)

const rangesName = "ranges/file"

// ranges: parts of a file are what they are, and what a file lacks is said.
func (s suite) ranges(t *testing.T) {
	ctx, d := s.driver(t)
	want := make([]byte, 3<<20+17)
	if _, err := rand.Read(want); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{rangesName: want, "ranges/empty": nil} {
		if err := d.Put(ctx, name, bytes.NewReader(content)); err != nil {
			t.Fatal(err)
		}
	}
	size := int64(len(want))
	for _, c := range []struct{ offset, length int64 }{
		{0, 1},
		{0, 0},
		{0, size},
		{1, 100},
		{5, 0},
		{size / 2, 1 << 20},
		{512<<10 - 1, 2},
		{512 << 10, 512 << 10},
		{size - 1, 1},
		{size - 1<<20, 1 << 20},
		{size, 0},
		{0, size + 1},
		{size - 1, 2},
		{size - 100_000, 1 << 20},
		{size, 1},
		{size + 1, 1},
		{size + 1<<30, 1 << 20},
		{1, 1<<62 - 1},
	} {
		readRange(ctx, t, d, want, c.offset, c.length)
	}
	if r, err := d.OpenRange(ctx, "ranges/empty", 0, 1); err != nil {
		t.Error(err)
	} else if b, err := io.ReadAll(r); len(b) != 0 || !errors.Is(err, io.ErrUnexpectedEOF) || r.Close() != nil {
		t.Errorf("an empty file gave %d bytes, %v", len(b), err)
	}
	for _, c := range []struct{ offset, length int64 }{{-1, 1}, {0, -1}, {1<<63 - 1, 1}} {
		if _, err := d.OpenRange(ctx, rangesName, c.offset, c.length); err == nil || errors.Is(err, storage.ErrNotExist) || errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%d bytes from %d on: %v", c.length, c.offset, err)
		}
	}
	s.absentRanges(ctx, t, d)
	var wg sync.WaitGroup
	for i := range int64(16) {
		wg.Go(func() { readRange(ctx, t, d, want, i*190_000, 700_001) })
	}
	wg.Wait()
	r, err := d.OpenRange(ctx, rangesName, 10, size-10) // left in the middle
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(r, make([]byte, 100)); err != nil {
		t.Error(err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	readRange(ctx, t, d, want, 3, 1000)
}

func (s suite) absentRanges(ctx context.Context, t *testing.T, d storage.Driver) {
	t.Helper()
	for _, name := range []string{"ranges/none", "ranges/no/such/dir", "nosuch"} {
		for _, length := range []int64{0, 1, 1 << 20} {
			if _, err := d.OpenRange(ctx, name, 0, length); !errors.Is(err, storage.ErrNotExist) {
				t.Errorf("%d bytes of %s: %v", length, name, err)
			}
		}
	}
	for _, name := range []string{"ranges", "../x", "/etc/passwd", "", strings.Repeat("x", 201)} {
		for _, length := range []int64{0, 1} {
			if _, err := d.OpenRange(ctx, name, 0, length); err == nil || errors.Is(err, storage.ErrNotExist) {
				t.Errorf("%d bytes of %q: %v", length, name, err)
			}
		}
	}
	ended, cancel := context.WithCancelCause(ctx)
	stop := errors.New("stopped here")
	cancel(stop)
	if r, err := d.OpenRange(ended, rangesName, 0, 10); err == nil {
		if _, err = io.ReadAll(r); !errors.Is(err, stop) {
			t.Errorf("after the end of its context: %v", err)
		}
		r.Close() //nolint:errcheck // it failed
	} else if !errors.Is(err, stop) {
		t.Errorf("after the end of its context: %v", err)
	}
}

// readRange holds a part of a file to what it must be.
func readRange(ctx context.Context, t *testing.T, d storage.Driver, content []byte, offset, length int64) {
	t.Helper()
	what := fmt.Sprintf("%d bytes from %d on", length, offset)
	r, err := d.OpenRange(ctx, rangesName, offset, length)
	if err != nil {
		t.Errorf("%s: %v", what, err)
		return
	}
	got, err := io.ReadAll(r)
	if cerr := r.Close(); cerr != nil {
		t.Errorf("%s: closing: %v", what, cerr)
	}
	size := int64(len(content))
	want := content[min(offset, size):min(offset+length, size)]
	if !bytes.Equal(got, want) {
		t.Errorf("%s: other %d bytes came", what, len(got))
	}
	if short := length > 0 && offset+length > size; short != errors.Is(err, io.ErrUnexpectedEOF) || !short && err != nil {
		t.Errorf("%s: %v", what, err)
	}
}
