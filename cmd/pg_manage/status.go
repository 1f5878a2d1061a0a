package main

import (
	"github.com/spf13/cobra"

	"pg_manage/cmd/internal/view"
	"pg_manage/executor/observe"
	"pg_manage/planner"
)

func (a *app) statusCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show how the clusters are doing",
		Long: `Shows for each cluster the topology with roles, timelines, WAL positions and lag,
the replication slots, the WAL archive, and what is wrong. It exits with 0 when
all is well and with 1 otherwise.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := a.load(cmd)
			if err != nil {
				return err
			}
			w, err := a.lookWith(cmd, cfg, planner.Selection{}, observe.Options{Archiver: true})
			if err != nil {
				return err
			}
			defer w.close()
			return a.showStatus(w)
		},
	}
	a.vars.flags(cmd.Flags())
	return cmd
}

func (a *app) showStatus(w *world) error {
	s := view.NewStatus(w.cfg, w.observed, w.plan, a.now())
	switch {
	case a.json:
		if err := view.WriteJSON(a.stdout, s); err != nil {
			return err
		}
	case !a.quiet:
		view.StatusHuman(a.stdout, a.style(a.stdout), s)
	}
	if !s.Healthy {
		return &exitStatus{code: exitError}
	}
	return nil
}
