package wal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"pg_manage/executor/repo"
	"pg_manage/executor/repo/storage"
	"pg_manage/schema/postgres"
)

// Time limits of one try: a good time for what must happen, and what the slowest
// line that one can work with needs for a segment.
const (
	tryBase    = 2 * time.Minute
	statusTime = 20 * time.Second
	slowest    = 1 << 20 // bytes a second
)

// load prepares the instance that a configuration file is for.
func (h *hook) load(o options) (*Instance, error) {
	c, err := LoadConfig(o.config)
	if err != nil {
		return nil, err
	}
	h.config = c
	if h.command != "status" && h.command != "audit" { // which leave nothing
		if err := c.CheckUser(); err != nil {
			return nil, err
		}
	}
	create := h.command == "init" || h.command == "check"
	return NewInstance(c, func(ctx context.Context, t repo.Target) (storage.Driver, error) { return c.OpenTarget(ctx, t, create) }, false)
}

// serve does an archive or a restore.
func (h *hook) serve(ctx context.Context, e Engine, args []string, o options) int {
	if h.command == "restore" {
		return h.restore(ctx, e, args, o)
	}
	if h.command != "archive" {
		return h.misuse(fmt.Errorf("%q is not for the archiver", h.command))
	}
	began := time.Now()
	ctx, cancel := tryTime(ctx, filepath.Join(h.config.DataDir, "pg_wal", filepath.Base(args[0])))
	defer cancel()
	err := e.Archive(ctx, h.dir, args[0])
	if err == nil {
		h.note("archived %s in %s", filepath.Base(args[0]), time.Since(began).Round(time.Millisecond))
	}
	return h.end(err)
}

// tryTime bounds the archiving of one file.
func tryTime(ctx context.Context, path string) (context.Context, context.CancelFunc) {
	limit := tryBase
	if st, err := os.Stat(path); err == nil {
		limit += time.Duration(st.Size()/slowest) * time.Second
	}
	return context.WithTimeoutCause(ctx, limit, fmt.Errorf("the target took longer than %s", limit))
}

func (h *hook) restore(ctx context.Context, e Engine, args []string, o options) int {
	retries := o.retries
	if retries < 0 {
		retries = 3
		if standby(h.config.DataDir) {
			retries = 0 // PostgreSQL asks again by itself, and may stream meanwhile
		}
	}
	ro := RestoreOptions{
		Retries: retries, RetryInterval: time.Duration(o.retryInterval), PollInterval: time.Duration(o.poll),
		TryTimeout: tryBase + postgres.MaxSegmentSize/slowest*time.Second,
	}
	ro.Again = func(err error, pause time.Duration) {
		if errors.Is(err, ErrAbsent) {
			h.note("%v: waiting %s", err, pause)
			return
		}
		h.say("%v: trying again in %s", err, pause)
	}
	if o.wait != nil {
		ro.Wait, ro.WaitFor = true, time.Duration(*o.wait)
	}
	began := time.Now()
	err := e.Restore(ctx, h.dir, args[0], args[1], ro)
	switch {
	case errors.Is(err, ErrAbsent):
		h.note("%v", err)
		return ExitAbsent
	case err == nil:
		h.note("restored %s in %s", args[0], time.Since(began).Round(time.Millisecond))
	}
	return h.end(err)
}

// do runs the commands of the operator.
func (h *hook) do(ctx context.Context, in *Instance, args []string, o options) int {
	limit := tryBase
	switch h.command {
	case "audit", "push-missing":
		return h.inspect(ctx, in, o)
	case "status", "check":
		limit = statusTime
	case "cleanup":
		limit = time.Hour
	}
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("the target took longer than %s", limit))
	defer cancel()
	var err error
	switch h.command {
	case "init":
		err = h.init(ctx, in, o)
	case "status":
		return h.printStatus(in.Status(ctx, o.local))
	case "check":
		err = h.check(ctx, in, o.target)
	case "cleanup":
		var n int
		if n, err = in.Cleanup(ctx, args[0]); n > 0 {
			h.say("%d segments before %s removed from the archive", n, args[0])
		}
	}
	return h.end(err)
}

// check sees whether every target can be used, or the one of a name. Of all of them, one
// that is not required may be away.
func (h *hook) check(ctx context.Context, in *Instance, name string) error {
	var errs []error
	known := name == ""
	for _, t := range in.Config.Targets {
		if name != "" && t.Name != name {
			continue
		}
		known = true
		err := in.links.use(ctx, t, func(s *site) error {
			_, err := s.status(ctx)
			return err
		})
		if err != nil && name == "" && !t.Required {
			h.say("%v", err)
			continue
		}
		errs = append(errs, err)
	}
	if !known {
		_, err := in.Config.target(name)
		return refuse("%w", err)
	}
	return errors.Join(errs...)
}

func (h *hook) init(ctx context.Context, in *Instance, o options) (err error) {
	if o.system == 0 {
		if o.system, err = h.config.systemIdentifier(); err != nil {
			return err
		}
	}
	if o.segmentSize == 0 {
		if o.segmentSize, err = segmentSize(h.config.DataDir); err != nil {
			return err
		}
	}
	var errs []error
	for _, t := range in.Config.Targets {
		if o.target == "" || o.target == t.Name {
			errs = append(errs, in.Init(ctx, t.Name, o.system, o.segmentSize, time.Now()))
		}
	}
	if len(errs) == 0 {
		_, err := in.Config.target(o.target)
		return refuse("%w", err)
	}
	return errors.Join(errs...)
}

// segmentSize is that of the segments in pg_wal.
func segmentSize(dataDir string) (int64, error) {
	entries, err := os.ReadDir(filepath.Join(dataDir, "pg_wal"))
	if err != nil {
		return 0, err
	}
	for _, e := range entries {
		f, err := postgres.ClassifyWALName(e.Name())
		if err != nil || f.Kind != postgres.WALSegment {
			continue
		}
		if st, err := e.Info(); err == nil && postgres.ValidSegmentSize(st.Size()) {
			return st.Size(), nil
		}
	}
	return 0, fmt.Errorf("no WAL segment lies in pg_wal of %s, so its size is not known: give --segment-size", dataDir)
}

func (h *hook) end(err error) int {
	if err == nil {
		return ExitOK
	}
	h.say("%v", err)
	var refused *RefusedError
	if h.command != "restore" && errors.As(err, &refused) {
		return ExitRefused
	}
	return h.failure()
}

func (h *hook) printStatus(r StatusReport) int {
	text, err := json.Marshal(r)
	if err == nil {
		_, err = fmt.Fprintf(h.stdout, "%s\n", text)
	}
	if err != nil {
		h.say("%v", err)
		return ExitFailed
	}
	return ExitOK
}
