package main

import (
	"context"
	"fmt"
	"os/user"

	"github.com/spf13/cobra"

	"pg_manage/cmd/internal/demo"
	"pg_manage/cmd/internal/view"
	"pg_manage/executor/remote"
	"pg_manage/planner"
	"pg_manage/schema"
)

func (a *app) demoCommand() *cobra.Command {
	var (
		dir     string
		destroy bool
	)
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Bring up a two-node cluster on this machine, to look at",
		Long: `Writes a cluster file for a primary and a standby on this machine, applies it,
writes a row on the primary, reads it on the standby, and shows the status.
Nothing outside the demo's folder is touched, but for a few files of the
instances' owner below ~/.pg_manage; --destroy takes all of it away.

As root the instances belong to the user postgres, else to you. Where no
PostgreSQL is installed, root on Debian and its kin gets it from the packages.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if destroy {
				return a.demoDestroy(cmd.Context(), dir)
			}
			return a.demoRun(cmd, dir)
		},
	}
	cmd.Flags().StringVar(&dir, "dir", demo.DefaultDir, "`FOLDER` of the demo")
	cmd.Flags().BoolVar(&destroy, "destroy", false, "stop the demo's instances and remove its folder")
	return cmd
}

func (a *app) demoRun(cmd *cobra.Command, dir string) error {
	say := func(format string, args ...any) {
		if !a.json && !a.quiet {
			fmt.Fprintf(a.stdout, format+"\n", args...)
		}
	}
	pg, ok := demo.FindPostgres()
	if !ok {
		say("No PostgreSQL is installed here: installing the distribution's.")
		if err := demo.InstallPostgres(cmd.Context(), a.stderr); err != nil {
			return err
		}
		if pg, ok = demo.FindPostgres(); !ok {
			return fmt.Errorf("the packages that were installed hold no PostgreSQL %d or later", schema.OldestVersion)
		}
	}
	d, err := demo.At(dir)
	if err != nil {
		return err
	}
	exists, err := d.Exists()
	if err != nil {
		return err
	}
	if !exists {
		if err := d.Create(pg); err != nil {
			return err
		}
		say("Wrote %s/cluster.hcl: two nodes with PostgreSQL %d, and an archive for their WAL.\n", d.Dir, pg.Major)
	}
	a.dir = d.Dir
	cfg, err := a.load(cmd)
	if err != nil {
		return err
	}
	w, err := a.look(cmd, cfg, planner.Selection{})
	if err != nil {
		return err
	}
	defer w.close()
	if err := a.applyPlan(cmd, &applyOptions{autoApprove: true, parallelism: 10}, w, a.program+" demo"); err != nil {
		return err
	}
	return a.demoShow(cmd, d, cfg)
}

// demoShow sends a row through the cluster, and shows how it is doing.
func (a *app) demoShow(cmd *cobra.Command, d *demo.Demo, cfg *schema.Config) error {
	c := cfg.Clusters[0]
	host := remote.NewLocal("this machine")
	defer host.Close()
	row, err := d.WriteRow(cmd.Context(), host, c.Primary().BinDir, c.Node(demo.Primary).Port, c.Node(demo.Standby).Port)
	if err != nil {
		return err
	}
	w, err := a.look(cmd, cfg, planner.Selection{})
	if err != nil {
		return err
	}
	defer w.close()
	if a.json {
		view.StatusLine(a.out(cmd), view.NewStatus(w.cfg, w.observed, w.plan, a.now()))
		return nil
	}
	if a.quiet {
		return a.showStatus(w)
	}
	st := a.style(a.stdout)
	view.DemoRow(a.stdout, st, row.ID, row.Note, row.Delay)
	status := a.showStatus(w)
	psql := fmt.Sprintf("%s/psql -h %s -p %d postgres", c.Primary().BinDir, d.Dir, c.Primary().Port)
	if me, err := user.Current(); err == nil && me.Uid != d.Owner.Uid {
		psql = "runuser -u " + d.Owner.Username + " -- " + psql
	}
	view.DemoNext(a.stdout, st, []view.Suggestion{
		{Command: psql, Purpose: "talk to the primary"},
		{Command: "$EDITOR " + d.Dir + "/cluster.hcl", Purpose: "change a parameter, say work_mem, or add a node"},
		{Command: a.again("plan"), Purpose: "see what that means, step by step"},
		{Command: a.again("apply"), Purpose: "do it"},
		{Command: a.again("status"), Purpose: "see how the cluster is doing"},
		{Command: a.program + " demo --destroy" + dirFlag(d.Dir), Purpose: "take everything away"},
	})
	return status
}

func dirFlag(dir string) string {
	if dir == demo.DefaultDir {
		return ""
	}
	return " --dir " + quote(dir)
}

func (a *app) demoDestroy(ctx context.Context, dir string) error {
	d, err := demo.At(dir)
	if err != nil {
		return err
	}
	if exists, err := d.Exists(); err != nil {
		return err
	} else if !exists {
		return fmt.Errorf("there is no demo in %s", d.Dir)
	}
	cfg, ds := schema.Load(d.Dir, schema.LoadOptions{})
	if ds.HasErrors() {
		return ds
	}
	host := remote.NewLocal("this machine")
	defer host.Close()
	if err := d.Destroy(ctx, host, cfg.Clusters[0].Primary().BinDir); err != nil {
		return err
	}
	if !a.quiet && !a.json {
		fmt.Fprintf(a.stdout, "The demo in %s is gone.\n", d.Dir)
	}
	return nil
}
