package main

import (
	"fmt"
	"time"
)

// coldCalls is how often one push is measured.
const coldCalls = 21

// coldPush measures one push of one waiting segment while nothing runs in the background.
// The hook may start its archiver, which is part of the time, and ends before the next.
func (s *site) coldPush() error {
	hook, full, backrest := s.ours(benchDir+"/cold-hook", false, ownWorkers), s.ours(benchDir+"/cold-full", false, ownWorkers), s.pgBackRest(benchDir+"/cold-pgbackrest", false)
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
			if err := s.settle(); err != nil {
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
	a, b, other := median(took[0]), median(took[1]), median(took[2])
	figures := fmt.Sprintf("hook %s, pg_manage hook %s, pgBackRest without async %s; medians of %d", ms(a), ms(b), ms(other), n)
	s.report.row("d  one cold push: pgBackRest / pg_manage-hook", "> 1x", times(other, a), figures)
	s.report.row("d  one cold push: pgBackRest / pg_manage hook", "> 1x", times(other, b), "as above")
	return nil
}
