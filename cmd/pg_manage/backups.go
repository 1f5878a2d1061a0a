package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"pg_manage/cmd/internal/view"
	"pg_manage/schema/postgres"
)

func (a *app) backupsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "backups [CLUSTER]",
		Short: "List the base backups, and how far back one can recover",
		Long: `Asks every target for its base backups, and the WAL archive by names which WAL there
is: from both follows from when to when one can recover. Times and labels are in UTC.
It exits with 1 when a target could not be asked.`,
		Args: atMostOneCluster("backups"),
		RunE: func(cmd *cobra.Command, args []string) error {
			w, keepers, err := a.keepers(cmd, args)
			if err != nil {
				return err
			}
			defer w.close()
			page := view.BackupsPage{FormatVersion: view.FormatVersion, Complete: true, Clusters: make([]view.ClusterBackups, len(keepers))}
			var all sync.WaitGroup
			for i, k := range keepers {
				all.Go(func() { page.Clusters[i] = a.clusterBackups(cmd.Context(), w, k) })
			}
			all.Wait()
			if cmd.Context().Err() != nil {
				return context.Cause(cmd.Context())
			}
			page.Time = a.now()
			for _, c := range page.Clusters {
				page.Complete = page.Complete && c.Whole()
			}
			if err := a.show(page, func() { view.BackupsHuman(a.stdout, a.style(a.stdout), page) }); err != nil {
				return err
			}
			if !page.Complete {
				return &exitStatus{code: exitError}
			}
			return nil
		},
	}
	a.vars.flags(cmd.Flags())
	return cmd
}

func (a *app) clusterBackups(ctx context.Context, w *world, k keeper) view.ClusterBackups {
	return view.NewClusterBackups(k.cluster.Name, k.nodeName(), a.catalogs(ctx, w, k), a.archivedWAL(ctx, w, k), a.now())
}

// archivedWAL asks the archives, by names alone, which WAL they have.
func (a *app) archivedWAL(ctx context.Context, w *world, k keeper) view.WALKnown {
	var known view.WALKnown
	if !k.cluster.Archived() {
		return known
	}
	if k.err != nil {
		known.Unknown = k.err.Error()
		return known
	}
	r := archiveReader{cluster: k.cluster, node: k.node, facts: k.facts}
	if k.facts.Files.HookConfig == "" {
		r.err = fmt.Errorf("the archive configuration is not on %s: run `pg_manage apply`", k.nodeName())
	}
	var why []string
	for _, x := range a.audit(ctx, w, r, true) {
		if x.Error != "" {
			why = append(why, x.Target+": "+x.Error)
			continue
		}
		for _, s := range x.Recoverable {
			if span, ok := walSpan(s); ok {
				known.Spans = append(known.Spans, span)
			}
		}
	}
	if len(known.Spans) == 0 && len(why) > 0 {
		known.Unknown = strings.Join(slices.Compact(why), "; ")
	}
	for _, n := range k.cluster.Nodes {
		if f := w.observed.Node(k.cluster.Name, n.Name); f != nil && f.Server.Archiver != nil && f.Server.Archiver.LastTime.After(known.Newest) {
			known.Newest = f.Server.Archiver.LastTime
		}
	}
	return known
}

// walSpan reads what an audit says; false for what cannot be read.
func walSpan(s view.AuditSpan) (view.WALSpan, bool) {
	from, err1 := postgres.ParseLSN(s.FromLSN)
	to, err2 := postgres.ParseLSN(s.ToLSN)
	out := view.WALSpan{Timeline: postgres.Timeline(s.Timeline), From: from, To: to}
	for _, t := range s.Through {
		out.Through = append(out.Through, postgres.Timeline(t))
	}
	return out, err1 == nil && err2 == nil
}
