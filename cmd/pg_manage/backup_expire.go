package main

import (
	"context"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"pg_manage/cmd/internal/view"
	"pg_manage/executor/node"
	"pg_manage/planner"
	"pg_manage/schema"
	"pg_manage/schema/postgres"
)

// expireOptions are the flags of backup expire.
type expireOptions struct {
	target      string
	dryRun      bool
	autoApprove bool
	lockTimeout time.Duration
}

func (a *app) backupExpire() *cobra.Command {
	var o expireOptions
	cmd := &cobra.Command{
		Use:   "expire [CLUSTER]",
		Short: "Remove the base backups that no rule keeps, and WAL that none needs",
		Long: `Shows which base backups the keep blocks let go and which stay, each with the reason,
asks, and removes them, with the WAL at the same target that what stays does not need. What
a rule or a pin keeps, what another backup rests on and the newest whole backup stay in
any case. A target that could not be asked is left alone.`,
		Args: atMostOneCluster("backup expire"),
		RunE: func(cmd *cobra.Command, args []string) error {
			w, keepers, err := a.keepers(cmd, args)
			if err != nil {
				return err
			}
			defer w.close()
			return a.expire(cmd.Context(), &o, w, keepers)
		},
	}
	f := cmd.Flags()
	a.vars.flags(f)
	f.StringVar(&o.target, "target", "", "only at the target `NAME`")
	f.BoolVarP(&o.dryRun, "dry-run", "n", false, "only tell what would go")
	f.BoolVar(&o.autoApprove, "auto-approve", false, "do not ask")
	f.DurationVar(&o.lockTimeout, "lock-timeout", 0, "how long to wait for another run that holds a cluster's lock, such as 2m")
	return cmd
}

// expiry is what is to go from one target.
type expiry struct {
	keeper
	target *schema.Target
	at     int // in the page
}

func (a *app) expire(ctx context.Context, o *expireOptions, w *world, keepers []keeper) error {
	page := view.ExpirePage{FormatVersion: view.FormatVersion, DryRun: o.dryRun, Targets: []view.ExpireTarget{}}
	var todo []expiry
	for _, k := range keepers {
		timelines := a.timelines(ctx, w, k)
		for i, c := range a.catalogs(ctx, w, k) {
			if o.target != "" && o.target != c.Target {
				continue
			}
			e := expiry{k, k.targets()[i], len(page.Targets)}
			t := retire(k, c, timelines, a.now())
			if t.Error == "" && (len(t.Remove) > 0 || k.cluster.Archived()) {
				a.callExpire(ctx, w, e, &t, true)
				todo = append(todo, e)
			}
			page.Targets = append(page.Targets, t)
		}
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	page.Complete = complete(page)
	if o.dryRun || page.Nothing() {
		if err := a.show(page, func() { view.ExpirePlanHuman(a.stdout, a.style(a.stdout), page) }); err != nil {
			return err
		}
		return incomplete(page)
	}
	if !a.json && (!a.quiet || !o.autoApprove) { // nobody is asked about what is not shown
		view.ExpirePlanHuman(a.stdout, a.style(a.stdout), page)
	}
	if err := a.approve(ctx, o.autoApprove, "backup expire", "\nRemove these for good? Only \"yes\" is accepted: "); err != nil {
		return err
	}
	for _, e := range todo {
		t := &page.Targets[e.at]
		if t.Error != "" || ctx.Err() != nil {
			continue
		}
		held, release, err := a.hold(ctx, w, e.cluster, "backup expire", o.lockTimeout)
		if err != nil {
			t.Error = err.Error()
			continue
		}
		a.callExpire(held, w, e, t, false)
		release()
	}
	page.Complete = complete(page)
	if err := a.show(page, func() { view.ExpiredHuman(a.stdout, a.style(a.stdout), page) }); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return incomplete(page)
}

func complete(p view.ExpirePage) bool {
	return !slices.ContainsFunc(p.Targets, func(t view.ExpireTarget) bool {
		return t.Error != "" || slices.ContainsFunc(t.WAL, func(w view.ExpireWAL) bool { return w.Error != "" })
	})
}

func incomplete(p view.ExpirePage) error {
	if !p.Complete {
		return &exitStatus{code: exitError}
	}
	return nil
}

// approve asks for a plain yes, unless it was given beforehand.
func (a *app) approve(ctx context.Context, given bool, command, question string) error {
	if given {
		return nil
	}
	if !a.person || a.json {
		return &hintedError{command + " needs consent, and there is no terminal to ask at", "Nothing was done. Run it at a terminal, or look with --dry-run and then give --auto-approve."}
	}
	got, err := (&answers{a: a}).ask(ctx, question)
	if err != nil {
		return err
	}
	if got != "yes" {
		return &hintedError{command + " was not approved", "Nothing was done."}
	}
	return nil
}

// retire decides which backups of a target go. Those of another cluster, which has the same
// name and place by mistake, are not this one's to judge.
func retire(k keeper, cat planner.CatalogFact, timelines []planner.WALTimeline, now time.Time) view.ExpireTarget {
	c, own := k.cluster, ""
	if k.facts != nil {
		own = k.facts.Data.SystemIdentifier
	}
	t := view.ExpireTarget{Cluster: c.Name, Target: cat.Target, Keep: []view.ExpireVerdict{}, Remove: []view.ExpireVerdict{}, Removed: []string{}, WAL: []view.ExpireWAL{}}
	if !cat.Known {
		t.Error = cat.Error
		return t
	}
	in := planner.RetentionInput{Now: now, Timelines: timelines}
	for _, b := range cat.Backups {
		if own == "" || b.SystemIdentifier == "" || b.SystemIdentifier == own {
			in.Backups = append(in.Backups, b)
			continue
		}
		t.Keep = append(t.Keep, view.ExpireVerdict{Label: b.Label, StoredBytes: b.Stored, Why: []string{"of another cluster, with system identifier " + b.SystemIdentifier}})
	}
	for _, r := range c.Backups {
		if r.Target.Name == cat.Target {
			in.Rules = planner.KeepRules(c, r.Target)
		}
	}
	r := planner.Retain(in)
	stored := map[string]int64{}
	for i := range cat.Backups {
		stored[cat.Backups[i].Label] = cat.Backups[i].Stored
	}
	for _, k := range slices.Backward(r.Kept) {
		t.Keep = append(t.Keep, view.ExpireVerdict{Label: k.Label, StoredBytes: stored[k.Label], Why: k.Reasons})
	}
	for _, label := range r.Expired {
		t.Remove = append(t.Remove, view.ExpireVerdict{Label: label, StoredBytes: stored[label], Why: []string{"no rule keeps it"}})
		t.FreedBytes += stored[label]
	}
	return t
}

// callExpire lets the node remove exactly what was shown, or say what that would be. The WAL
// of archives at targets without backups goes along with the first target.
func (a *app) callExpire(ctx context.Context, w *world, e expiry, t *view.ExpireTarget, dryRun bool) {
	req := node.ExpireRequest{Version: node.Version, Place: node.PlaceOf(e.cluster.Name, e.target), Labels: []string{}, DryRun: dryRun, StateDir: e.facts.Paths.State, Now: a.now()}
	for _, v := range t.Remove {
		req.Labels = append(req.Labels, v.Label)
	}
	targets := e.targets()
	for _, x := range targets {
		req.All = append(req.All, node.PlaceOf(e.cluster.Name, x))
	}
	others := []*schema.Target{}
	for _, x := range e.cluster.Archives {
		switch {
		case x.Target == e.target:
			req.WAL = true
		case !slices.Contains(targets, x.Target) && e.target == targets[0]:
			others = append(others, x.Target)
		}
	}
	t.WAL = []view.ExpireWAL{}
	ask := func(target *schema.Target) error {
		var res node.ExpireResult
		err := a.call(ctx, w, e.keeper, "expire", req, &res)
		if !dryRun {
			t.Removed = append(t.Removed, res.Removed...)
		}
		if res.Segments > 0 || res.WALStays != "" {
			t.WAL = append(t.WAL, view.ExpireWAL{Target: target.Name, Segments: int64(res.Segments), Bytes: res.Bytes, Last: res.Last, Stays: res.WALStays})
		}
		return err
	}
	if err := ask(e.target); err != nil {
		t.Error = err.Error()
		return
	}
	req.Labels, req.WAL = []string{}, true
	for _, x := range others {
		req.Place = node.PlaceOf(e.cluster.Name, x)
		if err := ask(x); err != nil {
			t.WAL = append(t.WAL, view.ExpireWAL{Target: x.Name, Error: err.Error()})
		}
	}
}

// timelines are what the archives' history files tell; none where they cannot be asked.
func (a *app) timelines(ctx context.Context, w *world, k keeper) []planner.WALTimeline {
	var out []planner.WALTimeline
	if !k.cluster.Archived() || k.err != nil || k.facts.Files.HookConfig == "" {
		return nil
	}
	r := archiveReader{cluster: k.cluster, node: k.node, facts: k.facts}
	for _, x := range a.audit(ctx, w, r, true) {
		for _, t := range x.Timelines {
			known := slices.ContainsFunc(out, func(o planner.WALTimeline) bool { return uint32(o.Timeline) == t.Timeline })
			fork, err := postgres.ParseLSN(t.ForkLSN)
			if !known && (t.Parent == 0 || err == nil) {
				out = append(out, planner.WALTimeline{Timeline: postgres.Timeline(t.Timeline), Parent: postgres.Timeline(t.Parent), Fork: fork})
			}
		}
	}
	return out
}
