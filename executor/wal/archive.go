package wal

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"pg_manage/executor/repo"
	"pg_manage/schema/postgres"
)

// Archive makes one file of pg_wal safe, given as PostgreSQL's %p as seen from the
// directory dir. It returns nil if and only if the file is durable, under its final
// name, at every required target, and at each other target or in the queue for it.
// The exceptions are those that somebody declared with queue_limit, and they are written
// down (see Dropped). A file that is there already is left as it is: the same
// content is success, other content a *RefusedError.
func (in *Instance) Archive(ctx context.Context, dir, path string) error {
	c := in.Config
	if err := c.writes(); err != nil {
		return err
	}
	f, err := postgres.ClassifyWALName(filepath.Base(path))
	if err != nil {
		return refuse("%w", err)
	}
	if path, err = c.InstancePath(dir, path); err != nil {
		return err
	}
	if err := finished(path, f); err != nil {
		return err
	}
	system, err := c.systemIdentifier()
	if err != nil {
		return refuse("%w", err)
	}
	src, err := openSource(path, f, system)
	if err != nil {
		return err
	}
	defer src.close()
	if err := in.storeRequired(ctx, src, system); err != nil {
		return err
	}
	for _, t := range c.Targets {
		if t.Required {
			continue
		}
		if err := in.enqueue(ctx, in.queues[t.Name], src); err != nil {
			return fmt.Errorf("the queue for target %q: %w", t.Name, err)
		}
	}
	return nil
}

// finished makes sure that PostgreSQL has marked a segment as one to be archived. It does
// so before it calls archive_command; who tries the command out by hand, with the newest
// file of pg_wal, has one that is still written, and the archive would refuse the whole
// one after it for ever.
func finished(path string, f postgres.WALFile) error {
	if f.Kind != postgres.WALSegment {
		return nil
	}
	marks := filepath.Join(filepath.Dir(path), "archive_status")
	for _, mark := range []string{f.Name + ".ready", f.Name + ".done"} { // in this order, since one becomes the other
		_, err := os.Stat(filepath.Join(marks, mark))
		if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if _, err := os.Stat(marks); err != nil {
		return nil // no server marks anything here
	}
	return refuse("%s may still be written: PostgreSQL has not marked it as finished (%s.ready); `pg_manage hook push-missing` stores older segments that have no mark", path, filepath.Join(marks, f.Name))
}

// storeRequired stores a file at all required targets at once.
func (in *Instance) storeRequired(ctx context.Context, src *source, system uint64) error {
	var required []repo.Target
	for _, t := range in.Config.Targets {
		if t.Required {
			required = append(required, t)
		}
	}
	errs := make([]error, len(required))
	var all sync.WaitGroup
	for i, t := range required {
		all.Go(func() {
			if errs[i] = in.storeAt(ctx, t, src, system); errs[i] != nil && t.QueueLimit > 0 {
				errs[i] = in.dropWaiting(ctx, t, src, errs[i])
			}
			if errs[i] != nil && len(in.Config.Targets) > 1 {
				errs[i] = fmt.Errorf("target %q: %w", t.Name, errs[i])
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

// storeAt stores a file at a target. One that may be given up does not wait out another
// dial to a target that is known to be away.
func (in *Instance) storeAt(ctx context.Context, t repo.Target, src *source, system uint64) error {
	limited := in.away != nil && t.QueueLimit > 0
	if limited && src.f.IsSegment() {
		if why := in.away.of(t.Name); why != nil {
			if _, waiting, err := in.Config.Backlog(); err == nil && waiting > t.QueueLimit {
				return why
			}
		}
	}
	err := in.links.use(ctx, t, func(s *site) error { return s.store(ctx, src, system) })
	if limited {
		in.away.note(t, err)
	}
	return err
}

// dropWaiting gives a file up for a required target that does not take it, when more
// waits in pg_wal than its declared limit.
func (in *Instance) dropWaiting(ctx context.Context, t repo.Target, src *source, why error) error {
	var refused *RefusedError
	switch {
	case errors.As(why, &refused), errors.Is(ctx.Err(), context.Canceled):
		return why // not an outage: the file is not what it must be, or we are told to end
	case !src.f.IsSegment():
		return why // too small to matter and too dear to lose
	}
	_, waiting, err := in.Config.Backlog()
	if err != nil {
		return errors.Join(why, err)
	}
	if waiting <= t.QueueLimit {
		return why
	}
	return in.Config.drop(t, src.f, time.Now())
}

// enqueue hands a file to the queue of a target that is not required.
func (in *Instance) enqueue(ctx context.Context, q *queue, src *source) error {
	forms := in.forms[q.target.Name]
	if src.f.IsSegment() && q.full(ctx, forms, src) {
		return in.Config.drop(q.target, src.f, time.Now())
	}
	return q.add(ctx, forms, src)
}
