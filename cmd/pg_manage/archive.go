package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/spf13/cobra"

	"pg_manage/cmd/internal/view"
	"pg_manage/executor/observe"
	"pg_manage/planner"
	"pg_manage/schema"
)

func (a *app) archiveCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "archive",
		Short: "Look into the WAL archives, and mend them",
		Args: func(_ *cobra.Command, args []string) error {
			words := []string{"status", "check", "push-missing"}
			if len(args) == 0 {
				return &hintedError{"archive what?", "Write `pg_manage archive status`, `check` or `push-missing`."}
			}
			return &hintedError{fmt.Sprintf("unknown command \"archive %s\"", args[0]), suggest(args[0], words, "") + "There are status, check and push-missing."}
		},
		RunE: func(*cobra.Command, []string) error { return nil },
	}
	cmd.AddCommand(a.archiveStatus(), a.archiveCheck(), a.archivePush())
	return cmd
}

func (a *app) archiveStatus() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "status [NODE]",
		Short: "Ask every archive how it is doing",
		Long: `Lets the primary of each cluster, or the named node, ask all of its archives: whose
each is, what waits for it, how fast it takes WAL, and by the names of its files what it
holds and lacks. It exits with 0 when all is well and with 1 otherwise.`,
		Args: atMostOneNode("archive status"),
		RunE: func(cmd *cobra.Command, args []string) error {
			page := view.ArchiveStatusPage{FormatVersion: view.FormatVersion, Time: a.now(), Healthy: true, Nodes: []view.NodeArchiveStatus{}}
			w, readers, err := a.archiveReaders(cmd, args, observe.AskAlways)
			if err != nil {
				return err
			}
			defer w.close()
			for _, r := range readers {
				s := view.NodeArchiveStatus{Cluster: r.cluster.Name, Error: r.problem()}
				if r.node != nil {
					s = view.NewNodeArchiveStatus(r.cluster, r.node, w.observed, page.Time)
					if s.Archive != nil {
						s.Contents = a.audit(cmd.Context(), w, r, true)
					}
				}
				page.Healthy = page.Healthy && s.Healthy()
				page.Nodes = append(page.Nodes, s)
			}
			if err := a.show(page, func() { view.ArchiveStatusHuman(a.stdout, a.style(a.stdout), page) }); err != nil {
				return err
			}
			if !page.Healthy {
				return &exitStatus{code: exitError}
			}
			return nil
		},
	}
	a.vars.flags(cmd.Flags())
	return cmd
}

func (a *app) archiveCheck() *cobra.Command {
	var quick bool
	cmd := &cobra.Command{
		Use:   "check [NODE]",
		Short: "Find what is missing or damaged in the WAL archives",
		Long: fmt.Sprintf(`Reads each archive of a cluster from end to end, on its primary or the named node:
whether segments are missing between the oldest and the newest of each timeline,
whether every stored file is whole and holds what its name says, and from where to
where one can recover. With --quick only names are looked at.

Exit codes:
  %d  nothing is missing and nothing is damaged
  %d  something is
  %d  could not tell: a node or a target cannot be reached`, exitCheckTrue, exitCheckFalse, exitCheckUnknown),
		Args: func(cmd *cobra.Command, args []string) error {
			if err := atMostOneNode("archive check")(cmd, args); err != nil {
				return checkUnknown(err)
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			w, readers, err := a.archiveReaders(cmd, args, observe.AskNever)
			if err != nil {
				return checkUnknown(err)
			}
			defer w.close()
			out := view.ArchiveCheck{FormatVersion: view.FormatVersion, Quick: quick, Archives: []view.ArchiveAudit{}}
			for _, found := range each(readers, func(r archiveReader) []view.ArchiveAudit { return a.audit(cmd.Context(), w, r, quick) }) {
				out.Archives = append(out.Archives, found...)
			}
			if cmd.Context().Err() != nil {
				return context.Cause(cmd.Context())
			}
			if err := a.show(out, func() { view.ArchiveCheckHuman(a.stdout, a.style(a.stdout), out) }); err != nil {
				return checkUnknown(err)
			}
			switch {
			case slices.ContainsFunc(out.Archives, func(x view.ArchiveAudit) bool { return !x.Whole() }):
				return &exitStatus{code: exitCheckFalse}
			case slices.ContainsFunc(out.Archives, func(x view.ArchiveAudit) bool { return x.Error != "" }):
				return &exitStatus{code: exitCheckUnknown}
			}
			return nil
		},
	}
	a.vars.flags(cmd.Flags())
	cmd.Flags().BoolVar(&quick, "quick", false, "look at names alone, and read no WAL")
	return cmd
}

func (a *app) archivePush() *cobra.Command {
	var dryRun bool
	cmd := &cobra.Command{
		Use:   "push-missing [NODE]",
		Short: "Store what an archive lacks and a node still has",
		Long: `Lets the primary of each cluster, or the named node, store all complete segments of
its pg_wal that an archive lacks, and tells which holes that leaves. What is stored
already stays as it is. It exits with 1 when a hole is left or something failed.`,
		Args: atMostOneNode("archive push-missing"),
		RunE: func(cmd *cobra.Command, args []string) error {
			w, readers, err := a.archiveReaders(cmd, args, observe.AskNever)
			if err != nil {
				return err
			}
			defer w.close()
			out := view.ArchivePush{FormatVersion: view.FormatVersion, DryRun: dryRun, Nodes: []view.NodePush{}}
			for _, done := range each(readers, func(r archiveReader) []view.NodePush { return a.push(cmd.Context(), w, r, dryRun) }) {
				out.Nodes = append(out.Nodes, done...)
			}
			if cmd.Context().Err() != nil {
				return context.Cause(cmd.Context())
			}
			if err := a.show(out, func() { view.ArchivePushHuman(a.stdout, a.style(a.stdout), out) }); err != nil {
				return err
			}
			if slices.ContainsFunc(out.Nodes, func(n view.NodePush) bool { return !n.OK() }) {
				return &exitStatus{code: exitError}
			}
			return nil
		},
	}
	a.vars.flags(cmd.Flags())
	cmd.Flags().BoolVarP(&dryRun, "dry-run", "n", false, "only tell what would be stored")
	return cmd
}

// show writes a result as JSON or for a person.
func (a *app) show(doc any, human func()) error {
	switch {
	case a.json:
		return view.WriteJSON(a.stdout, doc)
	case !a.quiet:
		human()
	}
	return nil
}

func atMostOneNode(command string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) > 1 {
			return &hintedError{command + " takes one node", fmt.Sprintf("Write `pg_manage %s NODE`.", command)}
		}
		return nil
	}
}

// each does f for all readers at once, and keeps their order.
func each[T any](readers []archiveReader, f func(archiveReader) T) []T {
	out := make([]T, len(readers))
	var all sync.WaitGroup
	for i, r := range readers {
		all.Go(func() { out[i] = f(r) })
	}
	all.Wait()
	return out
}

// archiveReader is the node through which the archives of a cluster are seen; node is
// nil when there is none, and err says why it cannot be used.
type archiveReader struct {
	cluster *schema.Cluster
	node    *schema.Node
	facts   *planner.NodeFacts
	err     error
}

func (r archiveReader) problem() string {
	if r.err == nil {
		return ""
	}
	return r.err.Error()
}

func (r archiveReader) nodeName() string {
	if r.node == nil {
		return ""
	}
	return r.node.Name
}

// archiveReaders looks at the clusters that archive, and chooses who reads each one's
// archives: the named node, else the primary.
func (a *app) archiveReaders(cmd *cobra.Command, args []string, ask observe.Ask) (*world, []archiveReader, error) {
	cfg, err := a.load(cmd)
	if err != nil {
		return nil, nil, err
	}
	var named *schema.Node
	if len(args) == 1 {
		c, n, err := oneNode(cfg, args)
		if err != nil {
			return nil, nil, err
		}
		named = n
		alone := *c
		alone.Nodes = []*schema.Node{n}
		cfg = &schema.Config{Targets: cfg.Targets, Clusters: []*schema.Cluster{&alone}}
	}
	cfg = archiving(cfg)
	if len(cfg.Clusters) == 0 {
		return nil, nil, &hintedError{"no cluster here archives its WAL", "Add archive { target = \"...\" } to a cluster block."}
	}
	w := a.newWorld(cfg)
	if err := w.observeWith(cmd.Context(), observe.Options{AskArchive: ask}); err != nil {
		w.close()
		return nil, nil, err
	}
	var readers []archiveReader
	for _, c := range cfg.Clusters {
		readers = append(readers, chooseReader(c, named, w.observed))
	}
	return w, readers, nil
}

// archiving leaves the clusters in that archive their WAL.
func archiving(cfg *schema.Config) *schema.Config {
	out := *cfg
	out.Clusters = slices.DeleteFunc(slices.Clone(cfg.Clusters), func(c *schema.Cluster) bool { return !c.Archived() })
	return &out
}

// unseen tells which nodes could not be looked at.
func unseen(c *schema.Cluster, obs *planner.Observed) string {
	var out string
	for _, n := range c.Nodes {
		if f := obs.Node(c.Name, n.Name); f != nil && f.Unreachable != "" {
			out += "; " + n.Name + " is unreachable: " + f.Unreachable
		}
	}
	return out
}

func chooseReader(c *schema.Cluster, named *schema.Node, obs *planner.Observed) archiveReader {
	r := archiveReader{cluster: c, node: named}
	if named == nil {
		var primaries []*schema.Node
		for _, n := range c.Nodes {
			if f := obs.Node(c.Name, n.Name); f != nil && f.Unreachable == "" && f.Server.Accepting && !f.Server.InRecovery {
				primaries = append(primaries, n)
			}
		}
		if len(primaries) != 1 {
			r.err = fmt.Errorf("%d of its nodes answer as primary: name the node that is to do it%s", len(primaries), unseen(c, obs))
			return r
		}
		r.node = primaries[0]
	}
	r.facts = obs.Node(c.Name, r.node.Name)
	switch f := r.facts; {
	case f == nil:
		r.err = errors.New("it was not looked at")
	case f.Unreachable != "":
		r.err = errors.New("unreachable: " + f.Unreachable)
	case f.Host.Installed["pg_manage"] == "" || f.Files.HookConfig == "":
		r.err = errors.New("the programs and the archive configuration are not on the node: run `pg_manage apply`")
	}
	return r
}
