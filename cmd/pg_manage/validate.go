package main

import (
	"github.com/spf13/cobra"

	"pg_manage/cmd/internal/view"
	"pg_manage/schema"
)

func (a *app) validateCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "validate",
		Short: "Check the cluster files, without asking any host",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			opts, err := a.vars.options()
			if err != nil {
				return err
			}
			cfg, ds := schema.Load(a.dir, opts)
			switch {
			case a.json:
				if err := view.WriteJSON(a.stdout, view.NewValidation(ds)); err != nil {
					return err
				}
			case ds.HasErrors():
				return ds
			case a.quiet:
			default:
				view.ValidationHuman(a.stdout, a.style(a.stdout), ds, cfg)
			}
			if ds.HasErrors() {
				return &exitStatus{code: exitError}
			}
			return nil
		},
	}
	a.vars.flags(cmd.Flags())
	return cmd
}
