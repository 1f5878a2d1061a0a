package main

import (
	"fmt"
	"time"

	"pg_manage/testdata/bench/hosts"
	"pg_manage/testdata/bench/table"
)

// coldCalls is how often one push is measured.
const coldCalls = 21

// coldPush measures one push of one waiting segment while nothing runs in the background.
// The hook may start its archiver, which is part of the time, and ends before the next.
func (s *site) coldPush() error {
	hook, full, backrest := s.ours(hosts.Dir+"/cold-hook", false, ownWorkers), s.ours(hosts.Dir+"/cold-full", false, ownWorkers), s.pgBackRest(hosts.Dir+"/cold-pgbackrest", false)
	if err := s.copyData(backlogDir); err != nil {
		return err
	}
	contenders := []*contender{hook, full, backrest}
	for _, c := range contenders {
		if err := c.reset(); err != nil {
			return err
		}
	}
	for _, g := range s.backlog {
		if err := s.mark(g, "done"); err != nil {
			return err
		}
	}
	calls := []string{hook.archive, inFull(full), synchronous(backrest)}
	took := make([][]time.Duration, len(calls))
	n := min(coldCalls, len(s.backlog))
	for i, g := range s.backlog[:n] {
		if err := s.mark(g, "ready"); err != nil {
			return err
		}
		for j := range calls {
			k := (i + j) % len(calls)
			if err := s.Settle(); err != nil {
				return err
			}
			d, err := s.caller.call(command(calls[k], g))
			if err != nil {
				return err
			}
			took[k] = append(took[k], d)
			if err := contenders[k].ended(); err != nil {
				return err
			}
		}
		if err := s.mark(g, "done"); err != nil {
			return err
		}
	}
	for _, c := range contenders {
		if err := c.verify(s.backlog[:n]); err != nil {
			return err
		}
	}
	a, b, other := table.Median(took[0]), table.Median(took[1]), table.Median(took[2])
	figures := fmt.Sprintf("hook %s, pg_manage hook %s, pgBackRest without async %s; medians of %d", table.Milliseconds(a), table.Milliseconds(b), table.Milliseconds(other), n)
	s.report.Row("d  one cold push: pgBackRest / pg_manage-hook", "> 1x", table.Times(other, a), figures)
	s.report.Row("d  one cold push: pgBackRest / pg_manage hook", "> 1x", table.Times(other, b), "as above")
	return nil
}
