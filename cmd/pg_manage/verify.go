package main

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"pg_manage/cmd/internal/view"
	"pg_manage/executor/node"
	"pg_manage/executor/repo/catalog"
	"pg_manage/planner"
	"pg_manage/schema"
)

// verifyOptions are the flags and arguments of verify.
type verifyOptions struct {
	cluster string
	label   string // "" is the newest
	all     bool
	chain   bool
	drill   bool
	on      string
	scratch string
	keep    bool
	target  string
	workers int
}

func (a *app) verifyCommand() *cobra.Command {
	var o verifyOptions
	cmd := &cobra.Command{
		Use:   "verify [CLUSTER] [LABEL|newest]",
		Short: "Read base backups to the last byte, or prove them by a restore",
		Long: `Reads every byte of the newest base backup at each target, of the named one, or with --all
of all, and checks it against its checksums; and looks whether the WAL from its start to
its end is in the archive and whole. A standby or the primary does it, on the node.

With --drill the backup is restored to a scratch directory on the node instead, PostgreSQL
is started there without archiving anything, and pg_amcheck reads it. A backup that passes
counts as proven, which status and the plan know.

It exits with 1 when anything is damaged or missing, and names it, and also when it could
not look.

` + exitHelp,
		Args: func(_ *cobra.Command, args []string) error { return o.arguments(args) },
		RunE: func(cmd *cobra.Command, _ []string) error { return a.verify(cmd, &o) },
	}
	f := cmd.Flags()
	a.vars.flags(f)
	f.BoolVar(&o.all, "all", false, "all backups, not only the newest of each target")
	f.BoolVar(&o.chain, "chain", false, "also the backups that it rests on")
	f.BoolVar(&o.drill, "drill", false, "restore it to a scratch directory, start PostgreSQL on it and check it")
	f.StringVar(&o.on, "on", "", "the `NODE` that does it")
	f.StringVar(&o.scratch, "scratch", "", "with --drill: `DIR` on the node in which the scratch directory is made; else beside the data directory")
	f.BoolVar(&o.keep, "keep", false, "with --drill: leave the scratch directory there")
	f.StringVar(&o.target, "target", "", "only at the target `NAME`")
	f.IntVar(&o.workers, "workers", 0, "files read at a time: `N`")
	return cmd
}

// newest names the newest backup on a command line.
const newest = "newest"

// arguments tells a cluster's name from a label.
func (o *verifyOptions) arguments(args []string) error {
	const write = "Write `pg_manage verify CLUSTER`, `pg_manage verify CLUSTER LABEL` or `pg_manage verify LABEL`."
	if len(args) > 2 {
		return &hintedError{"verify takes a cluster and a label", write}
	}
	for i, arg := range args {
		switch {
		case arg == newest || catalog.ValidLabel(arg):
			if o.label != "" {
				return &hintedError{"verify takes one label", write}
			}
			o.label = arg
		case i == 0:
			o.cluster = arg
		default:
			return &hintedError{fmt.Sprintf("%q is no label of a backup", arg), "Labels look like 20261122T215500Z-node1-full; `pg_manage backups` lists them."}
		}
	}
	switch {
	case o.all && o.label != "":
		return &hintedError{"--all cannot stand beside a label", "Keep one of them."}
	case !o.drill && (o.scratch != "" || o.keep):
		return &hintedError{"--scratch and --keep go with --drill", "Without it nothing is restored."}
	case o.scratch != "" && !filepath.IsAbs(o.scratch):
		return &hintedError{fmt.Sprintf("--scratch %q is not an absolute path", o.scratch), "It is a directory on the node."}
	case o.workers < 0 || o.workers > 64:
		return &hintedError{fmt.Sprintf("--workers %d makes no sense", o.workers), "Write a number from 1 to 64."}
	}
	if o.label == newest {
		o.label = ""
	}
	return nil
}

func (a *app) verify(cmd *cobra.Command, o *verifyOptions) error {
	ctx := cmd.Context()
	var names []string
	if o.cluster != "" {
		names = []string{o.cluster}
	}
	w, keepers, err := a.keepers(cmd, names)
	if err != nil {
		return err
	}
	defer w.close()
	page := view.VerifyPage{FormatVersion: view.FormatVersion, Sound: true, Complete: true, Backups: []view.VerifyBackup{}}
	if o.label != "" {
		f, err := a.findAmong(ctx, w, keepers, o.label, o.target)
		if err != nil {
			return err
		}
		page.Backups = append(page.Backups, a.verifyOne(ctx, o, w, f))
	} else {
		for _, k := range keepers {
			page.Backups = append(page.Backups, a.verifyCluster(ctx, o, w, k)...)
		}
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	for _, b := range page.Backups {
		page.Sound = page.Sound && b.Sound()
		page.Complete = page.Complete && b.Complete()
	}
	if err := a.show(page, func() { view.VerifyHuman(a.stdout, a.style(a.stdout), page) }); err != nil {
		return err
	}
	if !page.Sound || !page.Complete {
		return &exitStatus{code: exitError}
	}
	return nil
}

// verifyCluster does the newest backup of each target, or all. That there is none is an error.
func (a *app) verifyCluster(ctx context.Context, o *verifyOptions, w *world, k keeper) []view.VerifyBackup {
	var out []view.VerifyBackup
	for i, c := range a.catalogs(ctx, w, k) {
		if o.target != "" && c.Target != o.target {
			continue
		}
		failed := view.VerifyBackup{Cluster: k.cluster.Name, Target: c.Target, Node: k.nodeName(), Problems: []view.VerifyProblem{}, WAL: []view.VerifyWAL{}}
		switch {
		case !c.Known:
			failed.Error = c.Error
			out = append(out, failed)
			continue
		case len(c.Backups) == 0:
			failed.Error = "there is no backup"
			out = append(out, failed)
			continue
		}
		first := len(c.Backups) - 1
		if o.all {
			first = 0
		}
		for j := first; j < len(c.Backups) && ctx.Err() == nil; j++ {
			out = append(out, a.verifyOne(ctx, o, w, foundBackup{k, k.targets()[i], c, &c.Backups[j]}))
		}
	}
	return out
}

// verifyOne lets a node read one backup, or restore it for a drill.
func (a *app) verifyOne(ctx context.Context, o *verifyOptions, w *world, f foundBackup) view.VerifyBackup {
	begun := a.now()
	out := view.VerifyBackup{Cluster: f.cluster.Name, Target: f.target.Name, Label: f.fact.Label, Problems: []view.VerifyProblem{}, WAL: []view.VerifyWAL{}}
	k, err := o.reader(f.keeper, w.observed)
	out.Node = k.nodeName()
	if err != nil {
		out.Error = err.Error()
		return out
	}
	if o.drill {
		a.drill(ctx, o, w, k, f, &out)
	} else {
		a.readBackup(ctx, o, w, k, f, &out)
	}
	if out.Error != "" && f.fact.Broken != "" { // which explains it
		out.Problems = append(out.Problems, view.VerifyProblem{Label: f.fact.Label, Object: "backup.json", Detail: f.fact.Broken})
	}
	out.ElapsedNS = a.now().Sub(begun)
	return out
}

// reader is the node that does it: the named one, for a drill a standby, which has more time, else the keeper.
func (o *verifyOptions) reader(k keeper, obs *planner.Observed) (keeper, error) {
	at := func(n *schema.Node) (keeper, error) {
		f := obs.Node(k.cluster.Name, n.Name)
		err := usable(f)
		if err != nil {
			err = fmt.Errorf("%s: %w", n.Name, err)
		}
		return keeper{k.cluster, n, f, err}, err
	}
	if o.on != "" {
		n := k.cluster.Node(o.on)
		if n == nil {
			var all []string
			for _, n := range k.cluster.Nodes {
				all = append(all, n.Name)
			}
			return keeper{cluster: k.cluster}, unknownName("node", o.on, all)
		}
		return at(n)
	}
	if o.drill {
		for _, n := range k.cluster.Nodes {
			if s, err := at(n); err == nil && s.standby() {
				return s, nil
			}
		}
	}
	return k, k.err
}

func (a *app) readBackup(ctx context.Context, o *verifyOptions, w *world, k keeper, f foundBackup, out *view.VerifyBackup) {
	var res node.VerifyResult
	err := a.call(ctx, w, k, "verify", node.VerifyRequest{
		Version: node.Version, Place: f.place(), Label: f.fact.Label, Chain: o.chain, Archives: node.ArchivesOf(f.cluster), Workers: o.workers, StateDir: k.facts.Paths.State,
	}, &res)
	for _, b := range res.Backups {
		out.Files, out.SizeBytes = b.Files, b.Bytes // the last one is the newest
		out.StoredBytes += b.Stored
		for _, p := range b.Problems {
			out.Problems = append(out.Problems, view.VerifyProblem{Label: b.Label, Object: p.Object, Path: p.Path, Chunk: p.Chunk, Detail: p.Detail})
		}
	}
	for _, x := range res.WAL {
		v := view.VerifyWAL{Target: x.Target, From: x.From, To: x.To, Missing: orEmpty(x.Missing), Damaged: []string{}, Error: x.Error}
		for _, p := range x.Damaged {
			v.Damaged = append(v.Damaged, p.Name+": "+p.Detail)
		}
		out.WAL = append(out.WAL, v)
	}
	if err != nil && (out.Sound() || len(res.Backups) == 0) { // else the problems tell
		out.Error = err.Error()
	}
}

func (a *app) drill(ctx context.Context, o *verifyOptions, w *world, k keeper, f foundBackup, out *view.VerifyBackup) {
	var res node.DrillResult
	p := k.facts.Paths
	err := a.call(ctx, w, k, "drill", node.DrillRequest{
		Version: node.Version, Place: f.place(), Archives: node.ArchivesOf(f.cluster), Label: f.fact.Label, SystemIdentifier: f.fact.SystemIdentifier,
		Server:  node.Server{DataDir: p.DataDir, BinDir: p.BinDir, SocketDir: p.SocketDir, Port: k.node.Port, User: k.facts.Host.Owner, Major: f.fact.Major()},
		Workers: o.workers, Scratch: o.scratch, Keep: o.keep, StateDir: p.State,
	}, &res)
	out.Files, out.SizeBytes = f.fact.Files, f.fact.Size
	out.Drill = &view.Drill{Proven: res.Proven, Problems: orEmpty(slices.Clone(res.Problems)), Scratch: res.Scratch, ElapsedNS: res.Elapsed}
	if err != nil && len(res.Problems) == 0 {
		out.Drill, out.Error = nil, err.Error()
	}
}
