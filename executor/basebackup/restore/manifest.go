package restore

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"pg_manage/executor/basebackup/chain"
	"pg_manage/executor/basebackup/manifest"
	"pg_manage/executor/repo/storage"
)

// writeManifest puts backup_manifest into the data directory, and the places of tablespaces
// into tablespace_map, of which the manifest has the checksum.
func (r *restoring) writeManifest(ctx context.Context) error {
	if _, err := r.spool.Seek(0, io.SeekStart); err != nil {
		return err
	}
	in := storage.ContextReader(ctx, r.spool)
	write := func(w io.Writer) error { _, err := io.Copy(w, in); return err }
	if r.layout.moved && r.chain.Has(mapName) {
		text, err := r.mapTablespaces()
		if err != nil {
			return err
		}
		write = func(w io.Writer) error { return rewriteManifest(w, in, r.info.SystemIdentifier, text) }
	}
	data := r.layout.data
	f, err := data.root.OpenFile(manifestName, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	if err = write(f); err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", manifestName, err)
	}
	return nil
}

// mapTablespaces writes tablespace_map for where the tablespaces are now. PostgreSQL makes
// the links from it when it starts (xlogrecovery.c: read_tablespace_map).
func (r *restoring) mapTablespaces() ([]byte, error) {
	mode := fs.FileMode(0o600)
	f, _, err := r.chain.File(mapName)
	if err == nil {
		mode = fs.FileMode(f.Mode & 0o777)
	}
	var text []byte
	for _, p := range r.layout.places() {
		if oid, ok := chain.TablespaceOID(p.prefix); ok {
			text = append(text, oid+" "+escapeMap(p.dir)+"\n"...)
		}
	}
	if err == nil {
		err = writeWhole(r.layout.data, mapName, text, mode)
	}
	if err != nil {
		return nil, fmt.Errorf("write %s: %w", mapName, err)
	}
	return text, nil
}

// escapeMap puts a backslash before what would end a line of tablespace_map.
func escapeMap(dir string) string {
	return strings.NewReplacer("\\", "\\\\", "\n", "\\\n", "\r", "\\\r").Replace(dir)
}

// rewriteManifest copies a manifest with another content of tablespace_map.
func rewriteManifest(w io.Writer, in io.Reader, system string, text []byte) error {
	var files []manifest.File
	m, err := manifest.Read(in, func(f manifest.File) error {
		if f.Path == mapName {
			f.Size, f.MTime = int64(len(text)), time.Now()
			f.CRC = crc32.Checksum(text, crc32.MakeTable(crc32.Castagnoli))
		}
		files = append(files, f)
		return nil
	})
	if err != nil {
		return err
	}
	h := manifest.Header{Major: 16}
	if m.Version == 2 {
		h.Major = 17
		if h.SystemIdentifier, err = strconv.ParseUint(system, 10, 64); err != nil {
			return err
		}
	}
	out, err := manifest.NewWriter(w, h)
	if err != nil {
		return err
	}
	for f := range slices.Values(files) {
		if err := out.Write(f); err != nil {
			return err
		}
	}
	return out.Close(m.Ranges)
}
