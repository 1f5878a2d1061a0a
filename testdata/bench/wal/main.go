// Command wal measures the archiving of WAL: pg_manage's hook beside pgBackRest, plain cp
// and /bin/true, in one run on one machine, with the same WAL and the same codec (zstd at
// its fastest level, 1). It prints a table: what, the goal, the ratio, the figures.
//
//	sudo go run ./testdata/bench/wal [-segments 200] [-runs 3] [-only a,b,c,d,e,f] [-keep]
//
// What is measured:
//
//	a  the hook's call for a segment that was stored ahead, against sh -c true and
//	   against pgBackRest's call for a segment that it pushed already
//	b  how fast PostgreSQL's archiver drains a backlog into a local target
//	c  the same over SSH, and over SSH with 50 ms of delay
//	d  one push with nothing running in the background
//	e  recovery that replays the whole backlog through restore_command
//	f  the background archiver's memory while it drains with 4 workers, and what it
//	   holds on to over many calls (-calls)
//
// How: a host "db" with PostgreSQL and pgBackRest of Debian 13, and a host "vault" with
// sshd and pgBackRest, both out of testdata/lab. Their data lies in a directory of this
// machine's disk (-dir), mounted into them, so no overlay is in the way; it must not be a
// tmpfs. One backlog is made by pgbench with archive_command=/bin/false; every drain
// starts from a copy of it, fsync on. The clock runs from "ready to accept connections"
// to the last .ready. Contenders take turns; figures are medians. Afterwards each segment
// in the archive is unpacked and compared with the original.
//
// pgBackRest runs with archive-async=y and process-max=2, pg_manage as it is without
// further settings: 4 workers for a local target, 8 over SSH.
// Processor time is that of all processes on the hosts, children included.
//
// The status is nonzero only when something doesn't work: a segment that is missing or
// differs, a recovery that ended short, a command that failed. Being slow is no failure.
//
// It needs root and what the lab needs, and once a Debian mirror: pgBackRest's packages
// are kept in the lab's cache.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"syscall"

	"pg_manage/testdata/bench/hosts"
)

type options struct {
	segments, runs, calls int
	only                  []hosts.Measurement[*site]
	keep                  bool
	dir                   string
}

func main() {
	log.SetFlags(log.Ltime)
	if len(os.Args) == 2 && os.Args[1] == callServer { // on the host "db"
		if err := serveCalls(json.NewDecoder(os.Stdin), json.NewEncoder(os.Stdout)); err != nil {
			log.Fatal(err)
		}
		return
	}
	var o options
	flag.IntVar(&o.segments, "segments", 200, "segments in the backlog, 16 MiB each")
	flag.IntVar(&o.runs, "runs", 3, "how often each contender drains and recovers")
	flag.IntVar(&o.calls, "calls", 10000, "calls that the archiver is watched over (f)")
	only := flag.String("only", "a,b,c,d,e,f", "what to measure")
	flag.BoolVar(&o.keep, "keep", false, "leave the directory with backlog, archives and logs")
	flag.StringVar(&o.dir, "dir", "/var/tmp", "where the data goes: a real disk with room for 6 times the backlog")
	flag.Parse()
	if o.segments < 10 || o.runs < 1 || o.calls < 1000 || flag.NArg() > 0 {
		log.Fatal("at least -segments 10, -runs 1, -calls 1000, and no arguments")
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
		{Name: "a", Do: (*site).warmCalls},
		{Name: "b", Do: (*site).localDrain},
		{Name: "c", Do: (*site).remoteDrain},
		{Name: "d", Do: (*site).coldPush},
		{Name: "e", Do: (*site).recovery},
		{Name: "f", Do: (*site).memory},
	}
}

func bench(o options) (err error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	before := hosts.LoadAverage()
	s, err := openSite(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	interrupted := errors.New("interrupted")
	if err := s.makeBacklog(); ctx.Err() != nil {
		return interrupted
	} else if err != nil {
		return s.Explain(err)
	}
	failed := hosts.Measure(ctx, s, o.only)
	s.report.Print(os.Stdout)
	if ctx.Err() != nil {
		return interrupted
	}
	fmt.Printf("\n%s\nload average before %s, after %s\n", s.versions(), before, hosts.LoadAverage())
	return failed
}
