package main

import (
	"github.com/spf13/cobra"

	"pg_manage/cmd/internal/view"
	"pg_manage/executor/node"
)

func (a *app) backupShow() *cobra.Command {
	var target string
	cmd := &cobra.Command{
		Use:   "show LABEL",
		Short: "Show all that is known of one base backup",
		Args:  oneLabel("backup show"),
		RunE: func(cmd *cobra.Command, args []string) error {
			w, f, err := a.findBackup(cmd, args[0], target)
			if err != nil {
				return err
			}
			defer w.close()
			now := a.now()
			doc := view.BackupDocument{FormatVersion: view.FormatVersion, Cluster: f.cluster.Name, Backup: view.NewBackup(f.target.Name, f.fact, now), Chain: f.chain()}
			return a.show(doc, func() { view.BackupHuman(a.stdout, a.style(a.stdout), doc, now) })
		},
	}
	a.vars.flags(cmd.Flags())
	cmd.Flags().StringVar(&target, "target", "", "look only at the target `NAME`")
	return cmd
}

func (a *app) backupPin(pin bool) *cobra.Command {
	var target string
	name, short, long := "pin", "Keep a base backup from retention", `Marks a backup at its target: until it is unpinned retention leaves it, and what it
rests on, alone, with the WAL that it needs.`
	if !pin {
		name, short, long = "unpin", "Leave a base backup to retention again", `Takes the mark away that backup pin has set.`
	}
	cmd := &cobra.Command{
		Use:   name + " LABEL",
		Short: short,
		Long:  long,
		Args:  oneLabel("backup " + name),
		RunE: func(cmd *cobra.Command, args []string) error {
			w, f, err := a.findBackup(cmd, args[0], target)
			if err != nil {
				return err
			}
			defer w.close()
			var res node.PinResult
			if err := a.call(cmd.Context(), w, f.keeper, name, node.PinRequest{Version: node.Version, Place: f.place(), Label: f.fact.Label, StateDir: f.facts.Paths.State}, &res); err != nil {
				return err
			}
			doc := view.BackupPin{FormatVersion: view.FormatVersion, Cluster: f.cluster.Name, Target: f.target.Name, Label: res.Label, Pinned: res.Pinned}
			return a.show(doc, func() { view.BackupPinHuman(a.stdout, doc) })
		},
	}
	a.vars.flags(cmd.Flags())
	cmd.Flags().StringVar(&target, "target", "", "look only at the target `NAME`")
	return cmd
}
