package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"pg_manage/cmd/internal/view"
	"pg_manage/executor"
	"pg_manage/executor/event"
	"pg_manage/executor/node"
	"pg_manage/executor/observe"
	"pg_manage/planner"
	"pg_manage/schema"
)

// keeper is the node through which the base backups of a cluster are seen and handled;
// node is nil when there is none, and err says why it cannot be used.
type keeper struct {
	cluster *schema.Cluster
	node    *schema.Node
	facts   *planner.NodeFacts
	err     error
}

func (k keeper) nodeName() string {
	if k.node == nil {
		return ""
	}
	return k.node.Name
}

// where is how messages call the work of the node.
func (k keeper) where() string { return planner.StepID(k.cluster.Name, k.nodeName()) }

// atMostOneCluster wants the name of a cluster, or none.
func atMostOneCluster(command string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) > 1 {
			return &hintedError{command + " takes one cluster", fmt.Sprintf("Write `pg_manage %s CLUSTER`.", command)}
		}
		return nil
	}
}

// oneLabel wants the label of a backup.
func oneLabel(command string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) != 1 {
			return &hintedError{command + " takes the label of one backup", fmt.Sprintf("Write `pg_manage %s LABEL`; `pg_manage backups` lists the labels.", command)}
		}
		return nil
	}
}

// backedUp loads the clusters that have base backups: the named one, or all.
func (a *app) backedUp(cmd *cobra.Command, names []string) (*schema.Config, error) {
	cfg, err := a.load(cmd)
	if err != nil {
		return nil, err
	}
	if cfg, err = only(cfg, names); err != nil {
		return nil, err
	}
	out := *cfg
	out.Clusters = slices.DeleteFunc(slices.Clone(cfg.Clusters), func(c *schema.Cluster) bool { return len(c.Backups) == 0 })
	if len(out.Clusters) == 0 {
		return nil, &hintedError{"no cluster here has base backups", "Add backup \"NAME\" { target = \"...\" } to a cluster block."}
	}
	return &out, nil
}

// keepers looks at the clusters, and chooses who handles the backups of each.
func (a *app) keepers(cmd *cobra.Command, names []string) (*world, []keeper, error) {
	cfg, err := a.backedUp(cmd, names)
	if err != nil {
		return nil, nil, err
	}
	w := a.newWorld(cfg)
	if err := w.observeWith(cmd.Context(), observe.Options{AskArchive: observe.AskNever}); err != nil {
		w.close()
		return nil, nil, err
	}
	var out []keeper
	for _, c := range cfg.Clusters {
		out = append(out, chooseKeeper(c, w.observed))
	}
	return w, out, nil
}

// usable says why our program cannot be called on a node; nil when it can.
func usable(f *planner.NodeFacts) error {
	switch {
	case f == nil:
		return errors.New("it was not looked at")
	case f.Unreachable != "":
		return errors.New("unreachable: " + f.Unreachable)
	case f.Host.Installed["pg_manage"] == "":
		return errors.New("the programs are not on the node: run `pg_manage apply`")
	}
	return nil
}

// chooseKeeper takes the primary where it can be asked, since that has surely all keys;
// else the first node that can.
func chooseKeeper(c *schema.Cluster, obs *planner.Observed) keeper {
	k := keeper{cluster: c}
	var why []string
	for _, n := range c.Nodes {
		f := obs.Node(c.Name, n.Name)
		if err := usable(f); err != nil {
			why = append(why, n.Name+": "+err.Error())
			continue
		}
		if k.node == nil || f.Server.Accepting && !f.Server.InRecovery {
			k.node, k.facts = n, f
		}
	}
	if k.node == nil {
		k.err = fmt.Errorf("no node of it can be asked; %s", strings.Join(why, "; "))
	}
	return k
}

// targets are those of the cluster's backup rules, each once.
func (k keeper) targets() []*schema.Target {
	var out []*schema.Target
	for _, r := range k.cluster.Backups {
		if !slices.Contains(out, r.Target) {
			out = append(out, r.Target)
		}
	}
	return out
}

// call runs a command of package node there, and shows its progress.
func (a *app) call(ctx context.Context, w *world, k keeper, command string, request, result any) error {
	if a.json || a.quiet {
		return a.callWith(ctx, w, k, command, request, result, nil)
	}
	task := view.NewTask(a.stderr, a.style(a.stderr), k.where(), a.now)
	defer task.Finish()
	return a.callWith(ctx, w, k, command, request, result, task)
}

func (a *app) callWith(ctx context.Context, w *world, k keeper, command string, request, result any, sink event.Sink) error {
	if k.err != nil {
		return k.err
	}
	h, err := w.Host(ctx, k.cluster, k.node)
	if err != nil {
		return err
	}
	return executor.CallNode(ctx, h, k.facts.Paths, k.facts.Host.Owner, executor.NodeCall{Command: command, Request: request, Result: result, Sink: sink})
}

// catalogs asks all targets of a cluster which backups they have. Every target has an
// entry; one that could not be asked has the reason.
func (a *app) catalogs(ctx context.Context, w *world, k keeper) []planner.CatalogFact {
	targets := k.targets()
	req := node.CatalogRequest{Version: node.Version}
	for _, t := range targets {
		req.Places = append(req.Places, node.PlaceOf(k.cluster.Name, t))
	}
	if k.facts != nil {
		req.StateDir = k.facts.Paths.State
	}
	var res node.CatalogResult
	err := a.call(ctx, w, k, "catalog", req, &res)
	out := make([]planner.CatalogFact, len(targets))
	for i, t := range targets {
		out[i] = planner.CatalogFact{Target: t.Name}
		at := slices.IndexFunc(res.Catalogs, func(c planner.CatalogFact) bool { return c.Target == t.Name })
		switch {
		case at >= 0:
			out[i] = res.Catalogs[at]
		case err != nil:
			out[i].Error = err.Error()
		default:
			out[i].Error = "the node said nothing of it"
		}
	}
	return out
}

// foundBackup is a backup, and where it is.
type foundBackup struct {
	keeper
	target  *schema.Target
	catalog planner.CatalogFact
	fact    *planner.BackupFact
}

func (f foundBackup) place() node.Place { return node.PlaceOf(f.cluster.Name, f.target) }

// chain is the labels of the backups that it rests on, oldest first.
func (f foundBackup) chain() []string {
	var out []string
	for label := f.fact.Parent; label != ""; {
		at := slices.IndexFunc(f.catalog.Backups, func(b planner.BackupFact) bool { return b.Label == label })
		if slices.Contains(out, label) {
			break
		}
		out = append(out, label)
		if label = ""; at >= 0 {
			label = f.catalog.Backups[at].Parent
		}
	}
	slices.Reverse(out)
	return out
}

// findBackup finds the one backup of a label, among the clusters of the command line and at
// the target of that name, where one is given.
func (a *app) findBackup(cmd *cobra.Command, label, target string) (*world, foundBackup, error) {
	w, keepers, err := a.keepers(cmd, nil)
	if err != nil {
		return nil, foundBackup{}, err
	}
	f, err := a.findAmong(cmd.Context(), w, keepers, label, target)
	if err != nil {
		w.close()
		return nil, foundBackup{}, err
	}
	return w, f, nil
}

func (a *app) findAmong(ctx context.Context, w *world, keepers []keeper, label, target string) (foundBackup, error) {
	var hits []foundBackup
	var labels, unknown, places []string
	for _, k := range keepers {
		for i, c := range a.catalogs(ctx, w, k) {
			if target != "" && c.Target != target {
				continue
			}
			if !c.Known {
				unknown = append(unknown, fmt.Sprintf("%s at %s: %s", k.cluster.Name, c.Target, c.Error))
			}
			for j := range c.Backups {
				labels = append(labels, c.Backups[j].Label)
				if c.Backups[j].Label == label {
					hits = append(hits, foundBackup{k, k.targets()[i], c, &c.Backups[j]})
					places = append(places, fmt.Sprintf("--cluster %s --target %s", quote(k.cluster.Name), quote(c.Target)))
				}
			}
		}
	}
	if ctx.Err() != nil {
		return foundBackup{}, context.Cause(ctx)
	}
	switch {
	case len(hits) == 1:
		return hits[0], nil
	case len(hits) > 1:
		return foundBackup{}, &hintedError{fmt.Sprintf("several places have a backup %s", label), "Say which one is meant: " + strings.Join(places, ", or ") + "."}
	case len(unknown) > 0:
		return foundBackup{}, &hintedError{fmt.Sprintf("no backup %s was found, and not every target could be asked", label), strings.Join(unknown, "\n")}
	default:
		return foundBackup{}, &hintedError{fmt.Sprintf("there is no backup %q", label), suggest(label, labels, "") + "`pg_manage backups` lists the labels."}
	}
}
