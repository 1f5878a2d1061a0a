package planner

import (
	"regexp"

	"pg_manage/schema"
)

// madeBeside is how directories of WAL end that were made beside older ones.
var madeBeside = regexp.MustCompile(`\.(restored|rebuilt)-[0-9]{8}T[0-9]{6}Z$`)

// besideWAL keeps WAL on the disk of its own that it was on: the new data has a new directory
// beside the old one, which stays with the old data. how ends its name. "" is no such disk.
func (b *builder) besideWAL(n *schema.Node, s *Step, how string) string {
	old := b.observed(n).Data
	if old.WALDir == "" {
		return ""
	}
	dir := madeBeside.ReplaceAllString(old.WALDir, "") + "." + how + "-" + b.opts.Now.UTC().Format("20060102T150405Z")
	s.Changes = append(s.Changes, Change{Name: "pg_wal", Before: old.WALDir, After: dir, Note: "the old one stays with the old data"})
	if old.WALMount && s.Blocked == "" {
		s.Blocked = "pg_wal leads to " + old.WALDir + ", which is a mount point, so that new WAL has no place beside it: stop the server, move what it holds into a directory below it, and let pg_wal lead there"
	}
	return dir
}
