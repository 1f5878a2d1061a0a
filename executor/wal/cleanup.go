package wal

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"pg_manage/executor/repo/catalog"
	"pg_manage/executor/repo/codec"
	"pg_manage/executor/repo/storage"
	"pg_manage/schema/postgres"
)

// Cleanup removes segments from the archive at every target that come before the one
// named keep, PostgreSQL's %r, and gives their number. Segments from the start of the
// oldest base backup on stay, whatever keep says: of those at the targets, and of those
// that the archive has a .backup file of, which PostgreSQL writes on a primary alone and at
// the end of a backup. While a backup is being taken nothing goes, since where it begins is
// not known; .history and .backup files always stay. As pg_archivecleanup it compares positions
// and passes over timelines.
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
	if e := in.Config.Elsewhere; len(e) > 0 {
		return 0, refuse("the base backups at target %s may need what would go: `pg_manage backup expire` looks at all of them", e[0])
	}
	need := ^postgres.LSN(0)
	for _, t := range in.Config.Targets {
		err := in.links.use(ctx, t, func(s *site) error {
			first, err := s.firstNeeded(ctx, system)
			need = min(need, first)
			return err
		})
		if err != nil {
			return 0, fmt.Errorf("which WAL the base backups need is not known, so none is removed: %w", err)
		}
	}
	for _, t := range in.Config.Targets {
		err := in.links.use(ctx, t, func(s *site) error {
			n, err := s.cleanup(ctx, k, need, system)
			removed += n
			return err
		})
		if err != nil {
			return removed, err
		}
	}
	return removed, nil
}

// firstNeeded is where the first of the cluster's base backups at the target begins.
func (s *site) firstNeeded(ctx context.Context, system uint64) (postgres.LSN, error) {
	first := ^postgres.LSN(0)
	if s.t.BackupDir == "" {
		return first, refuse("the hook's configuration does not tell where the base backups at target %q are: run pg_manage apply", s.t.Name)
	}
	c, err := catalog.New(s.d, below(s.t.BackupDir, s.c.Cluster), s.t)
	if err != nil {
		return first, err
	}
	backups, begun, err := c.Needs(ctx)
	switch {
	case err != nil:
		return first, err
	case len(begun) > 0:
		return first, fmt.Errorf("the base backup %s is being taken, or its writer died", begun[0])
	}
	for _, b := range backups {
		switch b.SystemIdentifier {
		case strconv.FormatUint(system, 10):
			first = min(first, b.StartLSN)
		case "":
			return first, fmt.Errorf("where the base backup %s begins is not known (%s)", b.Label, b.Broken)
		}
	}
	return first, nil
}

func (s *site) cleanup(ctx context.Context, k postgres.WALFile, need postgres.LSN, system uint64) (removed int, err error) {
	id, err := s.verify(ctx, system)
	if err != nil {
		return 0, err
	}
	first := min(position(k), uint64(need)&^0xFFFFFFFF|uint64(need)&0xFFFFFFFF/uint64(id.SegmentSize))
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
