package wal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"testing/iotest"

	"pg_manage/executor/repo"
	"pg_manage/executor/repo/storage"
)

// eager is a driver as the distant ones are: Put reads up to the end in blocks, takes
// any io.EOF for it, and then publishes.
type eager struct {
	storage.Driver
	block     int
	early     error // what Put ends with before it has read anything
	published map[string][]byte
}

func (e *eager) Put(_ context.Context, name string, r io.Reader) error {
	if e.early != nil {
		return e.early
	}
	var all []byte
	for b := make([]byte, e.block); ; {
		n, err := io.ReadFull(r, b)
		all = append(all, b[:n]...)
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			e.published[name] = all
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// TestWhatIsNotAdmittedIsNeverPublished: whatever the reason looks like, and however
// the driver reads.
func TestWhatIsNotAdmittedIsNeverPublished(t *testing.T) {
	content := bytes.Repeat([]byte("x"), 4096)
	for what, refusal := range map[string]error{
		"plain":          errors.New("another cluster's"),
		"wraps an end":   fmt.Errorf("reading archive.json: %w", io.EOF),
		"wraps a cut":    fmt.Errorf("reading archive.json: %w", io.ErrUnexpectedEOF),
		"is an end":      io.EOF,
		"none, admitted": nil,
	} {
		for _, block := range []int{1, 1000, 1024, 4096, 1 << 20} {
			for kind, r := range map[string]io.Reader{
				"end alone":       bytes.NewReader(content),
				"end with data":   iotest.DataErrReader(bytes.NewReader(content)),
				"in small pieces": iotest.HalfReader(bytes.NewReader(content)),
			} {
				d := &eager{block: block, published: map[string][]byte{}}
				s := &site{t: repo.Target{Scheme: "s3"}, d: d}
				err := s.put(t.Context(), "x", io.NopCloser(r), func(context.Context) error { return refusal })
				got, ok := d.published["x"]
				if ok != (refusal == nil) || !errors.Is(err, refusal) {
					t.Errorf("%s, %s, blocks of %d: published %v, error %v", what, kind, block, ok, err)
				}
				if ok && !bytes.Equal(got, content) {
					t.Errorf("%s, %s, blocks of %d: %d bytes arrived", what, kind, block, len(got))
				}
			}
		}
	}
}

// TestAFileThatIsThereAlreadyIsOnlyTakenWhereItMayBe: a driver may say so without
// having read anything, so before the verdict.
func TestAFileThatIsThereAlreadyIsOnlyTakenWhereItMayBe(t *testing.T) {
	refusal := errors.New("another cluster's")
	s := &site{t: repo.Target{Scheme: "s3"}, d: &eager{early: storage.ErrExists}}
	err := s.put(t.Context(), "x", io.NopCloser(bytes.NewReader(nil)), func(context.Context) error { return refusal })
	if !errors.Is(err, refusal) || errors.Is(err, storage.ErrExists) {
		t.Errorf("got %v", err)
	}
	err = s.put(t.Context(), "x", io.NopCloser(bytes.NewReader(nil)), func(context.Context) error { return nil })
	if !errors.Is(err, storage.ErrExists) {
		t.Errorf("got %v", err)
	}
}
