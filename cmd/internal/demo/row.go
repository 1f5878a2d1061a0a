package demo

import (
	"context"
	"fmt"
	"path/filepath"
	"strconv"
	"time"

	"pg_manage/executor/remote"
)

// Row is a row that went from the primary to the standby.
type Row struct {
	ID    int
	Note  string
	Delay time.Duration // from the commit on the primary until it was read on the standby
}

// WriteRow writes a row on the primary and waits until it is read on the standby.
func (d *Demo) WriteRow(ctx context.Context, host remote.Host, binDir string, primaryPort, standbyPort int) (Row, error) {
	psql := func(port int, sql string) (string, error) {
		return d.run(ctx, host, filepath.Join(binDir, "psql"), "-XAtq", "-v", "ON_ERROR_STOP=1", "-h", d.Dir, "-p", strconv.Itoa(port), "-d", "postgres", "-c", sql)
	}
	if _, err := psql(primaryPort, "SET client_min_messages = warning; CREATE TABLE IF NOT EXISTS pg_manage_demo (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, note text NOT NULL, at timestamptz NOT NULL DEFAULT now())"); err != nil {
		return Row{}, fmt.Errorf("cannot create a table on the primary: %w", err)
	}
	out, err := psql(primaryPort, "INSERT INTO pg_manage_demo (note) VALUES ('hello from the primary') RETURNING id")
	if err != nil {
		return Row{}, fmt.Errorf("cannot write a row on the primary: %w", err)
	}
	id, err := strconv.Atoi(out)
	if err != nil {
		return Row{}, fmt.Errorf("unexpected answer of the primary: %w", err)
	}
	written := time.Now()
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		// The table itself may not have arrived yet: then this is an error that goes away.
		note, err := psql(standbyPort, fmt.Sprintf("SELECT note FROM pg_manage_demo WHERE id = %d", id))
		if err == nil && note != "" {
			return Row{ID: id, Note: note, Delay: time.Since(written)}, nil
		}
		select {
		case <-ctx.Done():
			if err == nil {
				err = ctx.Err()
			}
			return Row{}, fmt.Errorf("the row did not arrive on the standby: %w", err)
		case <-tick.C:
		}
	}
}
