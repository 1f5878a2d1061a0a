package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"pg_manage/cmd/internal/view"
	"pg_manage/planner"
)

func (a *app) checkBackup() *cobra.Command {
	var maxAge time.Duration
	cmd := &cobra.Command{
		Use:   "backup [CLUSTER]",
		Short: "Exit with 0 when the base backups are young enough, and proven",
		Long: fmt.Sprintf(`Asks the targets for the base backups of a cluster, or of all, and compares them with the
backup blocks: whether there is one that can be restored, none older than max_age, and one
proven within prove_every.

Exit codes:
  %d  all is as the backup blocks want it
  %d  something is not
  %d  could not tell: a target cannot be asked, or the cluster files are in error`, exitCheckTrue, exitCheckFalse, exitCheckUnknown),
		Args: func(cmd *cobra.Command, args []string) error {
			if err := atMostOneCluster("check backup")(cmd, args); err != nil {
				return checkUnknown(err)
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			w, keepers, err := a.keepers(cmd, args)
			if err != nil {
				return checkUnknown(err)
			}
			defer w.close()
			doc := view.BackupCheck{FormatVersion: view.FormatVersion, Clusters: []view.ClusterBackupState{}}
			for _, k := range keepers {
				doc.Clusters = append(doc.Clusters, a.backupState(cmd.Context(), w, k, maxAge))
			}
			if cmd.Context().Err() != nil {
				return context.Cause(cmd.Context())
			}
			doc.Judge()
			if err := a.show(doc, func() { view.BackupCheckHuman(a.stdout, doc) }); err != nil {
				return checkUnknown(err)
			}
			switch {
			case doc.Result == nil:
				return &exitStatus{code: exitCheckUnknown}
			case !*doc.Result:
				return &exitStatus{code: exitCheckFalse}
			}
			return nil
		},
	}
	a.vars.flags(cmd.Flags())
	cmd.Flags().DurationVar(&maxAge, "max-age", 0, "how old the newest may be, such as 26h, in place of max_age")
	return cmd
}

// backupState judges the backups of one cluster; maxAge takes the place of what is declared, unless it is 0.
func (a *app) backupState(ctx context.Context, w *world, k keeper, maxAge time.Duration) view.ClusterBackupState {
	c := *k.cluster
	if maxAge > 0 {
		c.Backups = slices.Clone(c.Backups)
		for i, r := range c.Backups {
			stricter := *r
			stricter.MaxAge = maxAge
			c.Backups[i] = &stricter
		}
	}
	system := ""
	if k.facts != nil {
		system = k.facts.Data.SystemIdentifier
	}
	all := a.catalogs(ctx, w, k)
	find := func(target string) *planner.CatalogFact {
		if i := slices.IndexFunc(all, func(f planner.CatalogFact) bool { return f.Target == target }); i >= 0 {
			return &all[i]
		}
		return nil
	}
	return view.ClusterBackupState{Cluster: c.Name, Rules: view.NewBackupStatus(&c, find, system, a.now())}
}
