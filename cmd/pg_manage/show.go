package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"pg_manage/cmd/internal/view"
	"pg_manage/planner"
)

func (a *app) showCommand() *cobra.Command {
	var verbose bool
	cmd := &cobra.Command{
		Use:   "show [PLANFILE]",
		Short: "Show a saved plan, or without a file the present one",
		Long: `Shows a plan that "plan --out" saved. No host is asked: what is shown is the
record of when the plan was made. Without a file it does as "plan" does.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return a.showPresent(cmd, verbose)
			}
			p, err := readPlan(args[0])
			if err != nil {
				return err
			}
			opt := view.PlanOptions{SavedTo: args[0], Apply: a.again("apply", args[0]), Commands: verbose}
			if a.json {
				view.PlanJSON(a.out(cmd), p, opt)
				return nil
			}
			if !a.quiet {
				view.PlanRecord(a.stdout, a.style(a.stdout), p, a.now())
			}
			view.PlanHuman(a.stdout, a.style(a.stdout), p, opt)
			return nil
		},
	}
	a.vars.flags(cmd.Flags())
	cmd.Flags().BoolVarP(&verbose, "verbose", "v", false, "show all commands of each step")
	return cmd
}

func (a *app) showPresent(cmd *cobra.Command, verbose bool) error {
	cfg, err := a.load(cmd)
	if err != nil {
		return err
	}
	w, err := a.look(cmd, cfg, planner.Selection{})
	if err != nil {
		return err
	}
	defer w.close()
	opt := view.PlanOptions{Apply: a.again("apply"), Commands: verbose}
	if a.json {
		view.PlanJSON(a.out(cmd), w.plan, opt)
	} else {
		view.PlanHuman(a.stdout, a.style(a.stdout), w.plan, opt)
	}
	return planStatus(w.plan, false)
}

// readPlan reads a plan file.
func readPlan(path string) (*planner.Plan, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &hintedError{fmt.Sprintf("there is no plan file %s", path), "Make one with `pg_manage plan --out " + quote(path) + "`."}
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read the plan file: %w", err)
	}
	p, err := planner.Decode(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return p, nil
}
