package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"pg_manage/cmd/internal/view"
	"pg_manage/executor/node"
	"pg_manage/schema"
)

// backupOptions are the flags of backup.
type backupOptions struct {
	rule        string
	full, incr  bool
	parent      string
	from        string
	cold        bool
	rate        string
	workers     int
	dryRun      bool
	lockTimeout time.Duration
}

func (a *app) backupCommand() *cobra.Command {
	var o backupOptions
	cmd := &cobra.Command{
		Use:   "backup [CLUSTER]",
		Short: "Take a base backup now; show, pin and expire backups",
		Long: `Takes a base backup of a cluster as one of its backup blocks describes it, straight from
a node to the target, and waits until the WAL that it needs is archived. The cluster goes
on working. Without --full and --incremental the block decides: full_every.

A backup that is cut off is none: it is never listed, and the next one clears it away.

` + exitHelp,
		Args: atMostOneCluster("backup"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.check(); err != nil {
				return err
			}
			w, keepers, err := a.keepers(cmd, args)
			if err != nil {
				return err
			}
			defer w.close()
			if len(keepers) > 1 {
				return &hintedError{"several clusters have base backups", "Name the one to back up: `pg_manage backup CLUSTER`."}
			}
			return a.backup(cmd, &o, w, keepers[0])
		},
	}
	f := cmd.Flags()
	a.vars.flags(f)
	f.StringVar(&o.rule, "rule", "", "the backup block `NAME` says where to and how; needed when the cluster has several")
	f.BoolVar(&o.full, "full", false, "take a full backup")
	f.BoolVar(&o.incr, "incremental", false, "store only what changed since the newest backup")
	f.StringVar(&o.parent, "parent", "", "store only what changed since the backup `LABEL`")
	f.StringVar(&o.from, "from", "", "`NODE` to take it on, or primary or standby")
	f.BoolVar(&o.cold, "cold", false, "of a stopped instance")
	f.StringVar(&o.rate, "rate", "", "read at most `SIZE` a second, such as 50MB")
	f.IntVar(&o.workers, "workers", 0, "files read and compressed at a time: `N`")
	f.BoolVarP(&o.dryRun, "dry-run", "n", false, "only tell what would be done")
	f.DurationVar(&o.lockTimeout, "lock-timeout", 0, "how long to wait for another run that holds the cluster's lock, such as 2m")
	cmd.AddCommand(a.backupShow(), a.backupPin(true), a.backupPin(false), a.backupExpire())
	return cmd
}

func (o *backupOptions) check() error {
	switch {
	case o.full && o.incr:
		return &hintedError{"a backup is full or incremental", "Keep one of --full and --incremental."}
	case o.full && o.parent != "":
		return &hintedError{"a full backup has no parent", "Keep one of --full and --parent."}
	case o.workers < 0 || o.workers > 64:
		return &hintedError{fmt.Sprintf("--workers %d makes no sense", o.workers), "Write a number from 1 to 64."}
	}
	if o.rate != "" {
		if _, err := schema.ParseSize(o.rate); err != nil {
			return &hintedError{"--rate: " + err.Error(), ""}
		}
	}
	return nil
}

// ruleOf is the backup block of a name, or the only one.
func ruleOf(c *schema.Cluster, name string) (*schema.Backup, error) {
	var all []string
	for _, r := range c.Backups {
		if r.Name == name || name == "" && len(c.Backups) == 1 {
			return r, nil
		}
		all = append(all, r.Name)
	}
	if name == "" {
		return nil, &hintedError{fmt.Sprintf("cluster %s has several backup blocks", c.Name), "Say which one: --rule " + orList(all) + "."}
	}
	return nil, unknownName("backup block", name, all)
}

func orList(words []string) string {
	out := ""
	for i, w := range words {
		switch {
		case i == 0:
		case i == len(words)-1:
			out += " or "
		default:
			out += ", "
		}
		out += w
	}
	return out
}

// backup takes one.
func (a *app) backup(cmd *cobra.Command, o *backupOptions, w *world, k keeper) error {
	rule, err := ruleOf(k.cluster, o.rule)
	if err != nil {
		return err
	}
	from, err := o.source(k.cluster, rule, w.observed)
	if err != nil {
		return err
	}
	req, err := a.backupRequest(cmd, o, w, k, from, rule)
	if err != nil {
		return err
	}
	if o.dryRun {
		doc := view.BackupIntent{
			FormatVersion: view.FormatVersion, Cluster: k.cluster.Name, Target: rule.Target.Name, Node: from.nodeName(), Standby: from.standby(), Cold: req.Cold,
			Kind: "full", Parent: req.Parent, Rule: rule.Name, Workers: req.Workers, RateBytes: req.Rate,
		}
		if req.Incremental {
			doc.Kind = "incremental"
		}
		return a.show(doc, func() { view.BackupIntentHuman(a.stdout, doc) })
	}
	ctx, release, err := a.hold(cmd.Context(), w, k.cluster, "backup", o.lockTimeout)
	if err != nil {
		return err
	}
	defer release()
	var res node.BackupResult
	if err := a.takeBackup(ctx, w, from, req, &res); err != nil {
		return err
	}
	if res.Backup.Label == "" {
		return errors.New("the node gave no answer that tells which backup it took: `pg_manage backups` lists what there is")
	}
	doc := view.BackupDocument{FormatVersion: view.FormatVersion, Cluster: k.cluster.Name, Backup: view.NewBackup(rule.Target.Name, &res.Backup, a.now())}
	return a.show(doc, func() { view.BackupTaken(a.stdout, a.style(a.stdout), doc) })
}
