package wal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"pg_manage/executor/event"
	"pg_manage/executor/repo"
	"pg_manage/executor/repo/codec"
	"pg_manage/executor/wal/audit"
	"pg_manage/schema/postgres"
)

// inspectStall is how long the archive may give an audit nothing before it is taken for
// hung: the listing of all of it, or a file of the largest size over the slowest line.
const inspectStall = 30 * time.Minute

// inspectWorkers is how many files an audit reads at once.
const inspectWorkers = 4

// inspect runs audit and push-missing for each target, or the one of a name, and prints
// a report a line. The status is that of the worst: an archive with holes or damage is
// a failure too.
func (h *hook) inspect(ctx context.Context, in *Instance, o options) int {
	status, known := ExitOK, o.target == ""
	for _, t := range in.Config.Targets {
		if o.target != "" && t.Name != o.target {
			continue
		}
		known = true
		var report any
		var ok bool
		if h.command == "audit" {
			r := in.audit(ctx, t, o.quick, h.progress(t))
			report, ok = r, r.Sound()
		} else {
			r := in.pushMissing(ctx, t, o.dryRun)
			report, ok = r, r.Error == "" && len(r.Failed) == 0 && len(r.Unpushable) == 0
		}
		text, err := json.Marshal(report)
		if err == nil {
			_, err = fmt.Fprintf(h.stdout, "%s\n", text)
		}
		if err != nil {
			return h.end(err)
		}
		if !ok {
			status = ExitFailed
		}
	}
	if !known {
		_, err := in.Config.target(o.target)
		return h.end(refuse("%w", err))
	}
	return status
}

// progress tells now and then how far an audit is, as an event on standard error.
func (h *hook) progress(t repo.Target) func(done, total int, bytes int64) {
	var last time.Time
	return func(done, total int, _ int64) {
		if now := time.Now(); now.Sub(last) >= time.Second {
			last = now
			text, err := json.Marshal(event.Event{
				Time: now, Type: event.Progress, Message: fmt.Sprintf("target %s: read %d of %d files", t.Name, done, total),
			})
			if err == nil {
				fmt.Fprintf(h.stderr, "%s\n", text) //nolint:errcheck // there is nobody else to tell
			}
		}
	}
}

// archive is the site as package audit sees it.
func (s *site) archive(id *Identity) audit.Archive {
	return audit.Archive{
		Driver: s.d, Target: s.t.Name, Dir: s.dir(), SystemIdentifier: id.system(), SegmentSize: id.SegmentSize,
		Open:  func(ctx context.Context, name string) (io.ReadCloser, error) { return s.openStored(ctx, name) },
		Split: codec.Split,
		KeyMissing: func(err error) bool {
			var missing *codec.NoIdentityError
			return errors.As(err, &missing)
		},
	}
}

// audit walks the archive at a target; see package audit. A report always comes.
func (in *Instance) audit(ctx context.Context, t repo.Target, quick bool, progress func(done, total int, bytes int64)) *audit.Report {
	var r *audit.Report
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stalled := time.AfterFunc(inspectStall, func() { cancel(fmt.Errorf("the target gave nothing for %s", inspectStall)) })
	defer stalled.Stop()
	told := func(done, total int, bytes int64) {
		stalled.Reset(inspectStall)
		progress(done, total, bytes)
	}
	err := in.withArchive(ctx, t, func(_ *site, a audit.Archive, _ uint64) error {
		pending, err := audit.Ready(in.Config.DataDir)
		if err != nil && !errors.Is(err, os.ErrNotExist) { // of a node that has no data any more the archive can be checked too
			return err
		}
		r, err = audit.Check(ctx, a, audit.Options{Quick: quick, Workers: inspectWorkers, Pending: pending, Progress: told})
		return err
	})
	if r == nil {
		r = &audit.Report{Version: audit.Version, Target: t.Name, Quick: quick}
	}
	if err != nil {
		r.Error = err.Error()
	}
	return r
}

// pushMissing closes the holes of the archive at a target from pg_wal. What it stores
// is taken off the list of what was dropped.
func (in *Instance) pushMissing(ctx context.Context, t repo.Target, dryRun bool) *audit.PushReport {
	r := &audit.PushReport{Version: audit.Version, DryRun: dryRun}
	err := in.withArchive(ctx, t, func(s *site, a audit.Archive, system uint64) (err error) {
		r, err = audit.PushMissing(ctx, audit.PushOptions{
			DataDir: in.Config.DataDir, Archive: a, Workers: inspectWorkers, DryRun: dryRun,
			Push: func(ctx context.Context, path string) error { return in.pushTo(ctx, s, path, system) },
		})
		return err
	})
	r.Target = t.Name
	if err != nil {
		r.Error = err.Error()
	}
	return r
}

func (in *Instance) withArchive(ctx context.Context, t repo.Target, f func(s *site, a audit.Archive, system uint64) error) error {
	system, err := in.Config.systemIdentifier()
	if err != nil {
		return err
	}
	return in.links.use(ctx, t, func(s *site) error {
		id, err := s.verify(ctx, system)
		if err != nil {
			return err
		}
		return f(s, s.archive(id), system)
	})
}

// pushTo stores a file of pg_wal at one target, with the guards of archive_command.
func (in *Instance) pushTo(ctx context.Context, s *site, path string, system uint64) error {
	if err := in.Config.writes(); err != nil {
		return err
	}
	f, err := postgres.ClassifyWALName(filepath.Base(path))
	if err != nil {
		return refuse("%w", err)
	}
	if path, err = in.Config.InstancePath(in.Config.DataDir, path); err != nil {
		return err
	}
	ctx, cancel := tryTime(ctx, path)
	defer cancel()
	src, err := openSource(path, f, system)
	if err != nil {
		return err
	}
	defer src.close()
	if err := s.store(ctx, src, system); err != nil {
		return err
	}
	return in.Config.Undrop(s.t.Name, f.Name)
}
