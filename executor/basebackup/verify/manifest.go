package verify

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strconv"

	"pg_manage/executor/basebackup/chain"
	"pg_manage/executor/basebackup/crc"
	"pg_manage/executor/basebackup/index"
	"pg_manage/executor/basebackup/manifest"
	"pg_manage/executor/repo/catalog"
)

// content is the size and the CRC-32C of a file.
type content struct {
	size int64
	sum  uint32
	seen bool // in the manifest
}

// manifest reads PostgreSQL's manifest of the first of some entries, of which the others are
// the ancestors, and compares it with the files that the indexes put together.
func (v *verifier) manifest(ctx context.Context, entries []*catalog.Entry, indexed bool) error {
	info := &entries[0].Info
	var files map[string]*content
	if indexed {
		c, err := v.sums(ctx, entries)
		if err != nil {
			return err
		}
		if c != nil {
			files, err = contents(c)
			if err = errors.Join(err, c.Close()); err != nil {
				return err
			}
		}
	}
	if len(v.report.Backups) > 0 && info.Label == v.report.Label {
		v.report.Files = int64(len(files))
	}
	o, ok, err := v.open(ctx, info, info.Manifest)
	if err != nil || !ok {
		return err
	}
	defer func() { _ = o.r.Close() }()
	bad := func(path, format string, args ...any) {
		v.add(Damage{Backup: info.Label, Object: info.Manifest.Name, File: path, What: fmt.Sprintf(format, args...)})
	}
	m, err := manifest.Read(o, func(f manifest.File) error {
		if files == nil {
			return nil
		}
		have := files[f.Path]
		switch {
		case have == nil:
			bad(f.Path, "the index does not have it")
		case have.seen:
			bad(f.Path, "it is in the manifest twice")
		case have.size != f.Size || have.sum != f.CRC:
			bad(f.Path, "it has %d bytes with the CRC-32C %08x, and by the index %d with %08x", f.Size, f.CRC, have.size, have.sum)
		}
		if have != nil {
			have.seen = true
		}
		return nil
	})
	if _, drain := io.Copy(io.Discard, o); drain != nil {
		return v.explain(info, info.Manifest, o, drain)
	}
	if err != nil {
		return v.explain(info, info.Manifest, o, err)
	}
	if m.Version > 1 && strconv.FormatUint(m.SystemIdentifier, 10) != info.SystemIdentifier {
		bad("", "it is of system %d, and backup.json says %s", m.SystemIdentifier, info.SystemIdentifier)
	}
	if ranges := (manifest.Range{Timeline: info.Timeline, Start: info.StartLSN, End: info.StopLSN}); len(m.Ranges) != 1 || m.Ranges[0] != ranges {
		v.add(Damage{Backup: info.Label, Object: "backup.json", What: fmt.Sprintf("it says that WAL is needed from %s to %s on timeline %d, and the manifest says %v", info.StartLSN, info.StopLSN, info.Timeline, m.Ranges)})
	}
	var size int64
	for path, f := range files {
		size += f.size
		if !f.seen && !unlisted(path) {
			bad(path, "it is not in the manifest")
		}
	}
	if files != nil && (size != info.Size || int64(len(files)) != info.Files) {
		v.add(Damage{Backup: info.Label, Object: "backup.json", What: fmt.Sprintf("it says that there are %d files of %d bytes, and by the index there are %d of %d", info.Files, info.Size, len(files), size)})
	}
	return nil
}

// unlisted says whether a file is one that a manifest does not have: PostgreSQL's own leaves
// out WAL (manual, "Backup Manifest Format").
func unlisted(path string) bool { return len(path) > 7 && path[:7] == "pg_wal/" }

// contents gives the size and the CRC of all files.
func contents(c *chain.Chain) (map[string]*content, error) {
	all := make(map[string]*content, c.Len())
	for f, err := range c.Files() {
		if err != nil {
			return nil, err
		}
		var sum crc.File
		for b := range index.Blocks(f.Size) {
			sum.Add(binary.LittleEndian.Uint32(f.Sums[b*index.SumSize:]), min(index.BlockSize, f.Size-b*index.BlockSize))
		}
		all[f.Path] = &content{size: f.Size, sum: sum.Sum}
	}
	return all, nil
}
