package planner

import (
	"fmt"
	"slices"
	"time"

	"pg_manage/schema/postgres"
)

// expire lets go of what no rule keeps, and gives the labels. A backup that this plan takes
// counts already. After a restore in place everything stays until the next plan: a person may
// want to look first whether it was the right point.
func (b *builder) expire(x backupRules, cat *CatalogFact, taken string) []string {
	if cat == nil || b.renewed {
		return nil
	}
	in := RetentionInput{Backups: slices.Clone(cat.Backups), Now: b.opts.Now, Rules: KeepRules(b.c, x.target)}
	for _, a := range cat.Archives {
		in.Timelines = append(in.Timelines, a.Timelines...)
	}
	note := "no rule keeps it"
	if i, ok := b.index[taken]; ok && b.steps[i].Blocked == "" {
		d, _ := b.steps[i].Detail.(BackupDetail)
		in.Backups = append(in.Backups, b.toBeTaken(cat, d))
		note = "no rule keeps it after the new backup"
	}
	gone := Retain(in).Expired
	gone = slices.DeleteFunc(gone, func(label string) bool { return cat.Backup(label) == nil })
	if len(gone) == 0 {
		return nil
	}
	n := b.primary
	d := ExpireDetail{Place: NewBackupPlace(x.target, b.c.Name), Labels: gone, Rules: in.Rules, Timelines: in.Timelines}
	for _, a := range b.c.Archives {
		d.WAL = d.WAL || a.Target.Name == x.target.Name
	}
	what, also := "1 base backup", ""
	if len(gone) > 1 {
		what = fmt.Sprintf("%d base backups", len(gone))
	}
	if d.WAL {
		also = ", and WAL that no backup needs then"
	}
	s := Step{
		Action: ActionRemove, Summary: "remove " + what + " at " + x.target.Name + also, Reason: note,
		Commands: []string{"pg_manage node expire"},
		Pre:      []Condition{{Node: n.Name, Fact: FactReachable, Want: "true"}},
		Needs:    []string{taken, b.id(n, KindInstall)},
	}
	for _, label := range gone {
		f := cat.Backup(label)
		s.Changes = append(s.Changes, Change{Name: label, Before: fmt.Sprintf("%s, %s old", f.Kind, age(b.opts.Now.Sub(f.StopTime))), Note: first(f.Broken, note)})
		s.Post = append(s.Post, Condition{Node: n.Name, Fact: FactListed, Arg: catalogName(b.c.Name, x.target.Name) + " " + label, Want: "absent"})
	}
	b.add(n, d, s, x.target.Name)
	return gone
}

// Kept are those of the step's backups that the rules keep on what the catalogue says now,
// each with the reasons: what the plan counted on, such as a new backup without damaged
// pages, may have turned out otherwise.
func (d ExpireDetail) Kept(cat *CatalogFact, now time.Time) []KeptBackup {
	kept := Retain(RetentionInput{Backups: cat.Backups, Rules: d.Rules, Now: now, Timelines: d.Timelines}).Kept
	return slices.DeleteFunc(kept, func(k KeptBackup) bool { return !slices.Contains(d.Labels, k.Label) })
}

// toBeTaken is a backup as the catalogue will have it when its step is done.
func (b *builder) toBeTaken(cat *CatalogFact, d BackupDetail) BackupFact {
	f := b.node(b.primary)
	x := BackupFact{
		Label: "to be taken", Kind: "full", SystemIdentifier: f.Data.SystemIdentifier, PostgreSQL: fmt.Sprint(b.c.Version),
		Timeline: f.timeline(), StartTime: b.opts.Now, StopTime: b.opts.Now, WAL: "archive",
		StartLSN: ^postgres.LSN(0), StopLSN: ^postgres.LSN(0), // behind all others
	}
	if base := cat.newest(x.SystemIdentifier, nil); !d.Full && base != nil {
		x.Kind, x.Parent = "incremental", base.Label
	}
	return x
}
