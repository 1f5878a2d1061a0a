package planner

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"pg_manage/schema"
)

// wanted is the restore that this plan makes the primary's data from; nil when it makes none.
func (b *builder) wanted() *schema.Restore {
	switch {
	case b.inPlace != nil:
		return &b.inPlace.want
	case b.c.Bootstrap != nil:
		return b.c.Bootstrap.Restore
	}
	return nil
}

// restoreMark stands for what was asked for, so that a run after one that was cut off
// knows its own work.
func restoreMark(w schema.Restore) string {
	t := ""
	if w.Target != nil {
		t = w.Target.URL.String() + "/" + w.Target.BackupDir
	}
	asked := []any{t, w.Cluster, w.Backup, w.RecoveryTarget, w.Timeline}
	if len(w.Tablespaces) > 0 {
		asked = append(asked, w.Tablespaces)
	}
	b, err := json.Marshal(asked)
	if err != nil { // strings and flags alone: cannot happen
		panic(err)
	}
	return Digest(string(b))[:16]
}

// RecoveryText says where a recovery ends, for a person.
func RecoveryText(w schema.Restore) string {
	t, upTo := w.RecoveryTarget, "up to"
	if !t.Inclusive {
		upTo = "before"
	}
	out := "to the end of the WAL"
	switch {
	case t.Time != "":
		out = upTo + " " + t.Time
	case t.LSN != "":
		out = upTo + " LSN " + t.LSN
	case t.XID != "":
		out = upTo + " transaction " + t.XID
	case t.Name != "":
		out = "to restore point " + t.Name
	case t.Immediate:
		out = "to the end of the backup"
	}
	if w.Timeline != "" && w.Timeline != "latest" {
		out += ", timeline " + w.Timeline
	}
	return out
}

// unrecovered lets a primary whose data was restored, and whose recovery has not ended, be
// planned for as one that is stopped: what its server says now is not what it will be.
func (b *builder) unrecovered() {
	n := b.c.Primary()
	if n == nil || b.node(n).Data.Restored == "" {
		return
	}
	b.pretend(n, midway(b.node(n)))
}

func midway(f *NodeFacts) *NodeFacts {
	g := *f
	g.Server = ServerFacts{}
	g.Data.StandbySignal, g.Data.RecoverySignal = false, false
	return &g
}

// sourceArchives are where the WAL of a restore's source lies: what the source declares,
// where it is in the same files, and the target of the backup.
func (b *builder) sourceArchives(w *schema.Restore) []HookTarget {
	var out []HookTarget
	add := func(t *schema.Target) {
		h := hookTarget(t)
		// A name of its own keeps what the node knows of the cluster's own archive apart.
		h.Name, h.Required = "source:"+h.Name, true
		if !slices.ContainsFunc(out, func(o HookTarget) bool { return o.SamePlace(&h) }) {
			out = append(out, h)
		}
	}
	for _, c := range b.config.Clusters {
		if c.Name == w.Cluster {
			for _, a := range ArchiveOrder(c) {
				add(a.Target)
			}
		}
	}
	add(w.Target)
	return out
}

// unarchived says that the source of a restore has no archive: as was found when it was
// looked for, else as the source declares, or as its backups tell, which of a running server
// have their WAL in them only without one.
func (b *builder) unarchived(cat *CatalogFact, w *schema.Restore) bool {
	if len(cat.Archives) > 0 {
		return cat.unarchived()
	}
	for _, c := range b.config.Clusters {
		if c.Name == w.Cluster {
			return !c.Archived()
		}
	}
	return !slices.ContainsFunc(cat.Backups, func(x BackupFact) bool { return x.Broken == "" && (x.WAL != walIncluded || x.Cold) })
}

// unarchived says that it was looked for archives, and there is none.
func (c *CatalogFact) unarchived() bool {
	return len(c.Archives) > 0 && !slices.ContainsFunc(c.Archives, func(a ArchiveWAL) bool { return a.Target != "" })
}

// RestoreConfig is the configuration that a restored server reads the WAL of its source
// with. It lies in Instance.State/RestoreConfigFile while the recovery lasts.
func (d RestoreDetail) RestoreConfig(i Instance, node string) HookConfig {
	return HookConfig{
		Version: HookConfigVersion, Cluster: d.Source.Place.Cluster, Node: node, DataDir: i.DataDir,
		Targets: d.Archives, SpoolDir: i.State + "/spool",
	}
}

// Names of files of a restore.
const (
	RestoreConfigFile = "restore.json"        // in Instance.State
	RestoreIntentFile = "restore-intent.json" // in Instance.State
	RestoredFile      = "pg_manage.restored"  // in the data directory until the recovery has ended; holds what was asked for
)

// RestoreCommand is restore_command of an instance whose WAL comes with this configuration.
func RestoreCommand(tool, config, options string) string {
	hook := strings.ReplaceAll(shellQuote(tool+"/pg_manage-hook")+" --config "+shellQuote(config), "%", "%%") // % begins a placeholder in these settings
	// Go's runtime ends a program with 2 when the kernel gives it no memory, before any code of ours runs. In standby
	// mode PostgreSQL tries again after it; outside it would take it for the archive's end, so there it becomes a
	// status on which it stops. Its commands run in the data directory.
	return hook + " restore" + options + " %f %p; s=$?; [ $s -ne 2 ] || [ -e standby.signal ] || s=200; exit $s"
}

// RecoverCommand is restore_command of a server that was restored, until its recovery has ended.
// RestoredFile comes last of all to such a directory. Without it PostgreSQL stops at once: what a
// restore that was cut off left is not opened, and the same restore goes on there.
func RecoverCommand(tool, config string) string {
	return "[ -e " + RestoredFile + " ] || exit 200; " + RestoreCommand(tool, config, "")
}

// restoreChanges tells a person what a restore comes to.
func restoreChanges(x *BackupFact, choice *RecoveryChoice) []Change {
	backup := fmt.Sprintf("%s of timeline %d, ended at %s (%s)", x.Kind, x.Timeline, x.StopTime.UTC().Format("2006-01-02 15:04:05 MST"), x.StopLSN)
	out := []Change{{Name: "backup", After: backup}}
	if choice.EndLSN != 0 {
		out = append(out, Change{Name: "recovery ends at", After: choice.EndLSN.String()})
	}
	if choice.Timeline != 0 {
		out = append(out, Change{Name: "timeline", Before: fmt.Sprint(choice.Timeline), After: "a new one that branches off it"})
	}
	return out
}

// restoreInstance makes the data directory of the primary from a base backup.
func (b *builder) restoreInstance(n *schema.Node, blocked string, pre []Condition) {
	f, w := b.node(n), b.wanted()
	cat, later := b.catalog(w.Target, w.Cluster)
	if cat == nil && later == "" {
		b.halted[n.Name] = true
		return
	}
	d := RestoreDetail{
		Source: BackupSource{Place: NewBackupPlace(w.Target, w.Cluster), Label: w.Backup}, Want: *w, Archives: b.sourceArchives(w),
		Mark: restoreMark(*w), InPlace: f.Data.MountPoint, Settings: b.settingsDetail(n), Apart: b.inPlace == nil && !b.c.Archived(),
	}
	var s Step
	what := "a base backup of " + w.Cluster + " from " + w.Target.Name + " (" + later + ")"
	if cat != nil {
		x, choice, err := b.chooseFrom(cat, w)
		if err != nil {
			b.errorf(n, "`pg_manage backups` lists what there is.", "%s cannot be restored %s: %v", n.Name, RecoveryText(*w), err)
			return
		}
		d.Source.Label, d.SystemIdentifier, d.Want.Timeline = x.Label, x.SystemIdentifier, first(choice.Setting, w.Timeline)
		d.Tablespaces = b.besideOld(n, x)
		d.mapTablespaces(x)
		if own(x) && b.unarchived(cat, w) {
			d.Archives = nil
		}
		s.Changes = restoreChanges(x, choice)
		what = "base backup " + x.Label + " of " + w.Cluster + " from " + w.Target.Name
	}
	s = Step{
		Action: ActionCreate, Summary: "restore " + what, Blocked: blocked, Changes: s.Changes,
		Reason: fmt.Sprintf("%s is declared primary, its data directory is %s, and bootstrap says restore", n.Name, f.Data.State),
		Pre:    pre, Commands: []string{"pg_manage node restore"},
		Post: []Condition{
			{Node: n.Name, Fact: FactDataState, Want: string(DataCluster)},
			{Node: n.Name, Fact: FactRestored, Want: d.Mark},
		},
		Needs: []string{b.id(n, KindInstall), b.id(n, KindHookConfig)},
		Undo:  "an interrupted restore lies beside the data directory and is cleared away by the next one",
	}
	for _, oid := range sortedKeys(d.Tablespaces) {
		note := "beside the old one"
		if slices.Contains(slices.Collect(maps.Values(w.Tablespaces)), d.Tablespaces[oid]) {
			note = ""
		}
		s.Changes = append(s.Changes, Change{Name: "tablespace " + oid, After: d.Tablespaces[oid], Note: note})
	}
	if d.SystemIdentifier != "" {
		s.Post = append(s.Post, Condition{Node: n.Name, Fact: FactSystemID, Want: d.SystemIdentifier})
	}
	if b.inPlace != nil {
		b.asideToRestore(n, &s, &d)
	} else if why := b.ownArchive(w); why != "" {
		s.Blocked = why
	} else {
		for _, a := range b.c.Archives {
			if a.Required {
				s.Pre = append(s.Pre, Condition{Node: n.Name, Fact: FactArchive, Arg: a.Target.Name, Want: string(ArchiveAbsent)})
			}
		}
	}
	b.recover(n, d.Mark, RecoveryText(*w), b.add(n, d, s))
}

// ownArchive says why a restored cluster would write into the archive of its source, or keep
// house among the backups of that.
func (b *builder) ownArchive(w *schema.Restore) string {
	for _, a := range b.c.Archives {
		h := hookTarget(a.Target)
		if b.c.Name == w.Cluster && slices.ContainsFunc(b.sourceArchives(w), func(s HookTarget) bool { return s.SamePlace(&h) }) {
			return fmt.Sprintf("it would archive into the archive of its source at %s. To bring %s itself back use `pg_manage restore %s`; a copy needs a name or an archive_dir of its own",
				archiveURL(b.c, a.Target), b.c.Name, b.c.Name)
		}
	}
	for _, x := range b.backupTargets() {
		if b.c.Name == w.Cluster && sameBackups(x.target, w.Target) {
			return fmt.Sprintf("its base backups would lie among those of its source at %s, and its rules would remove those. To bring %s itself back use `pg_manage restore %s`; a copy needs a name or a backup_dir of its own",
				x.target.URL.String(), b.c.Name, b.c.Name)
		}
	}
	return ""
}

// recover lets a restored server recover, and become primary.
func (b *builder) recover(n *schema.Node, mark, to string, after ...string) {
	d := RecoverDetail{To: to, Intent: b.inPlace != nil}
	s := Step{
		Action: ActionUpdate, Summary: "recover " + to + ", and become primary", Reason: "its data was restored from a backup, and is to be brought up to there",
		Effect: EffectRoleChange, Commands: []string{serviceCommand(b.instance(n), "start")},
		Pre: []Condition{
			{Node: n.Name, Fact: FactDataState, Want: string(DataCluster)},
			{Node: n.Name, Fact: FactRestored, Want: mark},
		},
		Post:  append(b.runs(n), Condition{Node: n.Name, Fact: FactRestored, Want: "no"}),
		Needs: append(slices.Concat(after, b.archivesCreated(n)), b.id(n, KindSettings), b.id(n, KindHBA), b.id(n, KindPassfile), b.id(n, KindHookConfig), b.id(n, KindInstall)),
		Undo:  "it goes on with the next apply when it was cut off",
	}
	if b.inPlace == nil {
		s.Blocked = b.mayContradict(n)
	}
	for _, o := range b.c.Nodes { // nobody else may have become primary in the meantime
		if of := b.node(o); o != n && of.Server.Accepting {
			s.Pre = append(s.Pre, Condition{Node: o.Name, Fact: FactRole, Want: "standby"})
		}
	}
	b.add(n, d, s)
}
