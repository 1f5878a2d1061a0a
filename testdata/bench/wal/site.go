package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"pg_manage/testdata/bench/hosts"
	"pg_manage/testdata/bench/table"
)

// dataDir is the data directory on the host "db".
const dataDir = hosts.Dir + "/data"

// site is all that the measurements work with.
type site struct {
	options
	*hosts.Pair
	caller *caller
	form   int // version of the form of hook.json that the hook reads
	report table.Report

	server   *hosts.Server // nil when PostgreSQL doesn't run
	backlog  []segment
	facts    string          // what the database holds at the end of the backlog
	archived map[string]bool // contenders whose archive holds the backlog
}

func openSite(ctx context.Context, o options) (_ *site, err error) {
	if err := hosts.CheckDisk(o.dir, 6*int64(o.segments)<<24, "fewer -segments"); err != nil {
		return nil, err
	}
	s := &site{options: o, archived: map[string]bool{}}
	if s.Pair, err = hosts.Open(ctx, o.dir, "pg_manage-wal-"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	if err := s.build(); err != nil {
		return nil, err
	}
	if s.caller, err = s.newCaller(); err != nil {
		return nil, err
	}
	return s, nil
}

// build makes pg_manage and this program for the host.
func (s *site) build() error {
	if err := s.Build("pg_manage/cmd/pg_manage", "pg_manage/cmd/pg_manage-hook", "pg_manage/testdata/bench/wal"); err != nil {
		return err
	}
	out, err := s.DB.Exec(hookProgram, "version")
	if err != nil {
		return err
	}
	if _, err := fmt.Sscanf(out, "pg_manage-hook, configuration version %d", &s.form); err != nil {
		return fmt.Errorf("%s version said %q: %w", hookProgram, out, err)
	}
	return nil
}

// Quiet ends what a measurement left running.
func (s *site) Quiet() error {
	return errors.Join(s.stop(), s.DB.EndAll(archiverWord), s.DB.WaitGone("pgbackrest", time.Minute))
}

// versions says what was compared, and where.
func (s *site) versions() string {
	said := s.Said([]string{hosts.PgBin + "/postgres", "--version"}, []string{"pgbackrest", "version"}, []string{fullProgram, "version"},
		[]string{hookProgram, "version"}, []string{"uname", "-srm"})
	return fmt.Sprintf("%s; %d processors, %s on %s; backlog of %d segments, %d runs",
		said, runtime.NumCPU(), s.FileSystem(), s.options.dir, len(s.backlog), s.runs)
}

func (s *site) close() error { return s.Close(s.keep) }
