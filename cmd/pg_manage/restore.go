package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"pg_manage/cmd/internal/view"
	"pg_manage/executor/node"
	"pg_manage/executor/observe"
	"pg_manage/planner"
	"pg_manage/schema"
	"pg_manage/schema/postgres"
)

// restoreOptions are the flags of restore.
type restoreOptions struct {
	apply     applyOptions
	time      string
	lsn       string
	xid       string
	name      string
	immediate bool
	latest    bool
	exclusive bool
	timeline  string
	backup    string
	target    string
	delta     bool
	spaces    []string
	dryRun    bool
}

func (a *app) restoreCommand() *cobra.Command {
	var o restoreOptions
	cmd := &cobra.Command{
		Use:   "restore CLUSTER --to-time TIME|--to-lsn LSN|--to-xid XID|--to-name NAME|--immediate|--latest",
		Short: "Bring a cluster back to an earlier point in time",
		Long: `Finds the point in the WAL archive, chooses the base backup to begin with, shows the plan
like plan does, asks, and does it: the servers are stopped, the data directories are moved
aside and kept, the backup is restored on the primary and recovered to the point, the
standbys are rebuilt from it, and a new backup is taken. A point that cannot be reached is
refused before anything is touched.

A time needs its zone, such as "2026-11-22 21:55:00+00". Recovery includes the transaction,
or what happened at that very time or LSN; --exclusive stops before it.

With --delta the backup is restored over the stopped data directory of the primary, and only
what differs is fetched and written: it is faster and needs no room for a second copy, and
the old data is overwritten and not kept. Cut off in its middle it leaves a directory that
PostgreSQL cannot be started on.

Every node whose data is moved aside or overwritten needs consent by name, as with apply. Cut
off at any point, the same command run again goes on.

` + exitHelp,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return &hintedError{"restore takes the name of one cluster", "Write `pg_manage restore CLUSTER --to-time \"2026-11-22 21:55:00+00\"`, or another point."}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			want, err := o.want(cmd.Flags())
			if err != nil {
				return err
			}
			return a.restore(cmd, &o, args[0], want)
		},
	}
	f := cmd.Flags()
	a.vars.flags(f)
	f.StringVar(&o.time, "to-time", "", "the `TIME` to go back to, with its zone")
	f.StringVar(&o.lsn, "to-lsn", "", "the `LSN` to go back to, such as 0/3000060")
	f.StringVar(&o.xid, "to-xid", "", "the transaction `XID` to go back to")
	f.StringVar(&o.name, "to-name", "", "the restore point `NAME` to go back to (pg_create_restore_point)")
	f.BoolVar(&o.immediate, "immediate", false, "only as far as the backup needs to be consistent")
	f.BoolVar(&o.latest, "latest", false, "to the end of the archived WAL")
	f.BoolVar(&o.exclusive, "exclusive", false, "stop just before the time, LSN or transaction")
	f.StringVar(&o.timeline, "timeline", "latest", "the `TIMELINE` to follow: latest, current (the backup's) or a number")
	f.StringVar(&o.backup, "backup", "", "begin with the backup `LABEL`; else the newest that leads there is chosen")
	f.StringVar(&o.target, "target", "", "take the backup from the target `NAME`; needed when the cluster has several")
	f.BoolVar(&o.delta, "delta", false, "restore over the primary's old data, which is not kept, instead of moving it aside")
	f.StringArrayVar(&o.spaces, "tablespace", nil, "restore the tablespace that the backup has at OLD to NEW, as `OLD=NEW`; may be given several times")
	f.BoolVarP(&o.dryRun, "dry-run", "n", false, "only show the plan")
	f.BoolVar(&o.apply.autoApprove, "auto-approve", false, "do not ask; the steps that set data aside or overwrite it still need --allow-data-loss")
	f.StringSliceVar(&o.apply.allowLoss, "allow-data-loss", nil, "consent to the steps on `NODE` that set its data aside or overwrite it; may be given several times")
	f.DurationVar(&o.apply.lockTimeout, "lock-timeout", 0, "how long to wait for another run that holds the cluster's lock, such as 2m")
	f.BoolVarP(&o.apply.verbose, "verbose", "v", false, "show all commands of each step")
	o.apply.parallelism = 10
	return cmd
}

// want reads where recovery is to end.
func (o *restoreOptions) want(f *pflag.FlagSet) (*schema.Restore, error) {
	var given []string
	for _, name := range []string{"to-time", "to-lsn", "to-xid", "to-name", "timeline", "backup", "target"} {
		// A variable of a script that is not set must not mean the end of the WAL.
		if x := f.Lookup(name); x.Changed && x.Value.String() == "" {
			return nil, &hintedError{"--" + name + " is empty", "Give its value, or leave the flag out."}
		}
	}
	for _, name := range []string{"to-time", "to-lsn", "to-xid", "to-name", "immediate", "latest"} {
		if x := f.Lookup(name); x.Changed && x.Value.String() != "false" {
			given = append(given, "--"+name)
		}
	}
	switch {
	case len(given) == 0:
		return nil, &hintedError{"restore to which point?", "Give one of --to-time, --to-lsn, --to-xid, --to-name, --immediate and --latest."}
	case len(given) > 1:
		return nil, &hintedError{fmt.Sprintf("recovery cannot end at %s and at %s", given[0], given[1]), "Keep one of them."}
	case o.exclusive && o.time == "" && o.lsn == "" && o.xid == "":
		return nil, &hintedError{"--exclusive goes with --to-time, --to-lsn or --to-xid", "Leave it out."}
	}
	if o.time != "" {
		if _, err := schema.ParseTime(o.time); err != nil {
			return nil, &hintedError{"--to-time: " + err.Error(), "A time means the same everywhere only with its zone."}
		}
	}
	if o.lsn != "" {
		if at, err := postgres.ParseLSN(o.lsn); err != nil || at == 0 { // which would mean the end of the WAL
			return nil, &hintedError{fmt.Sprintf("--to-lsn: %q is not an LSN", o.lsn), "Write two hexadecimal numbers with a slash between them, for example 0/3000060."}
		}
	}
	if o.xid != "" {
		if _, err := postgres.ParseXID(o.xid); err != nil {
			return nil, &hintedError{fmt.Sprintf("--to-xid: %q is not a transaction id", o.xid), "Write its number, for example 731."}
		}
	}
	if len(o.name) > 63 {
		return nil, &hintedError{"--to-name: the name is too long", "PostgreSQL's restore points have at most 63 bytes."}
	}
	if n, err := strconv.ParseUint(o.timeline, 10, 32); o.timeline != "latest" && o.timeline != "current" && (err != nil || n == 0) {
		return nil, &hintedError{fmt.Sprintf("--timeline: %q is not a timeline", o.timeline), "Write latest, current or a number from 1 up."}
	}
	var spaces map[string]string
	for _, s := range o.spaces {
		from, to, ok := strings.Cut(s, "=")
		if !ok {
			return nil, &hintedError{fmt.Sprintf("--tablespace: %q is not OLD=NEW", s), "Write where the backup has the tablespace and where it is to be, for example /srv/ssd=/mnt/ssd."}
		}
		if spaces == nil {
			spaces = map[string]string{}
		}
		if err := schema.MapTablespace(spaces, from, to); err != nil {
			return nil, &hintedError{"--tablespace: " + err.Error(), "Write where the backup has the tablespace and where it is to be, for example /srv/ssd=/mnt/ssd."}
		}
	}
	return &schema.Restore{
		Backup: o.backup, Timeline: o.timeline, Tablespaces: spaces,
		RecoveryTarget: schema.RecoveryTarget{Time: o.time, LSN: o.lsn, XID: o.xid, Name: o.name, Immediate: o.immediate, Inclusive: !o.exclusive},
	}, nil
}

// source settles from which target the backup comes.
func (o *restoreOptions) source(c *schema.Cluster) (*schema.Target, error) {
	var names []string
	for _, t := range (keeper{cluster: c}).targets() {
		if o.target == t.Name {
			return t, nil
		}
		names = append(names, t.Name)
	}
	switch {
	case len(names) == 0:
		return nil, &hintedError{fmt.Sprintf("cluster %s has no base backups", c.Name), "Only what a backup block declares can be restored. A new cluster is made from another's backups with bootstrap { restore { ... } }."}
	case o.target != "":
		return nil, unknownName("backup target", o.target, names)
	case len(names) > 1:
		return nil, &hintedError{fmt.Sprintf("cluster %s has backups at several targets", c.Name), "Say which one: --target " + orList(names) + "."}
	}
	return c.Backups[0].Target, nil
}

func (a *app) restore(cmd *cobra.Command, o *restoreOptions, name string, want *schema.Restore) error {
	cfg, err := a.load(cmd)
	if err != nil {
		return err
	}
	if cfg, err = only(cfg, []string{name}); err != nil {
		return err
	}
	c := cfg.Clusters[0]
	if want.Target, err = o.source(c); err != nil {
		return err
	}
	want.Cluster = c.Name
	req := &planner.RestoreRequest{Cluster: c.Name, Want: *want, Delta: o.delta}
	w := a.newWorld(cfg)
	defer w.close()
	w.prepare()
	if err := w.observeWith(cmd.Context(), observe.Options{Restore: req}); err != nil {
		return err
	}
	if err := a.locate(cmd.Context(), w, chooseKeeper(c, w.observed), want); err != nil {
		return err
	}
	if err := w.planWith(planner.Options{Restore: req}); err != nil {
		return fmt.Errorf("cannot plan: %w", err)
	}
	o.apply.lead = fmt.Sprintf("These steps bring cluster %s back, %s:", c.Name, planner.RecoveryText(*want))
	if o.dryRun {
		opt := view.PlanOptions{Commands: o.apply.verbose, Lead: o.apply.lead}
		switch {
		case a.json:
			view.PlanJSON(a.out(cmd), w.plan, opt)
		case !a.quiet:
			view.PlanHuman(a.stdout, a.style(a.stdout), w.plan, opt)
		}
		return planStatus(w.plan, false)
	}
	return a.applyPlan(cmd, &o.apply, w, a.restoreAgain(cmd.Flags(), name))
}

// restoreAgain is the command that goes on where this one stops.
func (a *app) restoreAgain(f *pflag.FlagSet, name string) string {
	args := []string{name}
	f.Visit(func(x *pflag.Flag) {
		switch {
		case slices.Contains([]string{"chdir", "cluster", "var", "var-file", "json"}, x.Name):
		case x.Value.Type() == "bool":
			switch x.Value.String() {
			case "true":
				args = append(args, "--"+x.Name)
			case "false":
				args = append(args, "--"+x.Name+"=false")
			}
		case x.Name == "allow-data-loss":
			for _, node := range strings.Split(strings.Trim(x.Value.String(), "[]"), ",") {
				args = append(args, "--"+x.Name, node)
			}
		case x.Name == "tablespace":
			if list, ok := x.Value.(pflag.SliceValue); ok {
				for _, s := range list.GetSlice() {
					args = append(args, "--"+x.Name, s)
				}
			}
		default:
			args = append(args, "--"+x.Name, x.Value.String())
		}
	})
	return a.again("restore", args...)
}

// locateSources looks up what clusters that are still to be made are restored from.
func (a *app) locateSources(ctx context.Context, w *world) error {
	for _, c := range w.cfg.Clusters {
		if c.Bootstrap == nil || c.Bootstrap.Restore == nil {
			continue
		}
		if err := a.locate(ctx, w, chooseKeeper(c, w.observed), c.Bootstrap.Restore); err != nil {
			return err
		}
	}
	return nil
}

// locate lets a node look up in the archives where the point is, and adds it to what was
// observed of the catalogue. Where that cannot be asked, the plan tells.
func (a *app) locate(ctx context.Context, w *world, k keeper, want *schema.Restore) error {
	cat := w.catalog(k.cluster.Name, want)
	if cat == nil || !cat.Known || len(cat.Backups) == 0 || k.err != nil {
		return nil
	}
	req, err := node.NewLocateRequest(w.cfg, want, k.facts.Paths.State)
	if err != nil {
		return err
	}
	var res node.LocateResult
	err = a.call(ctx, w, k, "locate", req, &res)
	if err != nil {
		return fmt.Errorf("where the point is in the archive cannot be found: %w", err)
	}
	cat.Archives, cat.Found = res.Archives, res.Found
	return nil
}

// catalog is the observed catalogue that a restore takes its backup from; nil when nobody was asked.
func (w *world) catalog(cluster string, want *schema.Restore) *planner.CatalogFact {
	facts := w.observed.Clusters[cluster]
	if facts == nil {
		return nil
	}
	return facts.Catalog(want.Target.Name, want.Cluster)
}
