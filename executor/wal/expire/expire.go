// Package expire removes WAL from an archive that no backup needs any more.
//
// Recovery from a backup reads WAL from where the backup began, on the backup's timeline
// and those that come from it. What is needed by none of the backups is what ends at or
// before the place where the first of them begins, on whatever timeline: an LSN says it
// for all timelines, as each goes on from where its parent was left. More is kept than
// needed where timelines were left that no backup leads to; nothing needed goes.
//
// History files stay: they are small, and tell timelines apart for ever. Backup history
// files and .partial files go with the segment of their name.
//
// What goes, goes in the order of its LSN and one after the other, each durably, so
// that what a crash leaves is an archive without a hole, which begins later.
package expire

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"golang.org/x/sync/errgroup"

	"pg_manage/executor/repo/catalog"
	"pg_manage/executor/repo/storage"
	"pg_manage/executor/wal/audit"
	"pg_manage/schema/postgres"
)

// Version of the JSON that Report is.
const Version = 1

// listers is how many directories are listed at once.
const listers = 8

// Options say what is needed.
type Options struct {
	// Kept are all backups of the cluster that the archive is of, at all targets, read after
	// the last of them was removed. The broken ones count too, since somebody may mend them.
	Kept []catalog.Entry
	// Begun are the backups that are being taken, or seem to be (see catalog.Needs): where
	// they begin is not known, and so nothing goes while there are any.
	Begun  []string
	DryRun bool // tell what would go, and remove nothing
	// Progress, unless nil, is told after each file how many are gone, and their stored bytes.
	Progress func(files int, bytes int64)
}

// Report is what Expire did, or with DryRun would do.
type Report struct {
	Version int          `json:"version"`
	Target  string       `json:"target"`
	DryRun  bool         `json:"dry_run"`
	Floor   postgres.LSN `json:"floor"`  // what ends here or before is needed by nobody; 0: that isn't known
	Reason  string       `json:"reason"` // why nothing may go; "" when something may
	Files   int          `json:"files"`  // that went
	Bytes   int64        `json:"bytes"`  // as stored
	First   string       `json:"first"`  // plain name of the first that went, "" when none did
	Last    string       `json:"last"`
	Error   string       `json:"error"` // what stopped it; what is counted is gone all the same
}

// Expire removes WAL that no kept backup needs. Without a kept backup that is whole it
// removes nothing. An error comes with a report of what was removed before.
func Expire(ctx context.Context, a audit.Archive, o Options) (*Report, error) {
	r := &Report{Version: Version, Target: a.Target, DryRun: o.DryRun}
	r.Floor, r.Reason = floor(a.SystemIdentifier, o.Kept, o.Begun)
	if r.Reason != "" {
		return r, nil
	}
	e := &expiry{a: &a, o: o, r: r}
	if err := e.run(ctx); err != nil {
		err = fmt.Errorf("removing WAL from the archive %s at %s: %w", a.Dir, a.Driver, err)
		r.Error = err.Error()
		return r, err
	}
	return r, nil
}

// floor is where the first of the backups of a cluster begins.
func floor(system uint64, kept []catalog.Entry, begun []string) (lsn postgres.LSN, reason string) {
	if len(begun) > 0 {
		return 0, fmt.Sprintf("the backup %s is being taken, or its writer died: which WAL it needs is not known", begun[0])
	}
	whole := false
	lsn = ^postgres.LSN(0)
	for _, e := range kept {
		if e.SystemIdentifier == "" || e.StartLSN == 0 {
			return 0, fmt.Sprintf("where the backup %s begins is not known (%s): remove it, or mend it", e.Label, e.Broken)
		}
		if e.SystemIdentifier != strconv.FormatUint(system, 10) {
			continue // of the cluster that was here before: its WAL is not in this archive
		}
		whole = whole || e.Broken == ""
		lsn = min(lsn, e.StartLSN)
	}
	if !whole {
		return 0, "there is no whole backup of this cluster"
	}
	return lsn, ""
}

// expiry is one run.
type expiry struct {
	a *audit.Archive
	o Options
	r *Report
}

// group is the directories of one stretch of 4 GiB of WAL, one for each timeline.
type group struct {
	log  uint32
	dirs []string
}

// file is a stored file that may go.
type file struct {
	dir, stored string
	wal         postgres.WALFile
	start       postgres.LSN
	size        int64
}

func (e *expiry) run(ctx context.Context) error {
	if !postgres.ValidSegmentSize(e.a.SegmentSize) {
		return fmt.Errorf("%d is no WAL segment size", e.a.SegmentSize)
	}
	top, err := e.a.Driver.List(ctx, e.a.Dir)
	if err != nil {
		return err
	}
	// A directory without it is no archive, or one whose share is not mounted.
	if !slices.ContainsFunc(top, func(i storage.Info) bool { return i.Name == audit.IdentityName }) {
		return fmt.Errorf("there is no %s", audit.IdentityName)
	}
	for _, g := range e.groups(top) {
		files, err := e.list(ctx, g)
		if err != nil {
			return err
		}
		for _, f := range files {
			if err := e.take(ctx, f); err != nil {
				return err
			}
		}
		e.tidy(ctx, g)
	}
	return nil
}

// groups sorts the directories that may hold what can go, the oldest first.
func (e *expiry) groups(top []storage.Info) []group {
	byLog := map[uint32]*group{}
	for _, i := range top {
		f, err := postgres.ClassifyWALName(i.Name + "00000000")
		if !i.Dir || err != nil || f.Kind != postgres.WALSegment || postgres.LSN(f.Log)<<32 >= e.r.Floor {
			continue
		}
		g := byLog[f.Log]
		if g == nil {
			g = &group{log: f.Log}
			byLog[f.Log] = g
		}
		g.dirs = append(g.dirs, i.Name)
	}
	out := make([]group, 0, len(byLog))
	for _, g := range byLog {
		out = append(out, *g)
	}
	slices.SortFunc(out, func(a, b group) int { return int(int64(a.log) - int64(b.log)) })
	return out
}

// list gives what can go of some directories, in the order of its LSN.
func (e *expiry) list(ctx context.Context, g group) ([]file, error) {
	found := make([][]file, len(g.dirs))
	eg, gctx := errgroup.WithContext(ctx)
	eg.SetLimit(listers)
	for i, dir := range g.dirs {
		eg.Go(func() error {
			all, err := e.a.Driver.List(gctx, e.a.Dir+"/"+dir)
			if errors.Is(err, storage.ErrNotExist) {
				return nil // another run was faster
			}
			for _, s := range all {
				if f, ok := e.expendable(dir, s); ok {
					found[i] = append(found[i], f)
				}
			}
			return err
		})
	}
	if err := eg.Wait(); err != nil {
		return nil, err
	}
	out := slices.Concat(found...)
	slices.SortFunc(out, func(a, b file) int {
		switch {
		case a.start != b.start:
			if a.start < b.start {
				return -1
			}
			return 1
		case a.wal.Timeline != b.wal.Timeline:
			return int(int64(a.wal.Timeline) - int64(b.wal.Timeline))
		}
		return before(a, b)
	})
	return out, nil
}

// before orders the files of one segment: those that say something of it go first.
func before(a, b file) int {
	if a.wal.Kind != b.wal.Kind {
		return int(b.wal.Kind) - int(a.wal.Kind)
	}
	if a.stored < b.stored {
		return -1
	}
	return 1
}

// expendable says whether a file lies wholly before the floor. What is none of the
// archive's files stays, and so does what lies in a wrong directory.
func (e *expiry) expendable(dir string, s storage.Info) (file, bool) {
	plain, _ := e.a.Split(s.Name)
	f, err := postgres.ClassifyWALName(plain)
	if err != nil || s.Dir || f.Kind == postgres.WALHistory || f.Name[:16] != dir {
		return file{}, false
	}
	start, err := f.Start(e.a.SegmentSize)
	if err != nil || start > e.r.Floor || e.r.Floor-start < postgres.LSN(e.a.SegmentSize) {
		return file{}, false
	}
	return file{dir: dir, stored: s.Name, wal: f, start: start, size: s.Size}, true
}

// take removes one file, and counts it.
func (e *expiry) take(ctx context.Context, f file) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if !e.o.DryRun {
		err := e.a.Driver.Remove(ctx, e.a.Dir+"/"+f.dir+"/"+f.stored)
		if errors.Is(err, storage.ErrNotExist) {
			return nil // another run was faster
		}
		if err != nil {
			return err
		}
	}
	if e.r.Files == 0 {
		e.r.First = f.wal.Name
	}
	e.r.Last = f.wal.Name
	e.r.Files++
	e.r.Bytes += f.size
	if e.o.Progress != nil {
		e.o.Progress(e.r.Files, e.r.Bytes)
	}
	return nil
}

// tidy removes directories that are empty now and get no more files. One that stays, for
// whatever reason, does no harm.
func (e *expiry) tidy(ctx context.Context, g group) {
	if last := postgres.LSN(g.log)<<32 | 0xFFFFFFFF; e.o.DryRun || last >= e.r.Floor {
		return
	}
	for _, dir := range g.dirs {
		_ = e.a.Driver.Remove(ctx, e.a.Dir+"/"+dir)
	}
}
