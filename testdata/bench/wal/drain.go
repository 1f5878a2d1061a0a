package main

import (
	"fmt"
	"log"
	"strings"
	"time"
)

// stalled is how long a drain may go on without one segment archived.
const stalled = 2 * time.Minute

// drained is one drain of the backlog.
type drained struct {
	elapsed time.Duration // from accepting connections to the last segment
	cpu     time.Duration // of all processes on both hosts
	size    uint64        // of the archive, in bytes
}

// drain lets PostgreSQL's archiver take the backlog through a contender's archive_command.
// inspect, if there is one, is called when all is archived and all still runs.
func (s *site) drain(c *contender, inspect func() error) (d drained, err error) {
	if err := s.copyData(backlogDir); err != nil {
		return d, err
	}
	if err := c.reset(); err != nil {
		return d, err
	}
	if err := s.configure("archive_command = " + quoted(c.archive) + "\n"); err != nil {
		return d, err
	}
	if err := s.settle(); err != nil {
		return d, err
	}
	_, ready, err := s.start(time.Minute)
	if err != nil {
		return d, err
	}
	cpu := s.cpu()
	last, since := len(s.backlog), time.Now()
	for {
		n := s.waiting()
		if n == 0 {
			break
		}
		if n != last {
			last, since = n, time.Now()
		}
		if time.Since(since) > stalled {
			return d, fmt.Errorf("%s: %d segments wait, and none was archived for %s", c.name, n, stalled)
		}
		time.Sleep(5 * time.Millisecond)
	}
	d.elapsed, d.cpu = time.Since(ready), s.cpu()-cpu
	if inspect != nil {
		if err := inspect(); err != nil {
			return d, err
		}
	}
	if err := s.stop(); err != nil {
		return d, err
	}
	if err := c.ended(); err != nil {
		return d, err
	}
	if err := c.verify(s.backlog); err != nil {
		return d, err
	}
	d.size = c.size()
	s.archived[c.name] = true
	log.Printf("%-18s %s, %s", c.name, seconds(d.elapsed), s.rate(d.elapsed))
	return d, nil
}

func (s *site) cpu() time.Duration { return s.db.cpu() + s.vault.cpu() }

// quoted is a value in postgresql.conf.
func quoted(v string) string { return "'" + strings.ReplaceAll(v, "'", "''") + "'" }

// drains lets contenders drain in turns.
func (s *site) drains(contenders ...*contender) ([][]drained, error) {
	all := make([][]drained, len(contenders))
	for run := range s.runs {
		for i := range contenders {
			k := (run + i) % len(contenders)
			d, err := s.drain(contenders[k], nil)
			if err != nil {
				return nil, err
			}
			all[k] = append(all[k], d)
		}
	}
	return all, nil
}

func elapsed(ds []drained) (out []time.Duration) {
	for _, d := range ds {
		out = append(out, d.elapsed)
	}
	return out
}

// figures describes a contender's drains in one go.
func (s *site) figures(c *contender, ds []drained) string {
	var cpu []time.Duration
	for _, d := range ds {
		cpu = append(cpu, d.cpu)
	}
	out := fmt.Sprintf("%s %s (%s), %s, %s processor", c.name, seconds(median(elapsed(ds))), spread(elapsed(ds)), s.rate(median(elapsed(ds))), seconds(median(cpu)))
	if ds[0].size > 0 {
		out += ", " + megabytes(ds[0].size)
	}
	return out
}

func (s *site) rate(d time.Duration) string {
	return fmt.Sprintf("%.1f/s", float64(len(s.backlog))/d.Seconds())
}

// The contenders whose archives on the host "db" recovery reads again.
func (s *site) oursLocal() *contender { return s.ours(benchDir+"/ours", false, ownWorkers) }

func (s *site) pgBackRestLocal() *contender {
	return s.pgBackRest(benchDir+"/pgbackrest", false)
}

func (s *site) localDrain() error {
	cs := []*contender{s.oursLocal(), s.pgBackRestLocal(), s.copied("cp && sync", " && sync"), s.copiedAndSynced(), s.ceiling()}
	all, err := s.drains(cs...)
	if err != nil {
		return err
	}
	mine := median(elapsed(all[0]))
	for i, goal := range []string{"", ">= 2x", ">= 1.5x", ">= 1.5x", "(ceiling)"} {
		if i == 0 {
			s.report.row("b  drain, local: pg_manage", "", "", s.figures(cs[i], all[i]))
			continue
		}
		s.report.row("b  drain, local: "+cs[i].name+" / pg_manage", goal, times(median(elapsed(all[i])), mine), s.figures(cs[i], all[i]))
	}
	return nil
}

// cableDelay is what each packet to the vault waits in the second half of c, in
// milliseconds: a round trip takes so much longer.
const cableDelay = 50

func (s *site) remoteDrain() error {
	cs := []*contender{s.ours(benchDir+"/ours", true, ownWorkers), s.pgBackRest(benchDir+"/pgbackrest-ssh", true)}
	cs[0].name, cs[1].name = "pg_manage ssh", "pgBackRest ssh"
	for _, delay := range []int{0, cableDelay} {
		what := fmt.Sprintf("c  drain, ssh, round trip +%d ms: pgBackRest async / pg_manage", delay)
		if delay > 0 {
			if err := s.vault.Delay(delay); err != nil {
				log.Printf("delay: not measured: %v", err)
				s.report.notMeasured(what, ">= 2x", "delay: "+strings.Join(strings.Fields(err.Error()), " "))
				return nil
			}
		}
		all, err := s.drains(cs...)
		if err != nil {
			return err
		}
		s.report.row(what, ">= 2x", times(median(elapsed(all[1])), median(elapsed(all[0]))),
			s.figures(cs[0], all[0])+"; "+s.figures(cs[1], all[1]))
	}
	return s.vault.Delay(0)
}
