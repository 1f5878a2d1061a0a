package audit

import (
	"context"
	"errors"
	"fmt"
	"io"

	"pg_manage/executor/repo/storage"
	"pg_manage/executor/wal/audit/walcheck"
)

// verdict is what reading one file came to.
type verdict struct {
	gone   bool   // removed since it was listed
	kind   string // of the problem, "" when there is none
	detail string
}

// contentError is content that was read and is wrong.
type contentError struct{ err error }

func (e *contentError) Error() string { return e.err.Error() }

func (e *contentError) Unwrap() error { return e.err }

// try reads a file and finds out what a failure says. read is called again after a
// failure, since lines break. An error means that nothing can be said.
func (a *Archive) try(ctx context.Context, o object, read func(ctx context.Context) error) (verdict, error) {
	var failure error
	for range 2 {
		failure = read(ctx)
		switch v, sure := a.judge(failure); {
		case sure:
			return v, nil
		case ctx.Err() != nil:
			return verdict{}, context.Cause(ctx)
		}
		if err := a.alive(ctx); err != nil {
			return verdict{}, err
		}
	}
	if errors.Is(failure, storage.ErrNotExist) {
		return verdict{gone: true}, nil
	}
	if a.KeyMissing != nil && a.KeyMissing(failure) {
		return verdict{kind: KindUnreadable, detail: failure.Error()}, nil
	}
	// Either the stored bytes can't be had, or they can and make no sense, again and
	// in the same way.
	raw := a.drain(ctx, o)
	if raw == nil {
		again := read(ctx)
		if v, sure := a.judge(again); sure {
			return v, nil
		}
		if again.Error() == failure.Error() {
			return verdict{kind: KindDamaged, detail: failure.Error()}, nil
		}
		return verdict{}, notAbsent(fmt.Errorf("%s cannot be read, each time for another reason: %w; %w", o.name, failure, again))
	}
	if ctx.Err() != nil {
		return verdict{}, context.Cause(ctx)
	}
	if err := a.alive(ctx); err != nil {
		return verdict{}, err
	}
	return verdict{kind: KindUnreadable, detail: raw.Error()}, nil
}

// judge says what an error alone makes sure.
func (a *Archive) judge(err error) (verdict, bool) {
	var content *contentError
	var damage *walcheck.DamageError
	switch {
	case err == nil:
		return verdict{}, true
	case errors.As(err, &damage) && damage.Other:
		return verdict{kind: KindWrongContent, detail: damage.Error()}, true
	case errors.As(err, &damage):
		return verdict{kind: KindDamaged, detail: damage.Error()}, true
	case errors.As(err, &content):
		return verdict{kind: KindDamaged, detail: content.Error()}, true
	}
	return verdict{}, false
}

// drain reads the stored form of a file to its end.
func (a *Archive) drain(ctx context.Context, o object) error {
	r, err := a.Driver.Open(ctx, a.path(o.name))
	if err != nil {
		return err
	}
	n, err := io.Copy(io.Discard, r)
	if err == nil && n != o.size {
		err = errors.New("what can be read of it is not as long as it is listed")
	}
	return errors.Join(err, r.Close())
}
