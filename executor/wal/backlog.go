package wal

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"pg_manage/schema/postgres"
)

// Ready lists the files of pg_wal that PostgreSQL waits to have archived, in the order
// in which it offers them: .history files first, then the rest by name (pgarch.c, ready_file_comparator).
func (c *Config) Ready() ([]postgres.WALFile, error) {
	dir, err := os.Open(filepath.Join(c.DataDir, "pg_wal", "archive_status"))
	if err != nil {
		return nil, err
	}
	names, err := dir.Readdirnames(-1)
	if err := errors.Join(err, dir.Close()); err != nil {
		return nil, err
	}
	var ready []postgres.WALFile
	for _, n := range names {
		if plain, ok := strings.CutSuffix(n, ".ready"); ok {
			if f, err := postgres.ClassifyWALName(plain); err == nil {
				ready = append(ready, f)
			}
		}
	}
	slices.SortFunc(ready, func(a, b postgres.WALFile) int {
		ha, hb := a.Kind == postgres.WALHistory, b.Kind == postgres.WALHistory
		switch {
		case ha && !hb:
			return -1
		case hb && !ha:
			return 1
		}
		return strings.Compare(a.Name, b.Name)
	})
	return ready, nil
}

// Backlog is how many files wait in pg_wal to be archived, and their size in bytes.
func (c *Config) Backlog() (files int, bytes int64, err error) {
	ready, err := c.Ready()
	if err != nil {
		return 0, 0, err
	}
	for _, f := range ready {
		st, err := os.Stat(filepath.Join(c.DataDir, "pg_wal", f.Name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return 0, 0, err
		}
		files++
		bytes += st.Size()
	}
	return files, bytes, nil
}
