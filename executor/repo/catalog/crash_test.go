package catalog

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"pg_manage/executor/repo"
	"pg_manage/executor/repo/repotest"
	"pg_manage/executor/repo/storage"
)

// crashes runs work on a store that prepare has filled, with a crash at each of its
// operations, before it is done and after; and holds what is listed then to be whole.
func crashes(t *testing.T, prepare, work func(ctx context.Context, c *Catalog) error, after func(c *Catalog, d storage.Driver) error) {
	t.Helper()
	for _, done := range []bool{false, true} {
		for at := 1; ; at++ {
			what := fmt.Sprintf("crashed at %d (%v)", at, done)
			d := newStore(t)
			if err := prepare(t.Context(), open(t, d, repo.Target{})); err != nil {
				t.Fatal(err)
			}
			crash := &repotest.Crasher{Driver: d, At: at, Done: done}
			err := work(t.Context(), open(t, crash, repo.Target{}))
			if !crash.Crashed() {
				if err != nil || at < 3 {
					t.Fatalf("after %d operations: %v", at-1, err)
				}
				break
			}
			c := open(t, d, repo.Target{}) // another process
			if err := mustBeWhole(t.Context(), c); err != nil {
				t.Errorf("%s: %v", what, err)
			}
			if err := after(c, d); err != nil {
				t.Errorf("%s: %v", what, err)
			}
			if err := mustBeWhole(t.Context(), c); err != nil {
				t.Errorf("%s, later: %v", what, err)
			}
		}
	}
}

func nothing(context.Context, *Catalog) error { return nil }

// swept sweeps all that is unfinished away, and says what is left of it.
func swept(t *testing.T, c *Catalog) error {
	t.Helper()
	if err := c.Sweep(t.Context(), -1); err != nil {
		return err
	}
	left, err := c.Unfinished(t.Context())
	if err == nil && len(left) > 0 {
		err = fmt.Errorf("%q is left", left)
	}
	return err
}

func TestACrashWhileABackupIsTaken(t *testing.T) {
	full, incr := info(1, ""), info(2, info(1, "").Label)
	crashes(t, nothing, func(ctx context.Context, c *Catalog) error {
		if err := take(ctx, c, full); err != nil {
			return err
		}
		return take(ctx, c, incr)
	}, func(c *Catalog, _ storage.Driver) error { return swept(t, c) })
}

func TestACrashWhileABackupIsGivenUp(t *testing.T) {
	i := info(2, info(1, "").Label)
	crashes(t, func(ctx context.Context, c *Catalog) error { return take(ctx, c, info(1, "")) }, func(ctx context.Context, c *Catalog) error {
		return errors.Join(store(ctx, c, i, 100), c.Abort(ctx, i.Label))
	}, func(c *Catalog, _ storage.Driver) error {
		if got := labels(t, c); !strings.HasPrefix(got, info(1, "").Label) {
			return fmt.Errorf("listed are %q", got)
		}
		return swept(t, c)
	})
}

func TestACrashWhileBackupsAreRemoved(t *testing.T) {
	full, incr, other := info(1, ""), info(2, info(1, "").Label), info(3, "")
	crashes(t, func(ctx context.Context, c *Catalog) error {
		return errors.Join(take(ctx, c, full), take(ctx, c, incr), take(ctx, c, other), c.Prove(ctx, incr.Label, Proof{Time: at(4)}))
	}, func(ctx context.Context, c *Catalog) error {
		if err := c.Remove(ctx, incr.Label); err != nil {
			return err
		}
		return c.Remove(ctx, full.Label)
	}, func(c *Catalog, _ storage.Driver) error {
		// The next run finishes it.
		for _, label := range []string{incr.Label, full.Label} {
			if err := c.Remove(t.Context(), label); err != nil && !errors.Is(err, storage.ErrNotExist) {
				return err
			}
		}
		if got := labels(t, c); got != other.Label+" " {
			return fmt.Errorf("listed are %q", got)
		}
		return swept(t, c)
	})
}

func TestAnAnswerThatIsLostIsAskedForAgain(t *testing.T) {
	for at := 1; at < 7; at++ {
		d := newStore(t)
		forgetful := &repotest.Crasher{Driver: d, At: at, Done: true, Once: true}
		c := open(t, forgetful, repo.Target{})
		i := info(1, "")
		err := take(t.Context(), c, i)
		switch {
		case err == nil:
			t.Errorf("at %d nothing failed", at)
		case at == 1: // the claim: it is ours
			err = take(t.Context(), c, i)
		case at == 6: // backup.json
			err = c.Commit(t.Context(), i)
		default: // an object, of which nobody knows: the backup is given up
			err = c.Abort(t.Context(), i.Label)
			if left, lerr := d.List(t.Context(), dir); lerr != nil || len(left) != 0 {
				t.Errorf("at %d: %+v is left, %v", at, left, lerr)
			}
		}
		if err != nil {
			t.Errorf("at %d: %v", at, err)
		}
		if err := mustBeWhole(t.Context(), c); err != nil {
			t.Errorf("at %d: %v", at, err)
		}
	}
}
