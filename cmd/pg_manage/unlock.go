package main

import (
	"fmt"
	"os"
	"os/user"
	"time"

	"github.com/spf13/cobra"

	"pg_manage/cmd/internal/view"
	"pg_manage/executor"
	"pg_manage/planner"
)

// lease is how this run takes clusters for itself.
func lease(wait time.Duration) *executor.LeaseOptions {
	name, host := "unknown", "unknown"
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	if h, err := os.Hostname(); err == nil {
		host = h
	}
	return &executor.LeaseOptions{Holder: name + "@" + host, PID: os.Getpid(), Operation: "apply", Timeout: wait}
}

func (a *app) unlockCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "unlock CLUSTER",
		Short: "Break the lock that another apply holds on a cluster",
		Long: `Breaks the lock on all nodes of a cluster, and tells whose it was. An apply that
still runs notices it within seconds and stops. A lock whose holder is gone is
given up without this: it ends with the holder's connection.`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return &hintedError{"unlock takes the name of one cluster", "Write `pg_manage unlock CLUSTER`."}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := a.load(cmd)
			if err != nil {
				return err
			}
			if cfg, err = only(cfg, args); err != nil {
				return err
			}
			w := a.newWorld(cfg)
			defer w.close()
			if err := w.observe(cmd.Context()); err != nil {
				return err
			}
			return a.unlock(cmd, w)
		},
	}
	a.vars.flags(cmd.Flags())
	return cmd
}

func (a *app) unlock(cmd *cobra.Command, w *world) error {
	c := w.cfg.Clusters[0]
	out := view.Unlock{FormatVersion: view.FormatVersion, Cluster: c.Name, Nodes: []view.UnlockedNode{}}
	for _, n := range c.Nodes {
		u := view.UnlockedNode{Node: n.Name}
		if held, err := w.breakLease(cmd, c.Name, n.Name); err != nil {
			u.Error = err.Error()
		} else if held != nil {
			u.Broken, u.Holder, u.Operation, u.AgeSeconds = true, held.Holder, held.Operation, held.Age.Seconds()
		}
		out.Nodes = append(out.Nodes, u)
	}
	if a.json {
		if err := view.WriteJSON(a.stdout, out); err != nil {
			return err
		}
	} else if !a.quiet {
		view.UnlockHuman(a.stdout, out)
	}
	for _, u := range out.Nodes {
		if u.Error != "" {
			return &exitStatus{code: exitError}
		}
	}
	return nil
}

func (w *world) breakLease(cmd *cobra.Command, clusterName, node string) (*executor.HeldError, error) {
	f := w.observed.Node(clusterName, node)
	if f == nil {
		f = &planner.NodeFacts{Unreachable: "it was not looked at"}
	}
	if f.Unreachable != "" {
		return nil, fmt.Errorf("unreachable: %s", f.Unreachable)
	}
	h, err := w.host(cmd.Context(), clusterName, node)
	if err != nil {
		return nil, err
	}
	return executor.Unlock(cmd.Context(), h, node, f.Host.Owner, executor.LeaseDir(f.Paths.State))
}
