package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"pg_manage/executor/basebackup/verify"
	"pg_manage/executor/event"
	"pg_manage/executor/repo"
	"pg_manage/executor/repo/catalog"
	"pg_manage/executor/repo/storage"
	"pg_manage/executor/wal"
	"pg_manage/executor/wal/audit"
)

// verifyBackup reads a backup, and the WAL that it needs.
func verifyBackup(ctx context.Context, w Work, req *VerifyRequest) (*VerifyResult, error) {
	a, c, err := enterPlace(ctx, req.Place, req.StateDir)
	if err != nil {
		return nil, err
	}
	defer c.close()
	e, err := c.Info(ctx, req.Label)
	if err != nil {
		return nil, err
	}
	p := progress{w: w}
	report, err := verify.Verify(ctx, c.Catalog, req.Label, verify.Options{Workers: req.Workers, Ancestors: req.Chain, Progress: p.at})
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if report == nil {
		return nil, err
	}
	if err != nil || !report.Sound() {
		if _, gone := c.Info(ctx, req.Label); errors.Is(gone, storage.ErrNotExist) { // which is no damage
			return nil, fmt.Errorf("%s was removed while it was verified: nothing is known of what it held", req.Label)
		}
	}
	res := &VerifyResult{Version: Version, Backups: verified(report, e.Size), WAL: []VerifyWAL{}, Complete: err == nil}
	if e.WAL == catalog.WALArchived {
		for _, t := range req.Archives {
			res.WAL = append(res.WAL, a.verifyWAL(ctx, w, req.Place.Cluster, t, &e.Info))
		}
	}
	switch {
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case !res.Sound():
		return res, &FoundError{fmt.Sprintf("%s is damaged", req.Label)}
	case err != nil:
		return res, &FoundError{err.Error()}
	}
	return res, nil
}

// verified sorts damage by backup, the oldest first.
func verified(r *verify.Report, size int64) []VerifyBackup {
	var out []VerifyBackup
	for _, label := range slices.Backward(r.Backups) {
		out = append(out, VerifyBackup{Label: label, Problems: []VerifyProblem{}})
	}
	if len(out) == 0 {
		out = append(out, VerifyBackup{Label: r.Label, Problems: []VerifyProblem{}})
	}
	last := &out[len(out)-1]
	last.Files, last.Bytes, last.Stored = r.Files, size, r.Bytes
	for _, d := range r.Damages {
		p := VerifyProblem{Object: d.Object, Path: d.File, Detail: d.What}
		if d.Blocks > 0 {
			p.Chunk = &d.Block
			p.Detail = fmt.Sprintf("%s (%d of its blocks)", d.What, d.Blocks)
		}
		i := slices.IndexFunc(out, func(b VerifyBackup) bool { return b.Label == d.Backup })
		if i < 0 { // one that could not even be begun with
			out = slices.Insert(out, 0, VerifyBackup{Label: d.Backup, Problems: []VerifyProblem{}})
			i = 0
		}
		out[i].Problems = append(out[i].Problems, p)
	}
	if more := r.Damaged - int64(len(r.Damages)); more > 0 {
		last := &out[len(out)-1]
		last.Problems = append(last.Problems, VerifyProblem{Object: "backup.json", Detail: fmt.Sprintf("and %d more", more)})
	}
	return out
}

// verifyWAL reads the WAL from a backup's start to its stop in one archive.
func (a *access) verifyWAL(ctx context.Context, w Work, cluster string, t repo.Target, info *catalog.Info) VerifyWAL {
	out := VerifyWAL{Target: t.Name, Missing: []string{}, Damaged: []audit.Problem{}}
	r, err := a.readWAL(ctx, w, cluster, t, info)
	if err != nil {
		out.Error = err.Error()
		return out
	}
	out.From, out.To, out.Missing, out.Damaged = r.From, r.To, r.Missing, r.Damaged
	return out
}

func (a *access) readWAL(ctx context.Context, w Work, cluster string, t repo.Target, info *catalog.Info) (*audit.RangeReport, error) {
	system, err := strconv.ParseUint(info.SystemIdentifier, 10, 64)
	if err != nil {
		return nil, fmt.Errorf("backup.json of %s: the system identifier is %q", info.Label, info.SystemIdentifier)
	}
	archive, done, err := wal.OpenArchive(ctx, t, cluster, system, a.open)
	if err != nil {
		return nil, err
	}
	defer done()
	if archive.SegmentSize != info.SegmentSize {
		return nil, errors.New("its segments are not as long as those of the backup's server")
	}
	p := progress{w: w}
	return audit.CheckRange(ctx, archive, info.Timeline, info.StartLSN, info.StopLSN, func(done, total int) {
		p.say(event.Event{Type: event.Progress, Message: fmt.Sprintf("WAL at %s: read %d of %d segments", t.Name, done, total)})
	})
}
