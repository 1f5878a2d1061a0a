package node

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"pg_manage/executor/event"
	"pg_manage/executor/repo"
	"pg_manage/executor/repo/catalog"
	"pg_manage/executor/wal"
	"pg_manage/executor/wal/audit"
	"pg_manage/executor/wal/locate"
	"pg_manage/planner"
)

// Workers of what reads archives, where none are asked for.
const archiveWorkers = 2

// point is a recovery target in the planner's terms.
func (r Recovery) point() planner.RecoveryPoint {
	return planner.RecoveryPoint{Time: r.Time, LSN: r.LSN, XID: r.XID, Name: r.Name, Immediate: r.Immediate, Exclusive: r.Exclusive}
}

// locatePoint asks each archive for a recovery target.
func locatePoint(ctx context.Context, w Work, req *LocateRequest) (*LocateResult, error) {
	a, c, err := enterPlace(ctx, req.Place, req.StateDir)
	if err != nil {
		return nil, err
	}
	defer c.close()
	entries, err := c.List(ctx)
	if err != nil {
		return nil, err
	}
	q := planner.RecoveryQuery{Backups: facts(entries), Backup: req.Backup, Point: req.Recovery.point(), Timeline: req.Recovery.Timeline}
	needed := slices.ContainsFunc(entries, func(e catalog.Entry) bool { return e.WAL != catalog.WALIncluded }) // an archive, by some backup
	res := &LocateResult{Version: Version, Archives: []planner.ArchiveWAL{}, Found: []planner.WALPosition{}}
	if len(req.Archives) == 0 {
		res.Archives = append(res.Archives, planner.ArchiveWAL{}) // which says that there is none
	}
	for _, t := range req.Archives {
		archived, found, err := a.locate(ctx, w, req, t, q)
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		switch {
		case err == nil:
		case wal.IsNotInitialised(err) && !needed: // the source is a cluster without an archive
			archived = planner.ArchiveWAL{}
		default:
			archived = planner.ArchiveWAL{Target: t.Name, Error: err.Error()}
		}
		res.Archives = append(res.Archives, archived)
		if len(res.Found) == 0 { // positions are the same in every archive
			res.Found = append(res.Found, found...)
		}
	}
	return res, nil
}

func (a *access) locate(ctx context.Context, w Work, req *LocateRequest, t repo.Target, q planner.RecoveryQuery) (planner.ArchiveWAL, []planner.WALPosition, error) {
	archive, done, err := wal.OpenArchive(ctx, t, req.Place.Cluster, 0, a.open)
	if err != nil {
		return planner.ArchiveWAL{}, nil, err
	}
	defer done()
	workers := req.Workers
	if workers <= 0 {
		workers = archiveWorkers
	}
	p := progress{w: w}
	p.notice("looking into the archive at " + t.Name)
	report, err := audit.Check(ctx, archive, audit.Options{Quick: true, Workers: workers})
	if err != nil {
		return planner.ArchiveWAL{}, nil, err
	}
	if q.Archive, err = locate.Facts(report); err != nil {
		return planner.ArchiveWAL{}, nil, err
	}
	err = locate.Resolve(ctx, archive, &q, locate.Options{Workers: workers, Progress: func(done, total int) {
		p.say(event.Event{Type: event.Progress, Message: fmt.Sprintf("target %s: read %d of %d segments", t.Name, done, total)})
	}})
	var refused *planner.RecoveryRefusal
	if err != nil && !errors.As(err, &refused) { // a refusal the planner finds again, and says it of all archives
		return planner.ArchiveWAL{}, nil, err
	}
	return q.Archive, q.Point.Found, nil
}
