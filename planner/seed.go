package planner

import (
	"fmt"
	"slices"

	"pg_manage/schema"
)

// seed settles where a new standby's data comes from: from a backup, which loads no
// server, or from the node it gives. why tells which preferred source does not serve. A nil node: none does.
func (b *builder) seed(n, up *schema.Node) (backup *BackupSource, from *schema.Node, why string) {
	order := n.SeedFrom
	if len(order) == 0 || b.inPlace != nil { // no backup there is of what a restore makes
		order = slices.DeleteFunc(slices.Clone(order), func(s string) bool { return s == "backup" })
		order = append(order, "upstream")
	}
	for _, s := range order {
		switch s {
		case "backup":
			x, t, no := b.seedBackup()
			if x != nil {
				return &BackupSource{Place: NewBackupPlace(t, b.c.Name), Label: x.Label}, up, why
			}
			why = "no backup serves: " + no
		case "primary":
			return nil, b.primary, why
		default:
			return nil, up, why
		}
	}
	return nil, nil, why
}

// seedBackup finds the newest backup that a standby of the present primary can be made
// from: of the same cluster and timeline, with all WAL since in the archive.
func (b *builder) seedBackup() (*BackupFact, *schema.Target, string) {
	p := b.node(b.primary)
	var best *BackupFact
	var at *schema.Target
	why := "there is no rule for any"
	for _, x := range b.backupTargets() {
		cat := b.facts.Catalog(x.target.Name, b.c.Name)
		switch {
		case cat == nil || !cat.Known:
			why = "those at " + x.target.Name + " are not known"
			if cat != nil && cat.Error != "" {
				why += " (" + cat.Error + ")"
			}
			continue
		case !b.c.Archived():
			why = "the WAL since is in no archive"
			continue
		}
		newest := cat.newest(p.Data.SystemIdentifier, nil)
		if newest == nil {
			why = "there is none at " + x.target.Name
			continue
		}
		if no := b.cannotSeed(x.target, cat, newest); no != "" {
			why = no
		} else if best == nil || newest.StartTime.After(best.StartTime) {
			best, at = newest, x.target
		}
	}
	return best, at, why
}

// cannotSeed says why no standby can be made from a backup; "" when one can.
func (b *builder) cannotSeed(t *schema.Target, cat *CatalogFact, x *BackupFact) string {
	p := b.node(b.primary)
	switch {
	case !p.holds():
		return "the primary has no data yet"
	case x.Timeline != p.timeline():
		return fmt.Sprintf("the newest, %s, is of timeline %d, and the primary is on %d", x.Label, x.Timeline, p.timeline())
	case x.Damaged > 0:
		return fmt.Sprintf("the newest, %s, has %d damaged pages", x.Label, x.Damaged)
	case x.Encrypted && t.AgeIdentityFile == "":
		return fmt.Sprintf("the newest, %s, is encrypted, and target %s declares no age_identity_file to read it with", x.Label, t.Name)
	case x.Major() != 0 && x.Major() != b.c.Version:
		return fmt.Sprintf("the newest, %s, is of PostgreSQL %d", x.Label, x.Major())
	}
	return cat.lacksWAL(x)
}
