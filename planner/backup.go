package planner

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"pg_manage/schema"
	"pg_manage/schema/postgres"
)

// BackupPlace is a backup target as the program on a node sees it.
type BackupPlace struct {
	Target    HookTarget
	BackupDir string // below the target's path
	Cluster   string // whose backups and whose archive
}

// Name names the catalogue there in a condition's Arg.
func (p BackupPlace) Name() string { return catalogName(p.Cluster, p.Target.Name) }

// NewBackupPlace is the place of a cluster's backups at a target.
func NewBackupPlace(t *schema.Target, cluster string) BackupPlace {
	return BackupPlace{Target: hookTarget(t), BackupDir: t.BackupDir, Cluster: cluster}
}

// backupRules are the rules of one target, which share the backups there.
type backupRules struct {
	target *schema.Target
	rules  []*schema.Backup
}

// sameBackups says that both targets have the base backups of one cluster at one place.
func sameBackups(t, o *schema.Target) bool {
	x, y := hookTarget(t), hookTarget(o)
	x.ArchiveDir, y.ArchiveDir = "", ""
	return x.SamePlace(&y) && t.BackupDir == o.BackupDir
}

// KeepRules are what the rules of a cluster keep at the place that a target leads to: also
// those that name it by another target.
func KeepRules(c *schema.Cluster, t *schema.Target) []schema.Keep {
	var out []schema.Keep
	for _, r := range c.Backups {
		if r.Target == t || sameBackups(r.Target, t) {
			out = append(out, r.Keep)
		}
	}
	return out
}

func (b *builder) backupTargets() []backupRules {
	var out []backupRules
	for _, r := range b.c.Backups {
		i := slices.IndexFunc(out, func(x backupRules) bool { return x.target == r.Target })
		if i < 0 {
			out = append(out, backupRules{target: r.Target})
			i = len(out) - 1
		}
		out[i].rules = append(out[i].rules, r)
	}
	return out
}

// backups takes base backups where a rule has none that is young enough, proves them, and
// lets go of what no rule keeps.
func (b *builder) backups() {
	if b.halted[b.primary.Name] {
		return
	}
	for _, x := range b.backupTargets() {
		cat, later := b.catalog(x.target, b.c.Name)
		if cat == nil && later == "" {
			continue
		}
		if cat != nil && b.foreignBackups(x.target, cat) {
			continue
		}
		taken := b.takeBackup(x, cat, later)
		gone := b.expire(x, cat, taken)
		b.prove(x, cat, later, taken, gone)
	}
}

// catalog gives the catalogue of a cluster's backups, or says why it is known only later.
// When neither can be, that is told, and nothing is planned that rests on it.
func (b *builder) catalog(t *schema.Target, cluster string) (cat *CatalogFact, later string) {
	cat = b.facts.Catalog(t.Name, cluster)
	if cat != nil && cat.Known {
		if len(cat.Backups)+len(cat.Unfinished) > 0 || cluster != b.c.Name {
			return cat, ""
		}
		why := b.vanished(t, UsedForBackups)
		if why == "" {
			return cat, ""
		}
		b.find(schema.SeverityError, nil, sentence(why)+" Nothing that rests on it is planned, and nothing is written there.",
			"the base backups of %s at %s are not there any more", cluster, t.URL.String())
		return nil, ""
	}
	for _, n := range b.c.Nodes {
		if id := b.id(n, KindInstall); b.has(id) {
			return nil, "known after " + id
		}
	}
	why := "no node could be asked"
	if cat != nil && cat.Error != "" {
		why = cat.Error
	}
	b.find(schema.SeverityError, nil, sentence(why)+" What could not be looked at is never taken for absent, so nothing that rests on it is planned.",
		"the base backups of %s at %s are not known", cluster, t.URL.String())
	return nil, ""
}

// foreignBackups refuses to mix the backups of two clusters.
func (b *builder) foreignBackups(t *schema.Target, cat *CatalogFact) bool {
	id := b.node(b.primary).Data.SystemIdentifier
	for i := range cat.Backups {
		if x := &cat.Backups[i]; b.node(b.primary).holds() && id != "" && x.SystemIdentifier != id {
			b.find(schema.SeverityError, nil, "Give this cluster another name or another backup_dir, or move the old backups away. Two clusters never share a place for backups.",
				"the base backups of %s at %s belong to another cluster (%s has system identifier %s)", b.c.Name, t.URL.String(), x.Label, x.SystemIdentifier)
			return true
		}
	}
	return false
}

// due says why a rule wants a backup now, and of which kind.
type due struct {
	rule   *schema.Backup
	reason string
	full   bool
}

// takeBackup takes a backup when some rule of the target wants one. It gives the step's ID.
func (b *builder) takeBackup(x backupRules, cat *CatalogFact, later string) string {
	var want *due
	for _, r := range x.rules {
		d := b.due(r, cat, later)
		switch {
		case d == nil:
		case want == nil:
			want = d
		case d.full && !want.full:
			want.full, want.reason = true, d.reason
		}
	}
	if want == nil {
		return ""
	}
	n, why := b.backupNode(want.rule)
	if n == nil {
		b.find(schema.SeverityError, nil, why, "no node can be backed up to %s, as backup %q wants it", x.target.Name, want.rule.Name)
		return ""
	}
	return b.addBackup(n, x.target, cat, want)
}

func (b *builder) addBackup(n *schema.Node, t *schema.Target, cat *CatalogFact, want *due) string {
	kind := "an incremental"
	switch {
	case want.full:
		kind = "a full"
	case cat == nil: // without one before it is a full one
		kind = "a"
	}
	d := BackupDetail{
		Place: NewBackupPlace(t, b.c.Name), Full: want.full, Workers: want.rule.Workers, Rate: want.rule.Rate,
		Primary: b.primary.Name, Standby: n != b.primary, SystemIdentifier: b.node(b.primary).Data.SystemIdentifier,
	}
	for _, a := range ArchiveOrder(b.c) {
		d.Archives = append(d.Archives, hookTarget(a.Target))
	}
	after := ""
	if cat != nil {
		after = newestLabel(cat)
	}
	s := Step{
		Action: ActionCreate, Summary: fmt.Sprintf("take %s base backup to %s", kind, t.Name), Reason: want.reason,
		Commands: []string{"pg_manage node backup"},
		Pre: []Condition{
			{Node: n.Name, Fact: FactRole, Want: word(d.Standby, "standby", "primary")},
			{Node: b.primary.Name, Fact: FactRole, Want: "primary"},
		},
		Post:  []Condition{{Node: n.Name, Fact: FactBackup, Arg: strings.TrimSpace(catalogName(b.c.Name, t.Name) + " " + after), Want: "present"}},
		Needs: append(slices.Concat(b.running(n), b.running(b.primary), b.archivesCreated(b.primary)), b.id(b.primary, KindCheckArchive), b.id(n, KindInstall), b.id(n, KindHookConfig), b.id(b.primary, KindEndRestore)),
		Undo:  "a backup that was cut off is none: it is not listed, and the next one clears it away",
	}
	if d.Standby {
		s.Pre = append(s.Pre, Condition{Node: n.Name, Fact: FactStreaming, Want: "true"})
		// What lets it stream may lie at either end.
		for _, o := range b.steps {
			if k := o.Kind; (o.Node == n.Name || o.Node == b.upstream(n).Name || o.Node == b.primary.Name) && k != KindBackup && k != KindExpire && k != KindProve {
				s.Needs = append(s.Needs, o.ID)
			}
		}
	}
	if d.SystemIdentifier != "" {
		s.Pre = append(s.Pre, Condition{Node: n.Name, Fact: FactSystemID, Want: d.SystemIdentifier})
	}
	return b.add(n, d, s, t.Name)
}

// newestLabel is the label of the backup that was begun last, whatever it is worth.
func newestLabel(cat *CatalogFact) string {
	label, begun := "", time.Time{}
	for i := range cat.Backups {
		if x := &cat.Backups[i]; label == "" || x.StartTime.After(begun) {
			label, begun = x.Label, x.StartTime
		}
	}
	return label
}

// clockSlack is how far apart clocks may be that age is judged by.
const clockSlack = time.Hour

// due judges one rule; nil when its backups are young enough.
func (b *builder) due(r *schema.Backup, cat *CatalogFact, later string) *due {
	if b.renewed { // a restore in place ends with a backup of what came of it
		return &due{r, "the cluster is restored, and goes on on a new timeline", true}
	}
	if r.MaxAge == 0 {
		return nil
	}
	if cat == nil {
		return &due{r, later, r.FullEvery == 0}
	}
	f := b.node(b.primary)
	id, tli := f.Data.SystemIdentifier, f.timeline()
	newest := cat.newest(id, nil)
	d := &due{rule: r, full: b.wantsFull(r, cat)}
	switch {
	case newest == nil && len(cat.Backups) > 0:
		d.reason = "no backup of this cluster can be restored"
	case newest == nil:
		d.reason = "there is no backup of this cluster"
	case newest.Timeline < tli:
		d.reason = fmt.Sprintf("the newest, %s, is of timeline %d, and the cluster goes on on %d", newest.Label, newest.Timeline, tli)
	case newest.StartTime.Sub(b.opts.Now) > clockSlack:
		// Another one would not mend it: its time would come after this one's.
		b.find(schema.SeverityError, nil, "The clock here, or that of "+newest.Node+" when it was taken, is wrong. Until it is mended nobody can tell when a backup is due: set the clock, or move that backup away, or take one by hand with `pg_manage backup`.",
			"the newest base backup at %s, %s, is dated %s ahead of now", r.Target.Name, newest.Label, age(newest.StartTime.Sub(b.opts.Now)))
		return nil
	case b.opts.Now.Sub(newest.StartTime) > r.MaxAge:
		d.reason = fmt.Sprintf("the newest, %s, is %s old, max_age is %s", newest.Label, age(b.opts.Now.Sub(newest.StartTime)), age(r.MaxAge))
	default:
		if d.reason = b.droppedSince(r.Target, newest); d.reason == "" {
			return nil
		}
	}
	return d
}

// wantsFull says that an incremental backup would not do. What a new one builds upon is of the same timeline, so that both are of one course of the cluster.
func (b *builder) wantsFull(r *schema.Backup, cat *CatalogFact) bool {
	if r.FullEvery == 0 {
		return true
	}
	f := b.node(b.primary)
	tli := f.timeline()
	base := cat.newest(f.Data.SystemIdentifier, func(x *BackupFact) bool { return x.Parent == "" && x.Timeline == tli && x.Damaged == 0 })
	return base == nil || b.opts.Now.Sub(base.StartTime) > r.FullEvery
}

// droppedSince says why a backup no longer leads to the present: WAL that its target never got.
func (b *builder) droppedSince(t *schema.Target, newest *BackupFact) string {
	for _, n := range b.c.Nodes {
		q := b.node(n).Archiving.Queue(t.Name)
		if q == nil {
			continue
		}
		for _, d := range q.Dropped {
			if end, ok := segmentEnd(d.To, newest.SegmentSize); ok && newest.StartLSN < end {
				return fmt.Sprintf("WAL after the newest, %s, was dropped for this target (%s to %s)", newest.Label, d.From, d.To)
			}
		}
	}
	return ""
}

// segmentEnd is where the WAL ends that a segment of this name holds.
func segmentEnd(name string, size int64) (postgres.LSN, bool) {
	f, err := postgres.ClassifyWALName(name)
	if err != nil || !postgres.ValidSegmentSize(size) {
		return 0, false
	}
	start, err := f.Start(size)
	return start + postgres.LSN(size), err == nil
}

// backupNode is the node that a rule wants its backups taken on, or the reason why there is none.
func (b *builder) backupNode(r *schema.Backup) (*schema.Node, string) {
	if r.From != "primary" {
		for _, n := range b.c.Nodes {
			if b.canBackUp(n) {
				return n, ""
			}
		}
	}
	if r.From == "standby" {
		return nil, "No standby streams without a delay. Bring one back, or write from = \"prefer-standby\"."
	}
	return b.primary, ""
}

// canBackUp says that a standby is near enough to its primary.
func (b *builder) canBackUp(n *schema.Node) bool {
	f := b.node(n)
	if n == b.primary || b.halted[n.Name] || n.Delay > 0 || f.Server.ReplayPaused || !b.willStream(n) {
		return false
	}
	i, starts := b.index[b.id(n, KindStart)]
	return !starts || b.steps[i].Blocked == ""
}

// age writes a length of time for a person.
func age(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d >= 2*day && d%day < time.Hour:
		return fmt.Sprintf("%dd", d/day)
	case d >= 2*day:
		return fmt.Sprintf("%dd%dh", d/day, d%day/time.Hour)
	case d >= time.Hour && d%time.Hour < time.Minute:
		return fmt.Sprintf("%dh", d/time.Hour)
	case d >= time.Hour:
		return fmt.Sprintf("%dh%dm", d/time.Hour, d%time.Hour/time.Minute)
	}
	return d.Round(time.Second).String()
}
