package wal

import (
	"context"
	"errors"

	"pg_manage/executor/repo/codec"
	"pg_manage/executor/repo/storage"
	"pg_manage/schema/postgres"
)

// Cleanup removes segments from the archive at every target that come before the one
// named keep, PostgreSQL's %r, and gives their number. Segments from the start of the
// oldest base backup on that the archive has a .backup file of stay, whatever keep says;
// so do .history and .backup files. As pg_archivecleanup it compares positions and
// passes over timelines.
func (in *Instance) Cleanup(ctx context.Context, keep string) (removed int, err error) {
	if err := in.Config.writes(); err != nil {
		return 0, err
	}
	k, err := postgres.ClassifyWALName(keep)
	if err != nil || k.Kind == postgres.WALHistory {
		return 0, refuse("%q names no segment to keep", keep)
	}
	system, err := in.Config.systemIdentifier()
	if err != nil {
		return 0, err
	}
	for _, t := range in.Config.Targets {
		err := in.links.use(ctx, t, func(s *site) error {
			n, err := s.cleanup(ctx, k, system)
			removed += n
			return err
		})
		if err != nil {
			return removed, err
		}
	}
	return removed, nil
}

func (s *site) cleanup(ctx context.Context, k postgres.WALFile, system uint64) (removed int, err error) {
	if _, err := s.verify(ctx, system); err != nil {
		return 0, err
	}
	first := position(k)
	dirs, err := s.d.List(ctx, s.dir())
	if err != nil {
		return 0, err
	}
	type old struct {
		f    postgres.WALFile
		name string
	}
	var segments []old
	for _, dir := range dirs {
		if !dir.Dir {
			continue
		}
		files, err := s.d.List(ctx, s.dir()+"/"+dir.Name)
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
				segments = append(segments, old{f, s.dir() + "/" + dir.Name + "/" + i.Name})
			}
		}
	}
	for _, o := range segments {
		if position(o.f) >= first {
			continue
		}
		if err := s.d.Remove(ctx, o.name); err != nil && !errors.Is(err, storage.ErrNotExist) {
			return removed, err
		}
		removed++
	}
	return removed, nil
}

// position orders segments without their timeline.
func position(f postgres.WALFile) uint64 { return uint64(f.Log)<<32 | uint64(f.Seg) }

func storedName(name string) (postgres.WALFile, bool) {
	plain, _ := codec.Split(name)
	f, err := postgres.ClassifyWALName(plain)
	return f, err == nil
}
