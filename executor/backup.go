package executor

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"pg_manage/executor/event"
	"pg_manage/executor/instance"
	"pg_manage/executor/node"
	"pg_manage/executor/observe"
	"pg_manage/executor/repo"
	"pg_manage/planner"
	"pg_manage/schema"
)

// place is where a step's backups lie, as the node's side has it.
func place(p planner.BackupPlace) node.Place {
	return node.Place{Target: repo.Target(p.Target), BackupDir: p.BackupDir, Cluster: p.Cluster}
}

func targets(list []planner.HookTarget) []repo.Target {
	var out []repo.Target
	for _, t := range list {
		out = append(out, repo.Target(t))
	}
	return out
}

// callNode runs a command of our program on the step's node, and shows its progress.
func (w *work) callNode(ctx context.Context, command string, request, result any, sink event.Sink) error {
	in := w.in
	if sink == nil {
		sink = &relay{w: w}
	}
	return CallNode(ctx, in.Host, planner.Paths{Tool: in.Tool, State: in.State}, in.Owner, NodeCall{Command: command, Request: request, Result: result, Sink: sink})
}

// server is the step's instance as the node's side knows it.
func (w *work) server() node.Server {
	in := w.in
	return node.Server{DataDir: in.DataDir, BinDir: in.BinDir, SocketDir: in.SocketDir, Port: in.Port, User: in.Owner, Major: in.Major}
}

// relay hands what the node tells on as what the step does.
type relay struct {
	w          *work
	newSegment func(lsn string) // called when the primary is to begin a new WAL segment; may be nil
}

// Emit takes an event of the node.
func (r *relay) Emit(e event.Event) {
	switch e.Type {
	case event.Progress:
		message := r.w.step.Summary
		if e.Message != "" {
			message += ": " + e.Message
		}
		r.w.emitStep(r.w.step, event.Event{Type: event.Progress, Message: message, Done: e.Done, Total: e.Total})
	case event.Notice:
		r.w.notice(r.w.step, "%s", e.Message)
	case event.NeedWALSwitch:
		if r.newSegment != nil {
			r.newSegment(e.Message)
		}
	}
}

// backup takes a base backup. Where it is taken on a standby the primary is made to begin
// a new WAL segment, so that the last WAL of the backup gets into the archive.
func (w *work) backup(ctx context.Context, d planner.BackupDetail) error {
	req := node.BackupRequest{
		Version: node.Version, Place: place(d.Place), Archives: targets(d.Archives), Node: w.step.Node, Server: w.server(),
		SystemIdentifier: d.SystemIdentifier, Incremental: !d.Full, Workers: d.Workers, Rate: d.Rate, StateDir: w.in.State,
	}
	if req.SystemIdentifier == "" { // made by this very plan, so known only now
		req.SystemIdentifier = w.node(ctx, w.step.Cluster, w.step.Node).Data.SystemIdentifier
	}
	var switches sync.WaitGroup
	defer switches.Wait()
	sink := &relay{w: w, newSegment: func(lsn string) {
		switches.Go(func() {
			if err := w.switchWAL(ctx, d.Primary); err != nil && ctx.Err() == nil {
				w.notice(w.step, "%s could not be made to begin a new WAL segment, so the backup waits for %s until it does: %v", d.Primary, lsn, err)
			}
		})
	}}
	var res node.BackupResult
	if err := w.callNode(ctx, "backup", req, &res, sink); err != nil {
		return err
	}
	w.notice(w.step, "base backup %s is at %s", res.Backup.Label, d.Place.Target.Name)
	return nil
}

func (w *work) switchWAL(ctx context.Context, primary string) error {
	h, err := w.env.Host(ctx, w.step.Cluster, primary)
	if err != nil {
		return err
	}
	f := w.node(ctx, w.step.Cluster, primary)
	in := instance.New(h, planner.Instance{
		Owner: f.Host.Owner, Port: f.Server.Port, BinDir: f.Paths.BinDir, DataDir: f.Paths.DataDir, SocketDir: f.Paths.SocketDir, State: f.Paths.State,
	})
	_, err = in.SwitchWAL(ctx)
	return err
}

// expire removes the backups that the plan names, and no other, after another look whether
// the rules still let them go.
func (w *work) expire(ctx context.Context, d planner.ExpireDetail) error {
	f := w.node(ctx, w.step.Cluster, w.step.Node)
	cat := f.Catalog(d.Place)
	switch {
	case cat == nil:
		return fmt.Errorf("the base backups at %s could not be asked for, so none was removed", d.Place.Target.Name)
	case !cat.Known:
		return fmt.Errorf("the base backups at %s are not known, so none was removed: %s", d.Place.Target.Name, cat.Error)
	}
	if kept := d.Kept(cat, w.plan.Created); len(kept) > 0 {
		return fmt.Errorf("%s stays after all (%s): the backups at %s are not as the plan expected them; none was removed: plan again", kept[0].Label, strings.Join(kept[0].Reasons, ", "), d.Place.Target.Name)
	}
	req := node.ExpireRequest{Version: node.Version, Place: place(d.Place), WAL: d.WAL, All: w.backupPlaces(d.Place), StateDir: w.in.State, Now: w.plan.Created}
	for _, label := range d.Labels { // an earlier run may have removed some
		gone := planner.Condition{Node: w.step.Node, Fact: planner.FactListed, Arg: d.Place.Name() + " " + label, Want: "absent"}
		if gone.Check(f) != nil {
			req.Labels = append(req.Labels, label)
		}
	}
	var res node.ExpireResult
	err := w.callNode(ctx, "expire", req, &res, nil)
	if len(res.Removed) > 0 {
		w.notice(w.step, "removed %s", strings.Join(res.Removed, ", "))
	}
	if res.Segments > 0 {
		w.notice(w.step, "removed %d WAL segments from the archive at %s", res.Segments, d.Place.Target.Name)
	}
	return err
}

// backupPlaces are all places of the cluster's backups: those at the others need WAL too.
func (w *work) backupPlaces(own planner.BackupPlace) []node.Place {
	out := []node.Place{place(own)}
	if w.env.Config == nil {
		return out
	}
	for _, c := range w.env.Config.Clusters {
		if c.Name != w.step.Cluster {
			continue
		}
		for _, r := range c.Backups {
			if p := node.PlaceOf(c.Name, r.Target); !slices.ContainsFunc(out, func(o node.Place) bool { return o.Target.Name == p.Target.Name }) {
				out = append(out, p)
			}
		}
	}
	return out
}

// prove restores a backup for trial.
func (w *work) prove(ctx context.Context, d planner.ProveDetail) error {
	req := node.DrillRequest{
		Version: node.Version, Place: place(d.Place), Archives: targets(d.Archives), Label: d.Label, Server: w.server(),
		SystemIdentifier: d.SystemIdentifier, Workers: d.Workers, StateDir: w.in.State,
		Node: w.step.Node, Preload: node.Preload(w.node(ctx, w.step.Cluster, w.step.Node)),
	}
	var res node.DrillResult
	err := w.callNode(ctx, "drill", req, &res, nil)
	if len(res.Problems) > 0 {
		return fmt.Errorf("base backup %s at %s does not prove good: %s", res.Label, d.Place.Target.Name, strings.Join(res.Problems, "; "))
	}
	if err == nil {
		w.notice(w.step, "base backup %s at %s is proven", res.Label, d.Place.Target.Name)
	}
	return err
}

// stepPlace is the place whose catalogue the conditions of a step ask for.
func stepPlace(s *planner.Step) (node.Place, bool) {
	switch d := s.Detail.(type) {
	case planner.BackupDetail:
		return place(d.Place), true
	case planner.ExpireDetail:
		return place(d.Place), true
	case planner.ProveDetail:
		return place(d.Place), true
	case planner.RestoreDetail:
		return place(d.Source.Place), d.Source.Label == ""
	}
	return node.Place{}, false
}

// withCatalog makes every look at the step's node ask for its catalogue too, until the step is over.
func (r *runner) withCatalog(s *planner.Step) (over func()) {
	p, ok := stepPlace(s)
	if !ok {
		return func() {}
	}
	key := s.Cluster + "/" + s.Node
	r.mu.Lock()
	defer r.mu.Unlock()
	r.places[key] = append(r.places[key], p)
	delete(r.facts, key)
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		i := slices.IndexFunc(r.places[key], func(q node.Place) bool { return q.Dir() == p.Dir() && q.Target.Name == p.Target.Name })
		r.places[key] = slices.Delete(r.places[key], i, i+1)
		delete(r.facts, key)
	}
}

// askCatalogs adds to the facts of a node what its running steps ask for.
func (r *runner) askCatalogs(ctx context.Context, cluster, name string, f *planner.NodeFacts) {
	r.mu.Lock()
	places := slices.Clone(r.places[cluster+"/"+name])
	r.mu.Unlock()
	if len(places) == 0 || f.Unreachable != "" {
		return
	}
	h, err := r.env.Host(ctx, cluster, name)
	if err != nil {
		return // the conditions say that nobody asked
	}
	f.Catalogs = observe.Catalogs(ctx, h, f, places)
}

// recovery is where a restore ends, as the node's side has it.
func recovery(w schema.Restore) (node.Recovery, error) {
	p, err := planner.PointOf(w.RecoveryTarget)
	if err != nil {
		return node.Recovery{}, err
	}
	return node.Recovery{
		Time: p.Time, LSN: p.LSN, XID: p.XID, Name: p.Name, Immediate: p.Immediate, Exclusive: p.Exclusive, Timeline: w.Timeline,
	}, nil
}
