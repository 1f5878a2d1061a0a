package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"pg_manage/cmd/internal/view"
	"pg_manage/planner"
)

// applyOptions are the flags of apply.
type applyOptions struct {
	sel         selection
	autoApprove bool
	allowLoss   []string
	parallelism int
	lockTimeout time.Duration
	verbose     bool
	lead        string // what the steps lead to, where that is not what is declared
}

func (a *app) applyCommand() *cobra.Command {
	var o applyOptions
	cmd := &cobra.Command{
		Use:   "apply [PLANFILE]",
		Short: "Do the steps that lead to what the cluster files declare",
		Long: `Plans, shows the plan, asks, and does the steps. With a plan file it does exactly
that plan, and refuses when what the plan rests on has changed since. Values of
variables are not in a plan file, since they may be secret: give --var and
--var-file again.

Killed at any point, apply run again finishes the work. Ctrl-C once finishes the
running steps, twice leaves at once.

` + exitHelp,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if o.parallelism < 1 {
				return &hintedError{fmt.Sprintf("--parallelism %d makes no sense", o.parallelism), "At least one step has to run at a time."}
			}
			if len(args) == 1 {
				return a.applyFile(cmd, &o, args[0])
			}
			cfg, err := a.load(cmd)
			if err != nil {
				return err
			}
			w, err := a.look(cmd, cfg, o.sel.Selection)
			if err != nil {
				return err
			}
			defer w.close()
			return a.applyPlan(cmd, &o, w, a.again("apply"))
		},
	}
	f := cmd.Flags()
	a.vars.flags(f)
	o.sel.flags(f)
	f.BoolVar(&o.autoApprove, "auto-approve", false, "do not ask; steps that lose data still need --allow-data-loss")
	f.StringSliceVar(&o.allowLoss, "allow-data-loss", nil, "consent to the steps on `NODE` that lose data; may be given several times")
	f.IntVar(&o.parallelism, "parallelism", 10, "how many steps may run at once: `N`")
	f.DurationVar(&o.lockTimeout, "lock-timeout", 0, "how long to wait for another apply that holds a cluster's lock, such as 2m")
	f.BoolVarP(&o.verbose, "verbose", "v", false, "show all commands of each step")
	return cmd
}

// applyFile applies a saved plan, if what it rests on still holds.
func (a *app) applyFile(cmd *cobra.Command, o *applyOptions, path string) error {
	for _, name := range []string{"target", "exclude", "cluster"} {
		if cmd.Flags().Changed(name) {
			return &hintedError{"--" + name + " cannot stand beside a plan file", "What a saved plan covers is settled. Make a new plan with the flag: `pg_manage plan --" + name + " ... --out " + quote(path) + "`."}
		}
	}
	saved, err := readPlan(path)
	if err != nil {
		return err
	}
	cfg, err := a.load(cmd)
	if err != nil {
		return err
	}
	if cfg, err = only(cfg, saved.Clusters); err != nil {
		return err
	}
	w, err := a.look(cmd, cfg, saved.Selection)
	if err != nil {
		return err
	}
	defer w.close()
	if err := stale(saved, w.plan, a.newPlan(saved, path)); err != nil {
		return err
	}
	return a.applyPlan(cmd, o, w, a.newPlan(saved, path))
}

// newPlan is the command that makes a saved plan anew.
func (a *app) newPlan(saved *planner.Plan, path string) string {
	var args []string
	for _, c := range saved.Clusters {
		args = append(args, "--cluster", c)
	}
	for _, t := range saved.Selection.Target {
		args = append(args, "--target", t)
	}
	for _, t := range saved.Selection.Exclude {
		args = append(args, "--exclude", t)
	}
	return a.again("plan", append(args, "--out", path)...)
}

// stale refuses a saved plan that rests on facts that have changed.
func stale(saved, present *planner.Plan, again string) error {
	if saved.Fingerprint == present.Fingerprint {
		return nil
	}
	if len(present.Steps) == 0 && !present.HasErrors() && len(saved.Steps) > 0 {
		return &hintedError{"the plan has already been applied", "The clusters match the configuration: nothing is left to do, and a plan cannot be applied twice."}
	}
	var changed []string
	for name, digest := range present.Facts {
		if saved.Facts[name] != digest {
			changed = append(changed, name)
		}
	}
	for name := range saved.Facts {
		if _, ok := present.Facts[name]; !ok {
			changed = append(changed, name)
		}
	}
	slices.Sort(changed)
	return &hintedError{
		"the plan is stale: what it rests on has changed since it was made",
		"Nothing was done. Changed:\n  " + strings.Join(changed, "\n  ") + "\nMake a new plan and look at it:\n  " + again,
	}
}

// applyPlan shows the plan, asks, and does it.
func (a *app) applyPlan(cmd *cobra.Command, o *applyOptions, w *world, again string) error {
	p := w.plan
	for _, name := range o.allowLoss {
		if !knownName(w.cfg, name) {
			return unknownName("node", name, names(w.cfg))
		}
	}
	opt := view.PlanOptions{Commands: o.verbose, Consent: true, Lead: o.lead}
	switch {
	case a.json:
		view.PlanJSON(a.out(cmd), p, opt)
	case !a.quiet || !o.autoApprove: // nobody is asked about what is not shown
		view.PlanHuman(a.stdout, a.style(a.stdout), p, opt)
	}
	todo := slices.ContainsFunc(p.Steps, func(s planner.Step) bool { return s.Blocked == "" })
	if todo {
		if err := a.consent(cmd.Context(), o, p); err != nil {
			return err
		}
		if err := a.carryOut(cmd, o, w, again); err != nil {
			return err
		}
	}
	// What the plan could not reach stays an error, also when all that it could do is done.
	if p.HasErrors() {
		return &exitStatus{code: exitError}
	}
	return nil
}

// carryOut does the plan and shows its progress.
func (a *app) carryOut(cmd *cobra.Command, o *applyOptions, w *world, again string) error {
	progress := a.progress(cmd, w.plan)
	a.atInterrupt(progress.Interrupted)
	out, err := w.execute(cmd.Context(), a.abort, o, progress)
	a.atInterrupt(nil)
	progress.Finish()
	if err != nil {
		return err
	}
	out.Again = again
	if a.json {
		view.OutcomeJSON(a.out(cmd), out)
	} else if !a.quiet || len(out.Failed) > 0 {
		view.OutcomeHuman(a.stdout, a.style(a.stdout), w.plan, out)
	}
	switch {
	case out.Interrupted:
		return &exitStatus{code: exitInterrupted}
	case len(out.Failed)+len(out.Skipped) > 0:
		return &exitStatus{code: exitError}
	}
	return nil
}

func (a *app) progress(cmd *cobra.Command, p *planner.Plan) view.Progress {
	st := a.style(a.stdout)
	switch {
	case a.json:
		return view.NewJSONProgress(a.out(cmd))
	case a.quiet:
		return view.Quiet{}
	case st.Width > 0 && !a.debug:
		return view.NewLive(a.stdout, st, p)
	default:
		return view.NewPlain(a.stdout, st, p)
	}
}
