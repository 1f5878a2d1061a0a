// Command backup measures base backups: pg_manage beside pgBackRest, and restores beside
// cp too, in one run on one machine, of the same data and with the same codec (zstd at its
// fastest level, 1). It prints a table: what, the goal, the ratio, the figures.
//
//	sudo go run ./testdata/bench/backup [-scale 150] [-runs 3] [-only a,b,c,d,e,f,g] [-cold] [-big] [-keep]
//
// What is measured:
//
//	a  a full backup into a local target: time, processor time, bytes stored
//	b  the same over SSH
//	c  restore from the local target into an empty directory, beside cp -a and sync
//	d  restore over a directory of which 1% of the blocks are others (delta)
//	e  incremental backups after 1% of the blocks were changed, scattered or in one place,
//	   and after 1% of the rows were, which is far more blocks; with WAL summaries and without
//	f  the memory of pg_manage with 4 workers, of a small and of a large database
//	g  100,000 small relations: time per file
//
// How: a host "db" with PostgreSQL and pgBackRest of Debian 13, and a host "vault" with
// sshd and pgBackRest, both out of testdata/lab (see package hosts). Their data lies in a
// directory of this machine's disk (-dir), which must not be a tmpfs. The instance has
// checksums and data of pgbench, -scale times 15 MB; no load runs during a backup.
// Contenders take turns; figures are medians. Each takes full backups into an empty
// repository, archives WAL by its own archive_command, and waits for the WAL that its backup
// needs, which is part of the time, as is a fast checkpoint. All make what they wrote
// durable. Stored bytes are those of backups, without the archive.
//
// By default what is read lies in the page cache: it is read once before the clock starts.
// With -cold the cache is dropped instead, and the disk's speed is measured too.
//
// pgBackRest runs with process-max=2, start-fast=y and what it does by default, page
// checksums verified; bundles and blocks where the table says so. pg_manage runs with 2
// workers. Processor time is that of all processes on both hosts.
//
// Backups are checked: each full one, and of each kind of change and contender the last
// incremental one, is restored, pg_verifybackup reads it (pgBackRest has no manifest for
// that), PostgreSQL starts on it, and what it holds is compared.
//
// The status is nonzero only when something doesn't work. Being slow is no failure.
//
// It needs root and what the lab needs, and once a Debian mirror: pgBackRest's packages
// are kept in the lab's cache.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"syscall"
	"time"

	"pg_manage/testdata/bench/hosts"
)

type options struct {
	scale, runs, relations int
	only                   []hosts.Measurement[*site]
	cold, big, keep        bool
	dir                    string
}

func main() {
	log.SetFlags(log.Ltime)
	var o options
	flag.IntVar(&o.scale, "scale", 150, "pgbench scale of the database, 15 MB each")
	flag.IntVar(&o.runs, "runs", 3, "how often each contender does each thing of a to e")
	flag.IntVar(&o.relations, "relations", 100000, "small relations (g)")
	only := flag.String("only", "a,b,c,d,e,f,g", "what to measure")
	flag.BoolVar(&o.cold, "cold", false, "drop the page cache before the clock starts")
	flag.BoolVar(&o.big, "big", false, "f: a database of 10 GB too")
	flag.BoolVar(&o.keep, "keep", false, "leave the directory with data, backups and logs")
	flag.StringVar(&o.dir, "dir", "/var/tmp", "where the data goes: a real disk with room for 6 times the database")
	flag.Parse()
	if o.scale < 5 || o.runs < 1 || o.relations < 100 || flag.NArg() > 0 {
		log.Fatal("at least -scale 5, -runs 1, -relations 100, and no arguments")
	}
	var err error
	if o.only, err = hosts.Choose(measurements(), *only); err != nil {
		log.Fatal(err)
	}
	if err := bench(o); err != nil {
		log.Fatal(err)
	}
}

func measurements() []hosts.Measurement[*site] {
	return []hosts.Measurement[*site]{
		{Name: "a", Do: (*site).fullLocal},
		{Name: "b", Do: (*site).fullRemote},
		{Name: "c", Do: (*site).restores},
		{Name: "d", Do: (*site).deltas},
		{Name: "e", Do: (*site).incrementals},
		{Name: "f", Do: (*site).memory},
		{Name: "g", Do: (*site).smallRelations},
	}
}

func bench(o options) (err error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	before, began := hosts.LoadAverage(), time.Now()
	s, err := openSite(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	failed := hosts.Measure(ctx, s, o.only)
	s.report.Print(os.Stdout)
	if ctx.Err() != nil {
		return errors.New("interrupted")
	}
	fmt.Printf("\n%s\nload average before %s, after %s; %s\n", s.versions(), before, hosts.LoadAverage(), time.Since(began).Round(time.Second))
	return failed
}
