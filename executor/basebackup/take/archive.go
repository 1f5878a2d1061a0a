package take

import (
	"context"
	"errors"
	"fmt"
	"time"

	"pg_manage/executor/wal"
	"pg_manage/schema/postgres"
)

// Archive says which files of WAL are archived. *wal.Lookup is one.
type Archive interface {
	// Has says whether a segment or a history file is there; an error, that this is not known.
	Has(ctx context.Context, name string) (bool, error)
}

// AnyOf is the archive of a cluster that is kept at several targets: a file is there when
// one of them has it.
func AnyOf(all ...Archive) Archive { return anyOf(all) }

type anyOf []Archive

// Has is part of Archive.
func (a anyOf) Has(ctx context.Context, name string) (bool, error) {
	var errs []error
	for _, one := range a {
		has, err := one.Has(ctx, name)
		if has && err == nil {
			return true, nil
		}
		if err != nil {
			errs = append(errs, err)
		}
	}
	return false, errors.Join(errs...)
}

// isRefused says whether an archive is not the cluster's: waiting does not mend that.
func isRefused(err error) bool {
	var refused *wal.RefusedError
	return errors.As(err, &refused)
}

// Times of waiting for the archive.
const (
	archiveTimeout = 10 * time.Minute
	noticeEvery    = 10 * time.Second
	pollFirst      = 50 * time.Millisecond
	pollLast       = 3 * time.Second
	askTime        = time.Minute // for one answer of the archive
	switchAgain    = time.Minute // until a primary that was asked for a segment is asked again
)

// neededWAL names the segments that recovery from start to stop reads.
func neededWAL(tli postgres.Timeline, start, stop postgres.LSN, segmentSize int64) ([]string, error) {
	if stop <= start {
		return nil, fmt.Errorf("the backup ends at %s, and not behind its start at %s", stop, start)
	}
	var names []string
	size := postgres.LSN(segmentSize)
	for at := start / size * size; at < stop; at += size {
		name, err := postgres.SegmentName(tli, at, segmentSize)
		if err != nil {
			return nil, err
		}
		names = append(names, name)
	}
	return names, nil
}

// awaitWAL waits until all names are in the archive. It gives up when nothing has come
// for the time-out, and says why as far as the server knows.
func (o *Options) awaitWAL(ctx context.Context, x *session, was recovery, names []string, stop postgres.LSN) error {
	limit := o.ArchiveTimeout
	if limit <= 0 {
		limit = archiveTimeout
	}
	begun := time.Now()
	progress, told, pause := begun, begun, pollFirst
	archiver := o.archiverOf(ctx, x, was)
	var ask time.Time // when the primary is asked next
	for at := 0; ; {
		has, err := o.has(ctx, names[at])
		if err == nil && has {
			progress, pause = time.Now(), pollFirst
			if at++; at == len(names) {
				return nil
			}
			continue
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if isRefused(err) {
			return fmt.Errorf("wait for %s in the archive: %w", names[at], err)
		}
		now := time.Now()
		if was.standby && at == len(names)-1 && !now.Before(ask) {
			// A primary that nobody writes to never fills the segment.
			if ask = now.Add(noticeEvery); o.switchPrimary(ctx, stop) {
				ask = now.Add(switchAgain)
			}
		}
		if now.Sub(told) >= noticeEvery || now.Sub(progress) >= limit {
			told = now
			seen := o.archiverOf(ctx, x, was)
			if seen.archived != archiver.archived && seen.before(names[at]) {
				progress = now // it works off what came before
			}
			archiver = seen
			why := waitReason(err, names[at], archiver)
			if now.Sub(progress) >= limit {
				return fmt.Errorf("%s has not come into the archive within %s: %s. The backup was not kept, since it could not be restored without it", names[at], limit, why)
			}
			o.notice("waiting for %s in the archive (%d of %d files are there) for %s: %s", names[at], at, len(names), now.Sub(begun).Round(time.Second), why)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(min(pause, max(limit-now.Sub(progress), time.Millisecond))):
		}
		pause = min(pause*3/2, pollLast)
	}
}

// has asks the archive, which may not answer at all.
func (o *Options) has(ctx context.Context, name string) (bool, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, askTime, fmt.Errorf("the archive took longer than %s to answer", askTime))
	defer cancel()
	return o.Archive.Has(ctx, name)
}

// switchPrimary has the operator's side end the segment on the primary. It is false when
// that may be tried again.
func (o *Options) switchPrimary(ctx context.Context, stop postgres.LSN) bool {
	if o.SwitchWAL == nil {
		o.notice("the segment with %s comes into the archive when the primary has filled it: SELECT pg_switch_wal() there makes it come at once", stop)
		return true
	}
	err := o.SwitchWAL(ctx, stop)
	if err != nil && ctx.Err() == nil {
		o.notice("the primary could not be asked to end the segment with %s, which comes into the archive once it is full: %v", stop, err)
	}
	return err == nil
}
