package restore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"pg_manage/executor/basebackup/chain"
	"pg_manage/executor/repo/codec"
	"pg_manage/executor/repo/storage"
)

// fetchManifest reads backup_manifest into a temporary file without a name, and checks it.
func (r *restoring) fetchManifest(ctx context.Context) (f *os.File, err error) {
	o := r.info.Manifest
	bad := func(err error) error {
		return &chain.DamageError{Backup: r.info.Label, Object: o.Name, Err: err}
	}
	in, err := r.Catalog.Whole(ctx, r.info.Label, o)
	var damaged *codec.DamagedError
	switch {
	case errors.Is(err, storage.ErrNotExist), errors.As(err, &damaged):
		return nil, bad(err)
	case err != nil:
		return nil, fmt.Errorf("read backup %s: %s: %w", r.info.Label, o.Name, err)
	}
	defer func() { _ = in.Close() }()
	if f, err = os.CreateTemp(r.TempDir, ".pg_manage-manifest-"); err != nil {
		return nil, fmt.Errorf("make room for the manifest of a backup: %w", err)
	}
	defer func() {
		if err != nil {
			_ = f.Close()
		}
	}()
	if err := os.Remove(f.Name()); err != nil {
		return nil, fmt.Errorf("make room for the manifest of a backup: %w", err)
	}
	_, err = io.Copy(f, storage.ContextReader(ctx, in))
	switch {
	case errors.As(err, &damaged):
		return nil, bad(err)
	case err != nil:
		return nil, fmt.Errorf("read backup %s: %s: %w", r.info.Label, o.Name, err)
	}
	return f, nil
}

// finish makes everything durable, and only then gives pg_control its name.
func (r *restoring) finish(ctx context.Context) error {
	data := r.layout.data
	if err := r.writeManifest(ctx); err != nil {
		return err
	}
	if err := r.setModes(); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	if id, err := systemIdentifier(filepath.Join(data.dir, controlTemp)); err != nil || id != r.info.SystemIdentifier {
		return errors.Join(err, &chain.DamageError{Backup: r.info.Label, Object: "backup.json", Err: fmt.Errorf("it says that the system identifier is %s, and %s has %s", r.info.SystemIdentifier, controlFile, id)})
	}
	if err := r.syncAll(); err != nil {
		return err
	}
	if r.Ready != nil {
		if err := r.Ready(data.dir); err != nil {
			return err
		}
	}
	if err := data.root.Rename(controlTemp, controlFile); err != nil {
		return fmt.Errorf("give %s its name: %w", controlFile, err)
	}
	if err := data.syncDir(path.Dir(controlFile)); err != nil {
		return fmt.Errorf("make %s durable: %w", controlFile, err)
	}
	if err := data.root.Remove(markerName); err != nil {
		return fmt.Errorf("remove the mark of the restore: %w", err)
	}
	if err := data.syncDir("."); err != nil {
		return fmt.Errorf("make %s durable: %w", data.dir, err)
	}
	return nil
}

// setModes gives directories the modes they had. The data directory is open to the group
// where that of the backup was (initdb --allow-group-access).
func (r *restoring) setModes() error {
	top := os.FileMode(0o700)
	for _, d := range r.layout.dirs {
		mode := os.FileMode(d.Mode & 0o777)
		if d.Path == path.Dir(controlFile) {
			top |= mode & 0o050
		}
		p, rel := r.layout.find(d.Path)
		if rel == "." {
			continue
		}
		if err := p.root.Chmod(rel, mode); err != nil {
			return fmt.Errorf("set the mode of %s: %w", d.Path, err)
		}
	}
	for _, p := range r.layout.places() {
		if err := p.top.Chmod(top); err != nil {
			return fmt.Errorf("set the mode of %s: %w", p.dir, err)
		}
	}
	return nil
}

// futimes sets the times of an open file.
func futimes(f *os.File, t time.Time) error {
	tv := unix.NsecToTimeval(t.UnixNano())
	return unix.Futimes(int(f.Fd()), []unix.Timeval{tv, tv})
}
