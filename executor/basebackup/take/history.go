package take

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"pg_manage/executor/basebackup/pack"
	"pg_manage/schema/postgres"
)

// timelineHistory says how the history file of a timeline gets to whoever restores. It is put
// into the backup where the server has it. await names it when the server is about to
// archive it too. A server that was promoted while it archived nothing never does, and a
// standby's primary may have done so long ago: that is no reason to wait.
func (o *Options) timelineHistory(tli postgres.Timeline) (files []pack.File, await string, err error) {
	if tli <= 1 {
		return nil, "", nil
	}
	name := postgres.HistoryName(tli)
	walDir := filepath.Join(o.Server.DataDir, "pg_wal")
	text, err := os.ReadFile(filepath.Join(walDir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, "", nil // recovery that begins on the timeline does without
	}
	if err != nil {
		return nil, "", err
	}
	files = []pack.File{{Path: "pg_wal/" + name, Data: text}}
	if _, err := os.Stat(filepath.Join(walDir, "archive_status", name+".ready")); err == nil && o.Archive != nil {
		return files, name, nil
	}
	return files, "", nil
}
