package wal

import (
	"context"
	"errors"
	"fmt"
	"io"

	"pg_manage/executor/repo/codec"
	"pg_manage/executor/repo/storage"
	"pg_manage/executor/wal/audit/walcheck"
	"pg_manage/schema/postgres"
)

// walk looks for damage in a segment whose stored form bears no checksum of its content.
// PostgreSQL takes the first record whose checksum is wrong for the end of WAL, and would
// open the database there.
//
// A segment may end before its size: PostgreSQL switched, a timeline was left in it, or
// somebody saved the last one of a server that is lost. Behind such an end are zeros, or
// what the file held before. So what does not fit is damage only when valid WAL comes after
// it, in the segment itself or in the one that follows.
func (s *site) walk(ctx context.Context, f postgres.WALFile, r io.Reader, size int64, system uint64) error {
	start, err := f.Start(size)
	if err != nil {
		return err
	}
	res, err := walcheck.Check(r, walcheck.Segment{File: f, Size: size, Start: start, Ends: true}, system)
	if err != nil {
		return err
	}
	if res.Why == nil && !res.Tail.Open() {
		return nil
	}
	next, err := f.Next(size)
	if err != nil {
		return err
	}
	stored, name, err := s.open(ctx, next)
	if err == nil {
		defer stored.Close() //nolint:errcheck // read only
	}
	if errors.Is(err, storage.ErrNotExist) {
		return nil // the WAL may end here
	}
	if res.Why != nil && (err == nil || itsOwn(err)) {
		return fmt.Errorf("%w, and the WAL goes on in %s", res.Why, name)
	}
	var head walcheck.Head
	if err == nil {
		head, err = walcheck.CheckHead(stored, walcheck.Segment{File: next, Size: size, Start: start + postgres.LSN(size)}, system)
	}
	switch {
	case itsOwn(err):
		return nil // it says so itself when it is asked for
	case err != nil:
		return fmt.Errorf("whether it is whole can only be told from the segment after it: %s: %w", name, err)
	}
	if _, err := walcheck.Join(res.Tail, head, start+postgres.LSN(size)); err != nil {
		return fmt.Errorf("%w: this file or %s is damaged", err, name)
	}
	return nil
}

// itsOwn says whether a file that is there cannot be read for what it is.
func itsOwn(err error) bool {
	var damaged *walcheck.DamageError
	var object *codec.DamagedError
	var locked *codec.NoIdentityError
	return errors.As(err, &damaged) || errors.As(err, &object) || errors.As(err, &locked)
}
