package planner

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"pg_manage/schema"
)

// prove restores the newest backup of a target for trial when none that stays was proven lately.
func (b *builder) prove(x backupRules, cat *CatalogFact, later, taken string, gone []string) {
	var rule *schema.Backup
	for _, r := range x.rules {
		if r.ProveEvery > 0 && (rule == nil || r.ProveEvery < rule.ProveEvery) {
			rule = r
		}
	}
	if rule == nil || b.renewed {
		return
	}
	id, last := b.node(b.primary).Data.SystemIdentifier, time.Time{}
	what, reason := "the newest base backup", later
	if cat != nil {
		var proven *BackupFact
		for i := range cat.Backups {
			if p := &cat.Backups[i]; p.SystemIdentifier == id && p.Proven.After(last) {
				if last = p.Proven; !slices.Contains(gone, p.Label) {
					proven = p
				}
			}
		}
		newest := cat.newest(id, nil)
		switch {
		case newest == nil && taken == "":
			return // nothing to prove
		case proven == nil && !last.IsZero():
			reason = "those that were restored for trial are removed"
		case proven == nil:
			reason = "no backup there was ever restored for trial"
		case b.opts.Now.Sub(proven.Proven) <= rule.ProveEvery:
			return
		default:
			reason = fmt.Sprintf("%s was proven %s ago, prove_every is %s", proven.Label, age(b.opts.Now.Sub(proven.Proven)), age(rule.ProveEvery))
		}
		if taken == "" {
			what = "base backup " + newest.Label
		}
	} else if taken == "" {
		return // there may be none yet
	}
	d := ProveDetail{Place: NewBackupPlace(x.target, b.c.Name), SystemIdentifier: id}
	if cat != nil && taken == "" {
		d.Label = cat.newest(id, nil).Label
	}
	for _, a := range ArchiveOrder(b.c) {
		d.Archives = append(d.Archives, hookTarget(a.Target))
	}
	n, _ := b.backupNode(rule)
	if n == nil {
		n = b.primary
	}
	d.Workers = rule.Workers
	since := ""
	if !last.IsZero() {
		since = last.UTC().Format(time.RFC3339Nano)
	}
	b.add(n, d, Step{
		Action: ActionUpdate, Summary: fmt.Sprintf("prove %s at %s: restore it for trial, start it and check it", what, x.target.Name), Reason: reason,
		Commands: []string{"pg_manage node drill"},
		Pre:      []Condition{{Node: n.Name, Fact: FactReachable, Want: "true"}},
		Post:     []Condition{{Node: n.Name, Fact: FactProven, Arg: strings.TrimSpace(catalogName(b.c.Name, x.target.Name) + " " + since), Want: "true"}},
		Needs:    slices.Concat([]string{taken, b.id(n, KindInstall), b.id(n, KindHookConfig)}, b.running(n)),
		Undo:     "the trial is made in a directory of its own, which is removed",
	}, x.target.Name)
}
