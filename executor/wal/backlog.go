package wal

import (
	"pg_manage/executor/wal/audit"
	"pg_manage/schema/postgres"
)

// Ready lists the files of pg_wal that PostgreSQL waits to have archived, in the order
// in which it offers them: .history files first, then the rest by name (pgarch.c, ready_file_comparator).
func (c *Config) Ready() ([]postgres.WALFile, error) {
	names, err := audit.Ready(c.DataDir)
	if err != nil {
		return nil, err
	}
	ready := make([]postgres.WALFile, 0, len(names))
	for _, n := range names {
		if f, err := postgres.ClassifyWALName(n); err == nil {
			ready = append(ready, f)
		}
	}
	return ready, nil
}

// Backlog is how many files wait in pg_wal to be archived, and their size in bytes.
func (c *Config) Backlog() (files int, bytes int64, err error) {
	files, bytes, _, err = audit.Backlog(c.DataDir)
	return files, bytes, err
}
