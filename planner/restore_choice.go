package planner

import (
	"fmt"

	"pg_manage/schema"
)

// chooseFrom finds the backup that a restore begins with.
func chooseFrom(cat *CatalogFact, w *schema.Restore, major int) (*BackupFact, error) {
	x := cat.Backup(w.Backup)
	if x == nil {
		return nil, fmt.Errorf("no such backup")
	}
	return x, nil
}

func (c *CatalogFact) lacksWAL(x *BackupFact) string { return "" }
