package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"pg_manage/executor/basebackup/recovery"
	"pg_manage/executor/basebackup/restore"
	"pg_manage/executor/event"
	"pg_manage/executor/repo/storage"
)

// restoreFiles puts the files of a backup into a data directory.
func restoreFiles(ctx context.Context, w Work, req *RestoreRequest) (*RestoreResult, error) {
	a, err := enter(req.Place.Cluster, "", req.DataDir, req.StateDir)
	if err != nil {
		return nil, err
	}
	if req.DataDir == "" {
		return nil, misuse("data_dir is empty")
	}
	if err := os.MkdirAll(req.StateDir, 0o700); err != nil {
		return nil, err
	}
	c, err := a.catalog(ctx, req.Place)
	if err != nil {
		return nil, err
	}
	defer c.close()
	p := progress{w: w}
	var ready func(string) error
	if req.Hold {
		ready = recovery.Hold
	}
	r, err := restore.Restore(ctx, restore.Options{
		Catalog: c.Catalog, Label: req.Label, DataDir: req.DataDir, Delta: req.Delta, KeepFiles: req.KeepFiles, Tablespaces: req.Tablespaces, WALDir: req.WALDir,
		Workers: req.Workers, SystemIdentifier: req.SystemIdentifier, TempDir: req.StateDir, Progress: p.at, Notice: p.notice, Ready: ready,
	})
	if err != nil {
		if _, gone := c.Info(ctx, req.Label); errors.Is(gone, storage.ErrNotExist) {
			err = fmt.Errorf("%s is not at the target, or was removed while it was restored: choose another: %w", req.Label, err)
		}
		return nil, err
	}
	return &RestoreResult{
		Version: Version, Label: r.Label, Chain: r.Chain, Files: r.Files, Bytes: r.Bytes, Fetched: r.Fetched, Written: r.Written, Removed: r.Removed,
		Resumed: r.Resumed, OldWAL: r.OldWAL, Elapsed: r.Elapsed,
	}, nil
}

// progress turns what an engine tells into events.
type progress struct {
	w Work

	mu   sync.Mutex
	said time.Time
}

func (p *progress) at(done, total int64) {
	p.say(event.Event{Type: event.Progress, Done: done, Total: total})
}

// say tells of progress, though not too often.
func (p *progress) say(e event.Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	e.Time = time.Now()
	if e.Time.Sub(p.said) < 100*time.Millisecond && (e.Total == 0 || e.Done < e.Total) {
		return
	}
	p.said = e.Time
	p.w.Events.Emit(e)
}

func (p *progress) notice(text string) {
	p.w.Events.Emit(event.Event{Time: time.Now(), Type: event.Notice, Message: text})
}
