package restore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"pg_manage/executor/repo/storage"
)

// writeManifest puts backup_manifest into the data directory.
func (r *restoring) writeManifest(ctx context.Context) error {
	if _, err := r.spool.Seek(0, io.SeekStart); err != nil {
		return err
	}
	data := r.layout.data
	f, err := data.root.OpenFile(manifestName, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, storage.ContextReader(ctx, r.spool))
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", manifestName, err)
	}
	return nil
}
