package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"pg_manage/executor/repo/catalog"
	"pg_manage/executor/repo/storage"
	"pg_manage/executor/wal"
	"pg_manage/executor/wal/expire"
	"pg_manage/planner"
)

// clockSlack is how far apart clocks may be that age is judged by.
const clockSlack = time.Hour

// expireBackups removes exactly the backups that it is told, and then WAL that none needs.
// An error comes with a result of what went before it, when anything did.
func expireBackups(ctx context.Context, w Work, req *ExpireRequest) (*ExpireResult, error) {
	if here := time.Now(); req.Now.Sub(here) > clockSlack {
		return nil, fmt.Errorf("which backups are too old was judged at %s, and by the clock here it is %s: one of the two clocks is wrong; nothing was removed",
			req.Now.UTC().Format(time.RFC3339), here.UTC().Format(time.RFC3339))
	}
	a, c, err := enterPlace(ctx, req.Place, req.StateDir)
	if err != nil {
		return nil, err
	}
	defer c.close()
	entries, err := c.List(ctx)
	if err != nil {
		return nil, err
	}
	if err := expendable(facts(entries), req.Labels); err != nil {
		return nil, err
	}
	res := &ExpireResult{Version: Version, Removed: []string{}}
	for _, label := range req.Labels {
		if !req.DryRun {
			err := c.Remove(ctx, label)
			if errors.Is(err, storage.ErrNotExist) { // an earlier run was cut off behind it
				continue
			}
			if err != nil {
				return res, &FoundError{err.Error()}
			}
		}
		res.Removed = append(res.Removed, label)
	}
	if !req.DryRun {
		if err := c.Sweep(ctx, catalog.SweepAge); err != nil {
			return res, &FoundError{err.Error()}
		}
	}
	if req.WAL {
		if err := a.expireWAL(ctx, w, c, req, res); err != nil {
			return res, &FoundError{err.Error()}
		}
	}
	return res, nil
}

// expendable refuses to remove the newest whole backup of a cluster's life, the newest one
// without damaged pages, and what is pinned, before anything is removed. What others rest
// on Remove refuses itself.
func expendable(all []planner.BackupFact, labels []string) error {
	at := map[string]*planner.BackupFact{}
	for i := range all {
		x := &all[i]
		at[x.Label] = x
		if x.Pinned && slices.Contains(labels, x.Label) {
			return fmt.Errorf("%s stays: it is pinned; nothing was removed", x.Label)
		}
	}
	damaged := func(x *planner.BackupFact) bool {
		for n := 0; x != nil && n < len(all); n++ {
			if x.Damaged > 0 {
				return true
			}
			x = at[x.Parent]
		}
		return false
	}
	for i := range all {
		x := &all[i]
		sameLife := func(o *planner.BackupFact) bool {
			return o.SystemIdentifier == x.SystemIdentifier && o.Major() == x.Major()
		}
		sound := func(o *planner.BackupFact) bool { return sameLife(o) && !damaged(o) }
		if slices.Contains(labels, x.Label) && (planner.NewestBackup(all, sameLife) == x || planner.NewestBackup(all, sound) == x) {
			return fmt.Errorf("%s stays: it is the newest whole backup of the cluster with system identifier %s; nothing was removed", x.Label, x.SystemIdentifier)
		}
	}
	return nil
}

// facts are backups in the planner's terms.
func facts(entries []catalog.Entry) []planner.BackupFact {
	var out []planner.BackupFact
	for _, e := range entries {
		out = append(out, e.Fact())
	}
	return out
}

// expireWAL removes WAL from the archive at the request's target.
func (a *access) expireWAL(ctx context.Context, w Work, own *place, req *ExpireRequest, res *ExpireResult) error {
	var kept []catalog.Entry
	var begun []string
	add := func(p Place, c *place) error {
		// In one look: a backup that is completed between two would be in neither.
		entries, more, err := c.Needs(ctx)
		if err == nil && len(entries)+len(more) == 0 {
			err = refuseVanished(p, "", req.StateDir)
		}
		if err != nil {
			return err
		}
		for _, e := range entries {
			if c != own || !req.DryRun || !slices.Contains(req.Labels, e.Label) {
				kept = append(kept, e)
			}
		}
		begun = append(begun, more...)
		return nil
	}
	if len(req.All) == 0 {
		return misuse("all is empty: WAL goes only when it is known where all backups are")
	}
	if err := add(req.Place, own); err != nil {
		return err
	}
	for _, p := range req.All {
		if p.Target.Name == req.Place.Target.Name && p.Dir() == req.Place.Dir() {
			continue
		}
		c, err := a.catalog(ctx, p)
		if err == nil {
			err = add(p, c)
			c.close()
		}
		if err != nil {
			return fmt.Errorf("which WAL the backups at target %s need is not known, so none was removed: %w", p.Target.Name, err)
		}
	}
	system, err := systemOf(kept)
	if err != nil || system == 0 {
		res.WALStays = "there is no whole backup of this cluster"
		return err
	}
	archive, done, err := wal.OpenArchive(ctx, req.Place.Target, req.Place.Cluster, system, a.open)
	if err != nil {
		return err
	}
	defer done()
	p := progress{w: w}
	r, err := expire.Expire(ctx, archive, expire.Options{
		Kept: kept, Begun: begun, DryRun: req.DryRun,
		Progress: func(int, int64) { p.at(0, 0) },
	})
	if r != nil {
		res.Segments, res.Bytes, res.Last, res.WALStays = r.Files, r.Bytes, r.Last, r.Reason
	}
	return err
}

// systemOf is the system identifier of the newest whole backup, whose archive it must be; 0
// when there is none.
func systemOf(kept []catalog.Entry) (uint64, error) {
	newest := planner.NewestBackup(facts(kept), func(*planner.BackupFact) bool { return true })
	if newest == nil {
		return 0, nil
	}
	return strconv.ParseUint(newest.SystemIdentifier, 10, 64)
}
