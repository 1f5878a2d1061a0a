package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"time"

	"pg_manage/testdata/bench/hosts"
	"pg_manage/testdata/bench/table"
)

const (
	dataDir   = hosts.Dir + "/data"
	stateDir  = hosts.Dir + "/state" // pg_manage's, for temporary files
	dataPort  = 5432
	checkPort = 5433 // of an instance that was restored
	oneScale  = 15 << 20
)

// Workers and processes that work on a backup.
const (
	workers       = 2
	memoryWorkers = 4
)

// site is all that the measurements work with.
type site struct {
	options
	*hosts.Pair
	report table.Report

	server  *hosts.Server // nil when PostgreSQL doesn't run on the data directory
	data    string        // what the data directory was filled with
	facts   string        // SQL that tells what it holds
	holder  *contender    // who archives
	local   []*contender  // whose repositories hold a full backup of the data
	fulls   []spent       // ours, local
	restore []spent       // ours, into an empty directory
}

func openSite(ctx context.Context, o options) (_ *site, err error) {
	room := max(6*int64(o.scale)*oneScale, 6*int64(o.relations)*8192)
	if o.big {
		room = max(room, 3*10<<30)
	}
	if err := hosts.CheckDisk(o.dir, room, "a smaller -scale"); err != nil {
		return nil, err
	}
	s := &site{options: o}
	if s.Pair, err = hosts.Open(ctx, o.dir, "pg_manage-backup-"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	// pgBackRest's repository host reads the database's host.
	if err := s.Lab.Trust("vault", "backup", "db", "postgres"); err != nil {
		return nil, err
	}
	if err := s.Build("pg_manage/cmd/pg_manage", "pg_manage/cmd/pg_manage-hook"); err != nil {
		return nil, err
	}
	return s, s.Empty(stateDir)
}

// Quiet ends what a measurement left running, but for PostgreSQL on the data directory.
func (s *site) Quiet() error {
	return errors.Join(s.DB.EndAll(archiverWord), s.DB.WaitGone("pgbackrest", time.Minute))
}

func (s *site) close() error { return s.Close(s.keep) }

// versions says what was compared, and where.
func (s *site) versions() string {
	said := s.Said([]string{hosts.PgBin + "/postgres", "--version"}, []string{"pgbackrest", "version"}, []string{program, "version"}, []string{"uname", "-srm"})
	cache := "page cache warm"
	if s.cold {
		cache = "page cache dropped before each"
	}
	return fmt.Sprintf("%s; %d processors, %s on %s; scale %d, %d runs, %s", said, runtime.NumCPU(), s.FileSystem(), s.options.dir, s.scale, s.runs, cache)
}

// spent is what a command took.
type spent struct {
	wall, cpu time.Duration
	peak      uint64 // bytes of memory, where it was watched
	stored    uint64 // bytes by which the backups grew
}

func walls(all []spent) (out []time.Duration) {
	for _, s := range all {
		out = append(out, s.wall)
	}
	return out
}

func wall(all []spent) time.Duration { return table.Median(walls(all)) }

func cpu(all []spent) time.Duration {
	var out []time.Duration
	for _, s := range all {
		out = append(out, s.cpu)
	}
	return table.Median(out)
}

func stored(all []spent) uint64 {
	var out []uint64
	for _, s := range all {
		out = append(out, s.stored)
	}
	return table.Median(out)
}

// figures describes what a contender took.
func figures(name string, all []spent) string {
	out := fmt.Sprintf("%s %s (%s), %s processor", name, table.Seconds(wall(all)), table.Spread(walls(all)), table.Seconds(cpu(all)))
	if n := stored(all); n > 0 {
		out += ", " + table.Megabytes(n)
	}
	return out
}

// share is a as a part of b.
func share(a, b uint64) string { return fmt.Sprintf("%.2f%%", 100*float64(a)/float64(b)) }

func (s *site) remove(dirs ...string) error {
	var errs []error
	for _, d := range dirs {
		errs = append(errs, os.RemoveAll(s.Path(d)), os.RemoveAll(s.VaultPath(d)))
	}
	return errors.Join(errs...)
}
