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
	"pg_manage/executor/wal/call"
	"pg_manage/schema/postgres"
)

// ErrAbsent is a file that the archive surely doesn't have.
var ErrAbsent = errors.New("not in the archive")

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

// Restore fetches one file to path, PostgreSQL's %p as seen from the directory dir.
// The file appears there whole, checked and fsynced, or not at all. ErrAbsent is the one
// error that says that no target has it; any other means that nobody knows.
func (in *Instance) Restore(ctx context.Context, dir, name, path string, o RestoreOptions) error {
	return in.RestoreFrom(ctx, dir, name, path, o, in.Fetch)
}

// Fetcher brings one file to dest; Instance.Fetch is the plain one.
type Fetcher func(ctx context.Context, f postgres.WALFile, dest string) error

// RestoreFrom is Restore with another way to get the file.
func (in *Instance) RestoreFrom(ctx context.Context, dir, name, path string, o RestoreOptions, fetch Fetcher) error {
	f, err := postgres.ClassifyWALName(name)
	if err != nil {
		return refuse("%w", err)
	}
	dest, err := in.Config.InstancePath(dir, path)
	if err != nil {
		return err
	}
	if call.Taken(dest) {
		return refuse("%s is there already, and restore takes no file's place", dest)
	}
	tries, began := 0, time.Now()
	for {
		err := tryFetch(ctx, fetch, f, dest, o.TryTimeout)
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

func tryFetch(ctx context.Context, fetch Fetcher, f postgres.WALFile, dest string, timeout time.Duration) error {
	if timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, timeout, fmt.Errorf("the target took longer than %s", timeout))
		defer cancel()
	}
	return fetch(ctx, f, dest)
}

// Fetch brings one file from the first target that has it whole to dest. ErrAbsent
// says that every target was asked and none has it.
func (in *Instance) Fetch(ctx context.Context, f postgres.WALFile, dest string) error {
	system, err := in.Config.systemIdentifier()
	if err != nil {
		return err
	}
	var unclear, absent []error
	for _, t := range in.Config.Targets {
		err := in.links.use(ctx, t, func(s *site) error { return s.fetch(ctx, f, dest, system) })
		switch {
		case err == nil:
			return nil
		case errors.Is(err, ErrAbsent):
			absent = append(absent, err)
		default:
			unclear = append(unclear, err)
		}
	}
	if len(unclear) > 0 {
		return errors.Join(unclear...)
	}
	return errors.Join(absent...)
}

// Fits makes sure that a file which was fetched before is what its name says, of the
// cluster that the data directory is of now.
func (in *Instance) Fits(f postgres.WALFile, path string) error {
	system, err := in.Config.systemIdentifier()
	if err != nil {
		return err
	}
	src, err := openSource(path, f, system)
	if err == nil {
		src.close()
	}
	return err
}

func (s *site) fetch(ctx context.Context, f postgres.WALFile, dest string, system uint64) error {
	r, name, err := s.open(ctx, f)
	if errors.Is(err, storage.ErrNotExist) {
		// Only now is it sure that this is the right archive: a share that went away in
		// between, or another cluster's archive, doesn't have the file either.
		if _, err := s.verify(ctx, system); err != nil {
			return fmt.Errorf("%s is not there, but neither is it clear that this is the archive: %w", f.Name, err)
		}
		return fmt.Errorf("%s: %s: %w", s.d, s.base(f), ErrAbsent)
	}
	if err != nil {
		return err
	}
	if !f.IsSegment() { // it does not say whose it is
		_, err = s.verify(ctx, system)
	}
	if err == nil {
		err = place(r, f, dest, system, func(plain io.Reader, size int64) error {
			if f.Kind != postgres.WALSegment || !r.unsummed {
				return nil
			}
			return s.walk(ctx, f, plain, size, system)
		})
	}
	if err := errors.Join(err, r.Close()); err != nil {
		return fmt.Errorf("%s: %s: %w", s.d, name, err)
	}
	return nil
}

// place writes the file beside dest, checks it, also with walk, fsyncs it and gives it its name.
func place(r io.Reader, f postgres.WALFile, dest string, system uint64, walk func(plain io.Reader, size int64) error) (err error) {
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
		limit = postgres.MaxNoteSize
	}
	size, err := io.Copy(temp, io.LimitReader(r, limit+1))
	if err != nil {
		return err
	}
	if size > limit {
		return fmt.Errorf("%s is too large for a %s", f.Name, f.Kind)
	}
	head := make([]byte, min(size, postgres.MaxNoteSize))
	if _, err := temp.ReadAt(head, 0); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if err := checkContent(f, head, size, system); err != nil {
		return fmt.Errorf("what is stored is damaged: %w", err)
	}
	if err := walk(io.NewSectionReader(temp, 0, size), size); err != nil {
		return fmt.Errorf("what is stored bears no checksum, and cannot be given to PostgreSQL as it is: %w", err)
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
	return syncDirs(dir)
}
