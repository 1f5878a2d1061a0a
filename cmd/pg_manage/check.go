package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"pg_manage/cmd/internal/view"
	"pg_manage/planner"
	"pg_manage/schema"
)

func (a *app) checkCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Tell by the exit code whether a node is primary or standby, or backups are in order",
		Long: fmt.Sprintf(`Asks the PostgreSQL server of a node whether it is primary or standby, for
monitoring and load balancers. Without a name it asks the node that the cluster
files declare on this machine. check backup looks at the base backups.

Exit codes:
  %d  it is what was asked for
  %d  it is not, or no server runs there
  %d  could not tell: the node is unreachable, the server does not answer, or the
     cluster files are in error`, exitCheckTrue, exitCheckFalse, exitCheckUnknown),
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return checkUnknown(&hintedError{"check what?", "Write `pg_manage check primary`, `pg_manage check standby` or `pg_manage check backup`."})
			}
			return checkUnknown(&hintedError{fmt.Sprintf("cannot check %q", args[0]), suggest(args[0], []string{"primary", "standby", "backup"}, "") + "There are primary, standby and backup."})
		},
		RunE: func(*cobra.Command, []string) error { return nil },
	}
	cmd.AddCommand(a.checkRole(schema.RolePrimary), a.checkRole(schema.RoleStandby), a.checkBackup())
	return cmd
}

func checkUnknown(err error) error { return &exitStatus{exitCheckUnknown, err} }

func (a *app) checkRole(role schema.Role) *cobra.Command {
	cmd := &cobra.Command{
		Use:   string(role) + " [NODE]",
		Short: "Exit with 0 when the node is a " + string(role),
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return checkUnknown(&hintedError{"check takes one node", "Write `pg_manage check " + string(role) + " NODE`."})
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			result, err := a.check(cmd, role, args)
			if err != nil {
				return checkUnknown(err)
			}
			if a.json {
				if err := view.WriteJSON(a.stdout, result); err != nil {
					return checkUnknown(err)
				}
			} else if !a.quiet {
				view.CheckHuman(a.stdout, result)
			}
			switch {
			case result.Result == nil:
				return &exitStatus{code: exitCheckUnknown}
			case !*result.Result:
				return &exitStatus{code: exitCheckFalse}
			}
			return nil
		},
	}
	a.vars.flags(cmd.Flags())
	return cmd
}

func (a *app) check(cmd *cobra.Command, role schema.Role, args []string) (view.Check, error) {
	cfg, err := a.load(cmd)
	if err != nil {
		return view.Check{}, err
	}
	cluster, node, err := oneNode(cfg, args)
	if err != nil {
		return view.Check{}, err
	}
	// Only this one node is asked: others may be down, and time matters here.
	alone := *cluster
	alone.Nodes = []*schema.Node{node}
	w := a.newWorld(&schema.Config{Targets: cfg.Targets, Clusters: []*schema.Cluster{&alone}})
	defer w.close()
	if err := w.observe(cmd.Context()); err != nil {
		return view.Check{}, err
	}
	return roleOf(cluster.Name, node.Name, role, w.observed.Node(cluster.Name, node.Name)), nil
}

// roleOf judges what a node said.
func roleOf(cluster, node string, want schema.Role, f *planner.NodeFacts) view.Check {
	c := view.Check{FormatVersion: view.FormatVersion, Cluster: cluster, Node: node, Asked: want}
	verdict := func(b bool) *bool { return &b }
	switch {
	case f == nil:
		c.Reason = "it was not looked at"
	case f.Unreachable != "":
		c.Reason = "unreachable: " + f.Unreachable
	case f.Server.Accepting:
		c.Role = schema.RolePrimary
		if f.Server.InRecovery {
			c.Role = schema.RoleStandby
		}
		c.Result = verdict(c.Role == want)
	case f.Server.Running:
		c.Reason = "the server does not answer: " + f.Server.Error
	case f.Data.State == planner.DataUnknown:
		c.Reason = "the data directory cannot be read: " + f.Data.Error
	default:
		c.Reason = "no server runs there"
		c.Result = verdict(false)
	}
	return c
}

// oneNode is the node of the given name, or the one on this machine.
func oneNode(cfg *schema.Config, args []string) (*schema.Cluster, *schema.Node, error) {
	type found struct {
		cluster *schema.Cluster
		node    *schema.Node
	}
	var hits []found
	var all, local []string
	for _, c := range cfg.Clusters {
		for _, n := range c.Nodes {
			all = append(all, c.Name+"/"+n.Name)
			switch {
			case len(args) == 1 && (args[0] == n.Name || args[0] == c.Name+"/"+n.Name),
				len(args) == 0 && n.Connection.Type == "local":
				hits = append(hits, found{c, n})
				local = append(local, c.Name+"/"+n.Name)
			}
		}
	}
	slices.Sort(local)
	switch {
	case len(hits) == 1:
		return hits[0].cluster, hits[0].node, nil
	case len(hits) > 1:
		return nil, nil, &hintedError{"several nodes fit", "Name one of: " + strings.Join(local, ", ") + "."}
	case len(args) == 1:
		return nil, nil, unknownName("node", args[0], all)
	default:
		return nil, nil, &hintedError{"no node is declared on this machine (connection type \"local\")", "Name the node to ask: " + strings.Join(all, ", ") + "."}
	}
}
