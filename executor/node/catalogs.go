package node

import (
	"context"
	"sync"
	"time"

	"pg_manage/planner"
)

// catalogTime bounds how long one target is asked.
const catalogTime = 5 * time.Minute

// catalogs lists the backups at several places at once. A place that cannot be asked costs
// the others nothing.
func catalogs(ctx context.Context, _ Work, req *CatalogRequest) (*CatalogResult, error) {
	res := &CatalogResult{Version: Version, Catalogs: make([]planner.CatalogFact, len(req.Places))}
	var all sync.WaitGroup
	for i, p := range req.Places {
		a, err := enter(p.Cluster, "", "", req.StateDir)
		if err != nil {
			return nil, err
		}
		all.Go(func() { res.Catalogs[i] = a.fact(ctx, p) })
	}
	all.Wait()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return res, nil
}

func (a *access) fact(ctx context.Context, p Place) planner.CatalogFact {
	ctx, cancel := context.WithTimeout(ctx, catalogTime)
	defer cancel()
	f := planner.CatalogFact{Target: p.Target.Name, Cluster: p.Cluster}
	if err := a.list(ctx, p, &f); err != nil {
		return planner.CatalogFact{Target: p.Target.Name, Cluster: p.Cluster, Error: err.Error()}
	}
	f.Known = true
	return f
}

func (a *access) list(ctx context.Context, p Place, f *planner.CatalogFact) error {
	c, err := a.catalog(ctx, p)
	if err != nil {
		return err
	}
	defer c.close()
	entries, err := c.List(ctx)
	if err != nil {
		return err
	}
	f.Backups = facts(entries)
	f.Unfinished, err = c.Unfinished(ctx)
	return err
}

func pin(ctx context.Context, _ Work, req *PinRequest) (*PinResult, error) {
	return setPin(ctx, req, true)
}

func unpin(ctx context.Context, _ Work, req *PinRequest) (*PinResult, error) {
	return setPin(ctx, req, false)
}

func setPin(ctx context.Context, req *PinRequest, pinned bool) (*PinResult, error) {
	_, c, err := enterPlace(ctx, req.Place, req.StateDir)
	if err != nil {
		return nil, err
	}
	defer c.close()
	set := c.Unpin
	if pinned {
		set = c.Pin
	}
	if err := set(ctx, req.Label); err != nil {
		return nil, err
	}
	return &PinResult{Version: Version, Label: req.Label, Pinned: pinned}, nil
}
