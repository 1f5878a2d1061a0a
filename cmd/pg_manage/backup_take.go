package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"pg_manage/cmd/internal/view"
	"pg_manage/executor"
	"pg_manage/executor/event"
	"pg_manage/executor/instance"
	"pg_manage/executor/node"
	"pg_manage/planner"
	"pg_manage/schema"
)

func (k keeper) standby() bool {
	return k.facts != nil && k.facts.Server.Accepting && k.facts.Server.InRecovery
}

// source chooses the node that a backup is taken on.
func (o *backupOptions) source(c *schema.Cluster, rule *schema.Backup, obs *planner.Observed) (keeper, error) {
	want := o.from
	if want == "" {
		want = rule.From
	}
	if n := c.Node(want); n != nil {
		return o.able(c, n, obs)
	}
	var primaries, standbys []keeper
	var why []string
	for _, n := range c.Nodes {
		k, err := o.able(c, n, obs)
		switch {
		case err != nil:
			why = append(why, err.Error())
		case o.cold && n.Role == schema.RoleStandby, k.standby():
			standbys = append(standbys, k)
		default:
			primaries = append(primaries, k)
		}
	}
	// The one that is the least behind goes first.
	slices.SortStableFunc(standbys, func(x, y keeper) int {
		switch a, b := x.facts.Server.ReplayLSN, y.facts.Server.ReplayLSN; {
		case a > b:
			return -1
		case a < b:
			return 1
		}
		return 0
	})
	switch {
	case len(primaries) > 1 && want != "standby":
		return keeper{}, &hintedError{fmt.Sprintf("%d nodes of cluster %s are primary", len(primaries), c.Name), "Name the node to back up: --from NODE."}
	case want == "primary" && len(primaries) == 1:
		return primaries[0], nil
	case (want == "standby" || want == "prefer-standby") && len(standbys) > 0:
		return standbys[0], nil
	case want == "prefer-standby" && len(primaries) == 1:
		return primaries[0], nil
	case want != "primary" && want != "standby" && want != "prefer-standby":
		var all []string
		for _, n := range c.Nodes {
			all = append(all, n.Name)
		}
		return keeper{}, unknownName("node", want, append(all, "primary", "standby"))
	}
	return keeper{}, &hintedError{fmt.Sprintf("no node of cluster %s can be backed up as %s", c.Name, want), strings.Join(why, "\n")}
}

// able says whether a backup can be taken on a node.
func (o *backupOptions) able(c *schema.Cluster, n *schema.Node, obs *planner.Observed) (keeper, error) {
	f := obs.Node(c.Name, n.Name)
	k := keeper{cluster: c, node: n, facts: f, err: usable(f)}
	switch {
	case k.err != nil:
	case f.Data.State != planner.DataCluster:
		k.err = errors.New("it has no data directory")
	case o.cold && f.Server.Running:
		k.err = errors.New("the server runs: stop it for a cold backup, or leave --cold out")
	case !o.cold && !f.Server.Running:
		k.err = errors.New("the server does not run; --cold takes a backup of a stopped one")
	case !o.cold && !f.Server.Accepting:
		k.err = errors.New("the server does not answer: " + f.Server.Error)
	}
	if k.err != nil {
		k.err = fmt.Errorf("%s: %w", k.where(), k.err)
	}
	return k, k.err
}

// backupRequest is what the node is asked for.
func (a *app) backupRequest(cmd *cobra.Command, o *backupOptions, w *world, k, from keeper, rule *schema.Backup) (*node.BackupRequest, error) {
	f := from.facts
	port := f.Server.Port
	if port == 0 {
		port = from.node.Port
	}
	req := &node.BackupRequest{
		Version: node.Version, Place: node.PlaceOf(k.cluster.Name, rule.Target), Archives: node.ArchivesOf(k.cluster), Node: from.node.Name,
		Server:           node.Server{DataDir: f.Paths.DataDir, BinDir: f.Paths.BinDir, SocketDir: f.Paths.SocketDir, Port: port, User: f.Host.Owner, Major: f.Data.MajorVersion},
		SystemIdentifier: f.Data.SystemIdentifier, Cold: o.cold, Workers: o.workers, Rate: rule.Rate, Parent: o.parent, StateDir: f.Paths.State,
		Incremental: o.incr || o.parent != "",
	}
	if req.Workers == 0 {
		req.Workers = rule.Workers
	}
	if o.rate != "" {
		req.Rate, _ = schema.ParseSize(o.rate) // checked before
	}
	for _, n := range k.cluster.Nodes {
		other := w.observed.Node(k.cluster.Name, n.Name)
		if other == nil || other.Unreachable != "" || !other.Server.Accepting || other.Server.InRecovery || n == from.node {
			continue
		}
		if id := other.Data.SystemIdentifier; id != req.SystemIdentifier {
			return nil, &hintedError{
				fmt.Sprintf("%s has system identifier %s, and the primary %s has %s", from.where(), req.SystemIdentifier, n.Name, id),
				"They are not one cluster. Nothing was done.",
			}
		}
	}
	if o.full || req.Incremental || rule.FullEvery == 0 {
		return req, nil
	}
	// The block asks for a full backup now and then.
	for _, c := range a.catalogs(cmd.Context(), w, k) {
		if c.Target != rule.Target.Name {
			continue
		}
		if !c.Known {
			return nil, &hintedError{"whether a full backup is due is not known: " + c.Error, "Mend that, or say --full or --incremental."}
		}
		req.Incremental = slices.ContainsFunc(c.Backups, func(b planner.BackupFact) bool {
			return b.Kind == "full" && b.Broken == "" && b.Damaged == 0 && b.SystemIdentifier == req.SystemIdentifier && a.now().Sub(b.StartTime) < rule.FullEvery
		})
	}
	return req, nil
}

// hold takes a cluster for this run, on all of its nodes that can be reached.
func (a *app) hold(ctx context.Context, w *world, c *schema.Cluster, operation string, wait time.Duration) (context.Context, func(), error) {
	var nodes []executor.HeldNode
	for _, n := range c.Nodes {
		f := w.observed.Node(c.Name, n.Name)
		if f == nil || f.Unreachable != "" {
			continue
		}
		h, err := w.Host(ctx, c, n)
		if err != nil {
			return nil, nil, err
		}
		nodes = append(nodes, executor.HeldNode{Name: n.Name, Host: h, Owner: f.Host.Owner, State: f.Paths.State})
	}
	slices.SortFunc(nodes, func(x, y executor.HeldNode) int { return strings.Compare(x.Name, y.Name) })
	o := *lease(wait)
	o.Operation = operation
	return executor.Hold(ctx, nodes, o)
}

// takeBackup lets the node take the backup. The primary ends its WAL segment when a
// standby's backup asks for that.
func (a *app) takeBackup(ctx context.Context, w *world, from keeper, req *node.BackupRequest, res *node.BackupResult) error {
	var sink event.Sink = event.Discard{}
	if !a.json && !a.quiet {
		task := view.NewTask(a.stderr, a.style(a.stderr), from.where(), a.now)
		defer task.Finish()
		sink = task
	}
	var switches sync.WaitGroup
	defer switches.Wait()
	sw := &walSwitcher{Sink: sink, do: func() { switches.Go(func() { a.switchWAL(ctx, w, from.cluster, sink) }) }}
	return a.callWith(ctx, w, from, "backup", req, res, sw)
}

// walSwitcher looks for the event with which the backup of a standby asks for a new segment.
type walSwitcher struct {
	event.Sink
	do func()
}

// Emit hands an event on.
func (s *walSwitcher) Emit(e event.Event) {
	if e.Type == event.NeedWALSwitch {
		s.do()
		return
	}
	s.Sink.Emit(e)
}

func (a *app) switchWAL(ctx context.Context, w *world, c *schema.Cluster, sink event.Sink) {
	err := errors.New("no primary of it was seen")
	for _, n := range c.Nodes {
		f := w.observed.Node(c.Name, n.Name)
		if f == nil || f.Unreachable != "" || !f.Server.Accepting || f.Server.InRecovery {
			continue
		}
		h, herr := w.Host(ctx, c, n)
		if herr != nil {
			err = herr
			continue
		}
		in := instance.New(h, planner.Instance{Owner: f.Host.Owner, Major: f.Data.MajorVersion, Port: f.Server.Port, BinDir: f.Paths.BinDir, DataDir: f.Paths.DataDir, SocketDir: f.Paths.SocketDir, State: f.Paths.State})
		if _, err = in.SwitchWAL(ctx); err == nil {
			return
		}
	}
	sink.Emit(event.Event{Time: a.now(), Type: event.Notice, Cluster: c.Name, Message: "the primary could not be made to begin a new WAL segment, so the backup waits until it does: " + err.Error()})
}
