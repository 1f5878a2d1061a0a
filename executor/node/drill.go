package node

import (
	"context"
	"fmt"
	"os"

	"pg_manage/executor/basebackup/recovery"
)

// drill restores a backup for trial.
func drill(ctx context.Context, w Work, req *DrillRequest) (*DrillResult, error) {
	a, err := enter(req.Place.Cluster, req.Node, "", req.StateDir)
	if err != nil {
		return nil, err
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
	s := req.Server
	r, err := recovery.Drill(ctx, recovery.Options{
		Catalog: c.Catalog, Label: req.Label, Cluster: req.Place.Cluster, Node: req.Node, SystemIdentifier: req.SystemIdentifier, Archives: req.Archives,
		DataDir: s.DataDir, Scratch: req.Scratch, BinDir: s.BinDir, User: s.User, Major: s.Major, Preload: req.Preload, StateDir: req.StateDir,
		Workers: req.Workers, Keep: req.Keep, ToolVersion: w.ToolVersion, Progress: p.at, Notice: p.notice,
	})
	if err != nil {
		return nil, err
	}
	res := &DrillResult{Version: Version, Label: r.Label, Proven: r.Proven, Checked: r.Checked, Problems: r.Problems, Scratch: r.Scratch, Elapsed: r.Elapsed}
	if len(r.Problems) > 0 {
		return res, &FoundError{fmt.Sprintf("the backup %s does not prove good", r.Label)}
	}
	return res, nil
}
