package wal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"pg_manage/executor/repo/storage"
	"pg_manage/schema/postgres"
)

// ErrAbsent is a file that the archive surely doesn't have.
var ErrAbsent = errors.New("not in the archive")

// Opener connects to the target. Restore calls it again for each try.
type Opener func(ctx context.Context) (storage.Driver, error)

// RestoreOptions say how long restore keeps trying.
type RestoreOptions struct {
	Retries       int           // how often to try again after an unclear answer
	RetryInterval time.Duration // between those
	Wait          bool          // wait for a file that isn't in the archive yet
	WaitFor       time.Duration // for so long at most; 0 is without end
	PollInterval  time.Duration // between looks at the archive while waiting
	TryTimeout    time.Duration // bounds each try; 0 for no bound
	// Again, unless nil, is told before each pause why there will be another try.
	Again func(err error, pause time.Duration)
}

// Restore fetches one file from the archive to dest, PostgreSQL's %p. The file appears
// there whole, checked and fsynced, or not at all. ErrAbsent is the one error that
// says that the archive doesn't have it; any other means that nobody knows.
func Restore(ctx context.Context, open Opener, c *Config, name, dest string, o RestoreOptions) error {
	f, err := postgres.ClassifyWALName(name)
	if err != nil {
		return refuse("%w", err)
	}
	if err := c.checkInstance(dest); err != nil {
		return err
	}
	system, err := c.systemIdentifier()
	if err != nil {
		return err
	}
	tries, began := 0, time.Now()
	for {
		err := tryRestore(ctx, open, c, f, dest, system, o.TryTimeout)
		var pause time.Duration
		switch {
		case err == nil:
			return nil
		case errors.Is(err, ErrAbsent):
			if !o.Wait || o.WaitFor > 0 && time.Since(began)+o.PollInterval > o.WaitFor {
				return err
			}
			tries, pause = 0, o.PollInterval
		default:
			var refused *RefusedError
			if tries >= o.Retries || errors.As(err, &refused) || ctx.Err() != nil {
				return err
			}
			tries++
			pause = o.RetryInterval
		}
		if o.Again != nil {
			o.Again(err, pause)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(pause):
		}
	}
}

func tryRestore(ctx context.Context, open Opener, c *Config, f postgres.WALFile, dest string, system uint64, timeout time.Duration) (err error) {
	if timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, timeout, fmt.Errorf("the target took longer than %s", timeout))
		defer cancel()
	}
	d, err := open(ctx)
	if err != nil {
		return err
	}
	defer d.Close() //nolint:errcheck // all that matters has been checked by then
	r, err := openStored(ctx, d, c.objectName(f), f)
	if errors.Is(err, storage.ErrNotExist) {
		// Only now is it sure that this is the right archive: a share that went away in
		// between, or another cluster's archive, doesn't have the file either.
		id, ierr := readIdentity(ctx, d, c)
		if ierr == nil {
			ierr = id.check(d, c, system)
		}
		if ierr != nil {
			return fmt.Errorf("%s is not there, but neither is it clear that this is the archive: %w", f.Name, ierr)
		}
		return fmt.Errorf("%s: %s: %w", d, c.objectName(f), ErrAbsent)
	}
	if err != nil {
		return err
	}
	err = place(r, f, dest, system)
	if err := errors.Join(err, r.Close()); err != nil {
		return fmt.Errorf("%s: %s: %w", d, c.objectName(f), err)
	}
	return nil
}

// place writes the file beside dest, checks it, fsyncs it and gives it its name.
func place(r io.Reader, f postgres.WALFile, dest string, system uint64) (err error) {
	dir := filepath.Dir(dest)
	// PostgreSQL removes files of this name when it starts (xlog.c, RemoveTempXlogFiles).
	temp, err := os.CreateTemp(dir, "xlogtemp.pg_manage.*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			temp.Close()           //nolint:errcheck // it may be closed already, and is given up
			os.Remove(temp.Name()) //nolint:errcheck // it may have its name already
		}
	}()
	limit := int64(postgres.MaxSegmentSize)
	if !f.IsSegment() {
		limit = maxSmall
	}
	size, err := io.Copy(temp, io.LimitReader(r, limit+1))
	if err != nil {
		return err
	}
	if size > limit {
		return fmt.Errorf("%s is too large for a %s", f.Name, f.Kind)
	}
	head := make([]byte, min(size, maxSmall))
	if _, err := temp.ReadAt(head, 0); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if err := checkContent(f, head, size, system); err != nil {
		return fmt.Errorf("what is stored is damaged: %w", err)
	}
	if err := temp.Sync(); err != nil {
		return err
	}
	if err := temp.Close(); err != nil {
		return err
	}
	if err := os.Rename(temp.Name(), dest); err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
