package main

import (
	"fmt"
	"strconv"

	"pg_manage/testdata/bench/hosts"
	"pg_manage/testdata/bench/table"
)

// change is an UPDATE that the incremental backups come after.
type change struct {
	name    string
	goals   bool // for 1% of the blocks; else what is changed is far more, and measured once
	perPage int  // rows in a page of pgbench_accounts
	rows    int
	update  func(c change, run int) string
}

// changes are those measured. Rows lie in the order of their numbers, and stay where they are.
func (s *site) changes() ([]change, error) {
	out, err := s.server.SQL("SELECT count(*) FROM pgbench_accounts WHERE ctid < '(1,0)'")
	if err != nil {
		return nil, err
	}
	perPage, err := strconv.Atoi(out)
	if err != nil || perPage < 20 {
		return nil, fmt.Errorf("%q rows in a page of pgbench_accounts: %w", out, err)
	}
	const set = "UPDATE pgbench_accounts SET abalance = abalance + 1 WHERE "
	all := []change{
		{name: "1% of the blocks, scattered", goals: true, update: func(c change, run int) string {
			return fmt.Sprintf("%s (aid - 1) %% %d = %d", set, 100*c.perPage, (7*run%100)*c.perPage+5)
		}},
		{name: "1% of the blocks, contiguous", goals: true, update: func(c change, run int) string {
			return fmt.Sprintf("%s aid > %d AND aid <= %d AND aid %% 20 = 0", set, (30+run)*(c.rows/100), (31+run)*(c.rows/100))
		}},
		{name: "1% of the rows, scattered", update: func(_ change, run int) string {
			return fmt.Sprintf("%s (hashint4(aid) & 1048575) %% 100 = %d", set, run%100)
		}},
	}
	for i := range all {
		all[i].perPage, all[i].rows = perPage, s.scale*100000
	}
	return all, nil
}

// incrementals measures incremental backups, each upon the one before, with WAL summaries
// and without, which pgBackRest doesn't use.
func (s *site) incrementals() error {
	if err := s.pgbench(); err != nil {
		return err
	}
	s.local = nil // the data doesn't stay what those backups hold
	s.holder = nil
	for _, on := range []bool{true, false} {
		cs := []*contender{s.ours("pg_manage", hosts.Dir+"/incr-ours", false, workers)}
		if on {
			cs = append(cs, s.pgBackRest("pgBackRest", hosts.Dir+"/incr-pgbackrest", false),
				s.pgBackRest("pgBackRest block", hosts.Dir+"/incr-block", false, "repo1-block=y", "repo1-bundle=y"))
		}
		if err := s.set("summarize_wal", map[bool]string{true: "on", false: "off"}[on]); err != nil {
			return err
		}
		if err := s.chains(cs, on); err != nil {
			return err
		}
	}
	return s.remove(hosts.Dir+"/incr-ours", hosts.Dir+"/incr-pgbackrest", hosts.Dir+"/incr-block")
}

// chains lets each contender take a full backup and, after each change, an incremental one.
func (s *site) chains(cs []*contender, summaries bool) error {
	fulls := make([]spent, len(cs))
	for i, c := range cs {
		var err error
		if fulls[i], err = s.full(c); err != nil {
			return err
		}
	}
	s.fulls = append(s.fulls, fulls[0])
	all, err := s.changes()
	if err != nil {
		return err
	}
	for _, ch := range all {
		runs := s.runs
		if !ch.goals {
			runs = 1
		}
		taken, used := make([][]spent, len(cs)), 0
		for run := range runs {
			for _, query := range []string{ch.update(ch, run), s.facts, "CHECKPOINT"} { // reading sets hint bits, which are changes too
				if _, err := s.server.SQL(query); err != nil {
					return err
				}
			}
			for _, k := range turns(cs, run) {
				p, err := s.take(cs[k], true)
				if err != nil {
					return err
				}
				taken[k] = append(taken[k], p)
			}
			info, err := cs[0].info()
			if err != nil {
				return err
			}
			if info.Summaries {
				used++
			}
		}
		for _, c := range cs {
			if _, err := s.putAndCheck(c); err != nil {
				return err
			}
		}
		s.reportIncremental(ch, cs, fulls, taken, summaries, used)
	}
	return nil
}

func (s *site) reportIncremental(ch change, cs []*contender, fulls []spent, taken [][]spent, summaries bool, used int) {
	what, bytesGoal, timeGoal := "e  "+ch.name, "", ""
	if ch.goals {
		bytesGoal = "<= 2%"
	}
	full := wall(s.fulls)
	part := table.Times(wall(taken[0]), full)
	if !summaries {
		s.report.Row(what+", no summaries: time / full", "", part, fmt.Sprintf("%s; full %s", figures(cs[0].name, taken[0]), table.Seconds(full)))
		return
	}
	if ch.goals {
		timeGoal = "<= 0.3x"
	}
	said := fmt.Sprintf("%s; full %s, %s", figures(cs[0].name, taken[0]), table.Seconds(full), table.Megabytes(fulls[0].stored))
	if n := len(taken[0]); used < n {
		said += fmt.Sprintf("; WAL summaries used by only %d of %d", used, n)
	}
	s.report.Row(what+": stored / full", bytesGoal, share(stored(taken[0]), fulls[0].stored), said)
	s.report.Row(what+": time / full", timeGoal, part, "as above")
	for i := 1; i < len(cs); i++ {
		s.report.Row(fmt.Sprintf("%s: pg_manage / %s", what, cs[i].name), "", table.Times(wall(taken[0]), wall(taken[i])),
			fmt.Sprintf("%s, %s of its full", figures(cs[i].name, taken[i]), share(stored(taken[i]), fulls[i].stored)))
	}
}
