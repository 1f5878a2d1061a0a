package planner

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"pg_manage/schema"
	"pg_manage/schema/postgres"
)

// chooseFrom finds the backup that a restore begins with, and where its recovery will end.
func (b *builder) chooseFrom(cat *CatalogFact, w *schema.Restore) (*BackupFact, *RecoveryChoice, error) {
	choice, err := ChooseRestore(cat, w)
	if err != nil {
		return nil, nil, err
	}
	x, err := usable(cat, w, choice, b.c.Version)
	return x, choice, err
}

// usable checks a choice against the catalogue.
func usable(cat *CatalogFact, w *schema.Restore, made *RecoveryChoice, major int) (*BackupFact, error) {
	x := cat.Backup(made.Backup)
	switch {
	case x == nil:
		return nil, fmt.Errorf("there is no backup %s at %s any more", made.Backup, w.Target.Name)
	case x.Broken != "":
		return nil, fmt.Errorf("the backup %s cannot be restored (%s)", x.Label, x.Broken)
	case x.Major() != 0 && x.Major() != major:
		return nil, fmt.Errorf("the backup %s is of PostgreSQL %d, the file declares %d", x.Label, x.Major(), major)
	case x.Encrypted && w.Target.AgeIdentityFile == "":
		return nil, fmt.Errorf("the backup %s is encrypted, and target %s declares no age_identity_file to read it with", x.Label, w.Target.Name)
	}
	_, err := movedTablespaces(x, w)
	return x, err
}

// SettleRestore completes a restore that was planned before the catalogue was known.
func SettleRestore(cat *CatalogFact, d *RestoreDetail, major int) (*BackupFact, error) {
	choice, err := ChooseRestore(cat, &d.Want)
	if err != nil {
		return nil, err
	}
	x, err := usable(cat, &d.Want, choice, major)
	if err != nil {
		return nil, err
	}
	d.Source.Label, d.SystemIdentifier, d.Want.Timeline = x.Label, x.SystemIdentifier, first(choice.Setting, d.Want.Timeline)
	d.mapTablespaces(x)
	if own(x) && cat.unarchived() {
		d.Archives = nil
	}
	return x, nil
}

// movedTablespaces are the new places of a backup's tablespaces, by their OIDs. A location
// that the backup does not have is an error that lists those that it has.
func movedTablespaces(x *BackupFact, w *schema.Restore) (map[string]string, error) {
	out := map[string]string{}
	for _, from := range sortedKeys(w.Tablespaces) {
		found := false
		for oid, at := range x.Tablespaces {
			if path.Clean(at) == from {
				out[oid], found = w.Tablespaces[from], true
			}
		}
		if found {
			continue
		}
		has := "it has none"
		if len(x.Tablespaces) > 0 {
			has = "it has " + strings.Join(slices.Sorted(maps.Values(x.Tablespaces)), ", ")
		}
		return nil, fmt.Errorf("the backup %s has no tablespace at %s; %s", x.Label, from, has)
	}
	return out, nil
}

// mapTablespaces puts tablespaces where they are wanted. That they are in the backup was
// checked when it was chosen.
func (d *RestoreDetail) mapTablespaces(x *BackupFact) {
	moved, err := movedTablespaces(x, &d.Want)
	if err != nil || len(moved) == 0 {
		return
	}
	if d.Tablespaces == nil {
		d.Tablespaces = map[string]string{}
	}
	maps.Copy(d.Tablespaces, moved)
}

// ChooseRestore is ChooseBackup for what a restore block asks, on what a catalogue says of
// the archives: the first of them that leads there.
func ChooseRestore(cat *CatalogFact, w *schema.Restore) (*RecoveryChoice, error) {
	archives := cat.Archives
	switch {
	case len(archives) > 0:
	case len(cat.Backups) > 0:
		return nil, errors.New("it was not looked up what the archive has")
	default: // nobody looks for the WAL of no backup
		archives = []ArchiveWAL{{}}
	}
	q := RecoveryQuery{Backups: cat.Backups, Backup: w.Backup, Timeline: w.Timeline}
	var err error
	if q.Point, err = PointOf(w.RecoveryTarget); err != nil {
		return nil, err
	}
	q.Point.Found = cat.Found
	for _, a := range archives {
		q.Archive = a
		choice, no := ChooseBackup(q)
		if no == nil {
			return choice, nil
		}
		if err == nil {
			err = no
		}
	}
	return nil, err
}

// PointOf reads a recovery target.
func PointOf(t schema.RecoveryTarget) (RecoveryPoint, error) {
	p := RecoveryPoint{XID: t.XID, Name: t.Name, Immediate: t.Immediate, Exclusive: !t.Inclusive}
	var err error
	if t.Time != "" {
		if p.Time, err = schema.ParseTime(t.Time); err != nil {
			return p, err
		}
	}
	if t.LSN != "" {
		if p.LSN, err = postgres.ParseLSN(t.LSN); err != nil {
			return p, err
		}
	}
	return p, nil
}

// lacksWAL says that no archive has all WAL since a backup; "" also where that was not looked up.
func (c *CatalogFact) lacksWAL(x *BackupFact) string {
	why := ""
	for _, a := range c.Archives {
		_, err := ChooseBackup(RecoveryQuery{Backups: c.Backups, Backup: x.Label, Timeline: fmt.Sprint(x.Timeline), Archive: a})
		if err == nil {
			return ""
		}
		why = err.Error()
	}
	return why
}
