package take

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"pg_manage/executor/basebackup/manifest"
	"pg_manage/executor/basebackup/pack"
	"pg_manage/executor/event"
	"pg_manage/executor/repo/catalog"
	"pg_manage/executor/repo/storage"
)

// name gives the backup a label that nobody has: none of entries, and no backup that is
// being taken.
func (r *run) name(ctx context.Context, entries []catalog.Entry) error {
	for {
		now := r.o.Now().UTC()
		label := catalog.Label(now, r.o.Node, r.info.Kind)
		if !catalog.ValidLabel(label) {
			return fmt.Errorf("node %q cannot be part of a backup's label: use letters, digits, dots and dashes", r.o.Node)
		}
		err := storage.ErrExists
		if !slices.ContainsFunc(entries, func(e catalog.Entry) bool { return e.Label == label }) {
			err = r.o.Catalog.Begin(ctx, label, r.info.Parent)
		}
		if err == nil {
			r.info.Label, r.info.StartTime = label, now
			return nil
		}
		if !errors.Is(err, storage.ErrExists) {
			return err
		}
		select { // until the next second
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// newCopy looks through the data directory.
func (r *run) newCopy(ctx context.Context, changed pack.Summary) error {
	major, err := strconv.Atoi(majorOf(r.facts.version))
	if err != nil {
		return fmt.Errorf("%q is no version: %w", r.facts.version, err)
	}
	o := pack.Options{
		Store: r.o.Catalog, Label: r.info.Label, Parent: r.info.Parent, DataDir: r.o.Server.DataDir, Summary: changed,
		Checksums: r.info.Checksums, BlockSize: r.info.BlockSize, SegmentBlocks: r.facts.relationSegment,
		StartLSN: r.info.StartLSN, Cold: r.info.Cold, Workers: r.o.Workers, Rate: r.o.Rate, Tablespaces: map[uint32]string{},
		Manifest: manifest.Header{Major: major, SystemIdentifier: r.facts.control.SystemIdentifier},
		Progress: r.progress(), Notice: func(text string) { r.o.notice("%s", text) },
	}
	for _, t := range r.info.Tablespaces {
		o.Tablespaces[t.OID] = t.Location
	}
	if r.parent != nil {
		o.Previous = r.parent
	}
	r.info.Summaries = changed != nil
	r.copy, err = pack.New(ctx, o)
	return err
}

func majorOf(version string) string {
	for i, c := range version {
		if c < '0' || c > '9' {
			return version[:i]
		}
	}
	return version
}

// progress tells of what is read, at most twice a second, and of the end.
func (r *run) progress() func(done, total int64) {
	var last time.Time
	return func(done, total int64) {
		if now := time.Now(); now.Sub(last) >= 500*time.Millisecond || done == total {
			last = now
			r.o.Events.Emit(event.Event{Time: now, Type: event.Progress, Cluster: r.o.Cluster, Node: r.o.Node, Done: done, Total: total})
		}
	}
}

// finish stores what comes last, and takes down what the backup consists of.
func (r *run) finish(ctx context.Context, more []pack.File) error {
	ranges := []manifest.Range{{Timeline: r.info.Timeline, Start: r.info.StartLSN, End: r.info.StopLSN}}
	res, err := r.copy.Finish(ctx, more, ranges)
	if err != nil {
		return err
	}
	i := r.info
	i.Size, i.Files, i.Stored = res.Size, res.Files, res.Stored
	i.Compression, i.Encrypted = r.o.Catalog.Compression(), r.o.Catalog.Encrypted()
	i.Parts, i.Index, i.Manifest = res.Parts, res.Index, res.Manifest
	i.Damaged, i.DamagedPages = res.Damaged, res.DamagedPages
	if i.Damaged > 0 {
		r.o.notice("%d pages have wrong checksums: they are damaged on the node, and in this backup too (the first: block %d of %s)", i.Damaged, i.DamagedPages[0].Block, i.DamagedPages[0].Path)
	}
	return nil
}

// tablespaces takes down those that a running server has.
func (r *run) tablespaces(ctx context.Context, x *session) error {
	rows, err := x.query(ctx, "SELECT oid, pg_tablespace_location(oid) FROM pg_tablespace WHERE spcname NOT IN ('pg_default', 'pg_global') ORDER BY oid")
	if err != nil {
		return err
	}
	for _, row := range rows {
		oid, err := strconv.ParseUint(row[0], 10, 32)
		if err != nil {
			return err
		}
		if !filepath.IsAbs(row[1]) {
			to, err := os.Readlink(filepath.Join(r.o.Server.DataDir, "pg_tblspc", row[0]))
			if err == nil {
				return relative(row[0], to)
			}
			continue // it lies in the data directory, as a developer's setting lets it, or was dropped
		}
		r.info.Tablespaces = append(r.info.Tablespaces, catalog.Tablespace{OID: uint32(oid), Location: row[1]})
	}
	return nil
}

// relative refuses a tablespace whose link says where it is only from its own place: recovery
// makes the link anew from tablespace_map, wherever the data directory lies then.
func relative(oid, to string) error {
	return fmt.Errorf("pg_tblspc/%s links to %s: a restore elsewhere would not find the tablespace; stop the server, and replace the link by one with an absolute path, as PostgreSQL makes them", oid, to)
}

// coldTablespaces takes down those that a stopped instance has links to.
func (r *run) coldTablespaces() error {
	dir := filepath.Join(r.o.Server.DataDir, "pg_tblspc")
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		oid, err := strconv.ParseUint(e.Name(), 10, 32)
		if err != nil || e.Type()&os.ModeSymlink == 0 {
			continue
		}
		to, err := os.Readlink(filepath.Join(dir, e.Name()))
		if err != nil {
			return err
		}
		if !filepath.IsAbs(to) {
			return relative(e.Name(), to)
		}
		r.info.Tablespaces = append(r.info.Tablespaces, catalog.Tablespace{OID: uint32(oid), Location: to})
	}
	slices.SortFunc(r.info.Tablespaces, func(a, b catalog.Tablespace) int { return int(a.OID) - int(b.OID) })
	return nil
}
