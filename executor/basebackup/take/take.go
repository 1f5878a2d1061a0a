// Package take takes base backups: it holds the server in backup mode, has its files
// copied, waits for the WAL that belongs to them and lists the backup when all is there.
//
// A backup that does not come to its end, whatever the cause, is never listed: backup.json
// is written last. The session with the server ends with us, and backup mode with it.
// What was stored is removed, except after a kill -9, whose leftovers Sweep of package
// catalog removes.
package take

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"pg_manage/executor/event"
	"pg_manage/executor/repo/catalog"
	"pg_manage/executor/repo/storage"
	"pg_manage/schema/postgres"
)

// Options say what to back up, and where to.
type Options struct {
	Catalog   *catalog.Catalog
	Archive   Archive                                            // where the WAL is awaited; nil: it is put into the backup
	Events    event.Sink                                         // progress in bytes read, and notices
	Now       func() time.Time                                   // names the backup
	SwitchWAL func(ctx context.Context, upTo postgres.LSN) error // makes a standby's primary end the segment with upTo; nil: nobody can

	Cluster          string
	Node             string
	Server           Server
	SystemIdentifier string // that the instance must have; "" is any
	Incremental      bool   // on the newest backup that serves; without one a full is taken
	Parent           string // label, instead of the newest
	Cold             bool   // the instance must be stopped, and stay so
	Workers          int    // 0: as many as there are processors, at most 4
	Rate             int64  // bytes read a second; 0 is no limit
	SpreadCheckpoint bool
	ArchiveTimeout   time.Duration // to wait for WAL while none comes; 0 is 10 minutes
	StateDir         string        // ours, for the lock and temporary files
	ToolVersion      string
}

// maxWorkers is how many files are read at once, unless it is asked for otherwise.
const maxWorkers = 4

// abortTime is how long removing what was stored may take.
const abortTime = 2 * time.Minute

// Take takes a backup and lists it. When ctx ends, or on any error, there is none.
func Take(ctx context.Context, o Options) (*catalog.Info, error) {
	if o.Events == nil {
		o.Events = event.Discard{}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Workers <= 0 {
		o.Workers = min(runtime.NumCPU(), maxWorkers)
	}
	unlock, err := o.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	if o.Cold {
		return o.cold(ctx)
	}
	return o.hot(ctx)
}

func (o *Options) notice(format string, args ...any) {
	o.Events.Emit(event.Event{Time: time.Now(), Type: event.Notice, Cluster: o.Cluster, Node: o.Node, Message: fmt.Sprintf(format, args...)})
}

// hot takes a backup of a running server.
func (o *Options) hot(ctx context.Context) (*catalog.Info, error) {
	x, err := connect(ctx, o.Server)
	if err != nil {
		return nil, err
	}
	defer x.close()
	f, err := o.check(ctx, x)
	if err != nil {
		return nil, err
	}
	if err := o.reachArchive(ctx, f.control); err != nil {
		return nil, err
	}
	was, err := x.recovery(ctx)
	if err != nil {
		return nil, err
	}
	r, err := o.begin(ctx, f, was.timeline)
	if err != nil {
		return nil, err
	}
	defer r.close()
	info, err := r.hot(ctx, x, was)
	if err != nil {
		return nil, r.abort(ctx, err)
	}
	return info, nil
}

// cold takes a backup of a stopped instance.
func (o *Options) cold(ctx context.Context) (*catalog.Info, error) {
	at, err := stoppedAt(o.Server.DataDir)
	if err != nil {
		return nil, err
	}
	f, err := o.coldFacts(ctx)
	if err != nil {
		return nil, err
	}
	r, err := o.begin(ctx, f, f.control.Timeline)
	if err != nil {
		return nil, err
	}
	defer r.close()
	info, err := r.cold(ctx, at)
	if err != nil {
		return nil, r.abort(ctx, err)
	}
	return info, nil
}

// reachArchive looks into the archive before hours of work depend on it. That it is away
// may pass meanwhile; that it is another cluster's does not.
func (o *Options) reachArchive(ctx context.Context, c *postgres.ControlData) error {
	if o.Archive == nil {
		return nil
	}
	_, err := o.has(ctx, c.RedoFile)
	switch {
	case err == nil:
		return nil
	case isRefused(err):
		return err
	case ctx.Err() != nil:
		return context.Cause(ctx)
	}
	o.notice("the archive cannot be asked now, and must be before the backup ends: %v", err)
	return nil
}

// abort removes what was stored of a backup that failed.
func (r *run) abort(ctx context.Context, err error) error {
	if r.copy != nil {
		r.copy.Abort()
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), abortTime)
	defer cancel()
	if aerr := r.o.Catalog.Abort(ctx, r.info.Label); aerr != nil {
		if errors.Is(aerr, storage.ErrLost) {
			aerr = storage.ErrLost // the rest is as it was said of the backup
		}
		return errors.Join(err, fmt.Errorf("what was stored of the unfinished backup %s could not be removed either (%w): it is listed nowhere, and `pg_manage backup expire` clears it away once it is %d days old",
			r.info.Label, aerr, int(catalog.SweepAge/(24*time.Hour))))
	}
	return err
}
