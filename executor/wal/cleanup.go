package wal

import (
	"context"
	"errors"

	"pg_manage/executor/repo/storage"
	"pg_manage/schema/postgres"
)

// Cleanup removes segments from the archive that come before the one named keep,
// PostgreSQL's %r, and gives their number. Segments from the start of the oldest base
// backup on that the archive has a .backup file of stay, whatever keep says; so do
// .history and .backup files. As pg_archivecleanup it compares positions and passes
// over timelines.
func Cleanup(ctx context.Context, d storage.Driver, c *Config, keep string) (removed int, err error) {
	k, err := postgres.ClassifyWALName(keep)
	if err != nil || k.Kind == postgres.WALHistory {
		return 0, refuse("%q names no segment to keep", keep)
	}
	system, err := c.systemIdentifier()
	if err != nil {
		return 0, err
	}
	id, err := readIdentity(ctx, d, c)
	if err != nil {
		return 0, err
	}
	if err := id.check(d, c, system); err != nil {
		return 0, err
	}
	first := position(k)
	dirs, err := d.List(ctx, c.dir())
	if err != nil {
		return 0, err
	}
	var old []string
	for _, dir := range dirs {
		if !dir.Dir {
			continue
		}
		files, err := d.List(ctx, c.dir()+"/"+dir.Name)
		if err != nil {
			return 0, err
		}
		for _, i := range files {
			f, ok := storedName(i.Name)
			if !ok {
				continue
			}
			if f.Kind == postgres.WALBackup && position(f) < first {
				first = position(f)
			}
			if f.IsSegment() {
				old = append(old, f.Name)
			}
		}
	}
	for _, name := range old {
		f, err := postgres.ClassifyWALName(name)
		if err != nil || position(f) >= first {
			continue
		}
		if err := d.Remove(ctx, c.objectName(f)); err != nil && !errors.Is(err, storage.ErrNotExist) {
			return removed, err
		}
		removed++
	}
	return removed, nil
}

// position orders segments without their timeline.
func position(f postgres.WALFile) uint64 { return uint64(f.Log)<<32 | uint64(f.Seg) }

func storedName(name string) (postgres.WALFile, bool) {
	const ext = ".zst"
	if len(name) < len(ext) || name[len(name)-len(ext):] != ext {
		return postgres.WALFile{}, false
	}
	f, err := postgres.ClassifyWALName(name[:len(name)-len(ext)])
	return f, err == nil
}
