package main

import (
	"github.com/spf13/cobra"

	"pg_manage/cmd/internal/view"
)

func (a *app) graphCommand() *cobra.Command {
	var sel selection
	cmd := &cobra.Command{
		Use:   "graph [PLANFILE]",
		Short: "Write the steps of a plan as a graph in the DOT language",
		Long: `Writes the steps of the present plan, or of a saved one, and what waits on what,
in the language of Graphviz: pg_manage graph | dot -Tsvg > plan.svg`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				p, err := readPlan(args[0])
				if err != nil {
					return err
				}
				return view.Graph(a.stdout, p)
			}
			cfg, err := a.load(cmd)
			if err != nil {
				return err
			}
			w, err := a.look(cmd, cfg, sel.Selection)
			if err != nil {
				return err
			}
			defer w.close()
			return view.Graph(a.stdout, w.plan)
		},
	}
	a.vars.flags(cmd.Flags())
	sel.flags(cmd.Flags())
	return cmd
}
