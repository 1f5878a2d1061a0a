package main

import (
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"pg_manage/cmd/internal/view"
	"pg_manage/executor/observe"
	"pg_manage/planner"
	"pg_manage/schema"
)

// selection are the flags that narrow a plan.
type selection struct{ planner.Selection }

func (s *selection) flags(f *pflag.FlagSet) {
	f.StringSliceVar(&s.Target, "target", nil, "only steps for `NAME`: a cluster, node or cluster/node, and what they need")
	f.StringSliceVar(&s.Exclude, "exclude", nil, "no steps for `NAME`: a cluster, node or cluster/node, nor what needs them")
}

func (a *app) planCommand() *cobra.Command {
	var (
		sel      selection
		out      string
		detailed bool
		verbose  bool
	)
	cmd := &cobra.Command{
		Use:   "plan",
		Short: "Show what apply would do; nothing is changed",
		Long: `Looks at every node and shows, as ordered steps, how to get from there to what
the cluster files declare. It writes nothing on any node.

` + exitHelp,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := a.load(cmd)
			if err != nil {
				return err
			}
			w, err := a.look(cmd, cfg, sel.Selection)
			if err != nil {
				return err
			}
			defer w.close()
			opt := view.PlanOptions{Apply: a.again("apply"), Commands: verbose}
			if out != "" {
				if err := savePlan(out, w.plan); err != nil {
					return err
				}
				opt.SavedTo, opt.Apply = out, a.again("apply", out)
			}
			switch {
			case a.json:
				view.PlanJSON(a.out(cmd), w.plan, opt)
			case !a.quiet:
				view.PlanHuman(a.stdout, a.style(a.stdout), w.plan, opt)
			}
			return planStatus(w.plan, detailed)
		},
	}
	a.vars.flags(cmd.Flags())
	sel.flags(cmd.Flags())
	cmd.Flags().StringVarP(&out, "out", "o", "", "save the plan to `FILE`, for apply FILE")
	cmd.Flags().BoolVar(&detailed, "detailed-exitcode", false, "exit with 2 when there are steps, 3 when some lose data")
	cmd.Flags().BoolVarP(&verbose, "verbose", "v", false, "show all commands of each step")
	return cmd
}

// planStatus is how plan exits: errors come before everything else.
func planStatus(p *planner.Plan, detailed bool) error {
	switch {
	case p.HasErrors():
		return &exitStatus{code: exitError}
	case !detailed || len(p.Steps) == 0:
		return nil
	case len(p.DataLoss()) > 0:
		return &exitStatus{code: exitDataLoss}
	default:
		return &exitStatus{code: exitChanges}
	}
}

// savePlan writes a plan file, readable by its owner alone.
func savePlan(path string, p *planner.Plan) error {
	b, err := planner.Encode(p)
	if err != nil {
		return err
	}
	return writeFile(filepath.Clean(path), b, 0o600)
}

// again is a command line of this program with the folder that this run uses.
func (a *app) again(command string, args ...string) string {
	line := a.program
	if a.dir != "." {
		line += " -C " + quote(a.dir)
	}
	line += " " + command
	for _, arg := range args {
		line += " " + quote(arg)
	}
	// A saved plan carries its clusters with it.
	if len(args) == 0 {
		for _, c := range a.clusters {
			line += " --cluster " + quote(c)
		}
	}
	return line + a.vars.again()
}

// look observes and plans, and says what stands in the way of installing programs.
func (a *app) look(cmd *cobra.Command, cfg *schema.Config, sel planner.Selection) (*world, error) {
	return a.lookWith(cmd, cfg, sel, observe.Options{})
}

func (a *app) lookWith(cmd *cobra.Command, cfg *schema.Config, sel planner.Selection, opts observe.Options) (*world, error) {
	w := a.newWorld(cfg)
	for _, name := range sel.Unknown(func(name string) bool { return knownName(cfg, name) }) {
		w.close()
		return nil, unknownName("cluster or node", name, names(cfg))
	}
	w.prepare()
	if err := w.observeWith(cmd.Context(), opts); err != nil {
		w.close()
		return nil, err
	}
	if err := a.locateSources(cmd.Context(), w); err != nil {
		w.close()
		return nil, err
	}
	if err := w.makePlan(sel); err != nil {
		w.close()
		return nil, fmt.Errorf("cannot plan: %w", err)
	}
	return w, nil
}
