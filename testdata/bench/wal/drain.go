package main

import (
	"fmt"
	"log"
	"strings"
	"time"

	"pg_manage/testdata/bench/hosts"
	"pg_manage/testdata/bench/table"
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
	if err := s.Settle(); err != nil {
		return d, err
	}
	_, ready, err := s.start(time.Minute)
	if err != nil {
		return d, err
	}
	cpu := s.CPU()
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
	d.elapsed, d.cpu = time.Since(ready), s.CPU()-cpu
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
	log.Printf("%-18s %s, %s", c.name, table.Seconds(d.elapsed), s.rate(d.elapsed))
	return d, nil
}

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
	out := fmt.Sprintf("%s %s (%s), %s, %s processor", c.name, table.Seconds(table.Median(elapsed(ds))), table.Spread(elapsed(ds)), s.rate(table.Median(elapsed(ds))), table.Seconds(table.Median(cpu)))
	if ds[0].size > 0 {
		out += ", " + table.Megabytes(ds[0].size)
	}
	return out
}

func (s *site) rate(d time.Duration) string {
	return fmt.Sprintf("%.1f/s", float64(len(s.backlog))/d.Seconds())
}

// The contenders whose archives on the host "db" recovery reads again.
func (s *site) oursLocal() *contender { return s.ours(hosts.Dir+"/ours", false, ownWorkers) }

func (s *site) pgBackRestLocal() *contender {
	return s.pgBackRest(hosts.Dir+"/pgbackrest", false)
}

func (s *site) localDrain() error {
	cs := []*contender{s.oursLocal(), s.pgBackRestLocal(), s.copied("cp && sync", " && sync"), s.copiedAndSynced(), s.ceiling()}
	all, err := s.drains(cs...)
	if err != nil {
		return err
	}
	mine := table.Median(elapsed(all[0]))
	for i, goal := range []string{"", ">= 2x", ">= 1.5x", ">= 1.5x", "(ceiling)"} {
		if i == 0 {
			s.report.Row("b  drain, local: pg_manage", "", "", s.figures(cs[i], all[i]))
			continue
		}
		s.report.Row("b  drain, local: "+cs[i].name+" / pg_manage", goal, table.Times(table.Median(elapsed(all[i])), mine), s.figures(cs[i], all[i]))
	}
	return nil
}

// cableDelay is what each packet to the vault waits in the second half of c, in
// milliseconds: a round trip takes so much longer.
const cableDelay = 50

func (s *site) remoteDrain() error {
	cs := []*contender{s.ours(hosts.Dir+"/ours", true, ownWorkers), s.pgBackRest(hosts.Dir+"/pgbackrest-ssh", true)}
	cs[0].name, cs[1].name = "pg_manage ssh", "pgBackRest ssh"
	for _, delay := range []int{0, cableDelay} {
		what := fmt.Sprintf("c  drain, ssh, round trip +%d ms: pgBackRest async / pg_manage", delay)
		if delay > 0 {
			if err := s.Vault.Delay(delay); err != nil {
				log.Printf("delay: not measured: %v", err)
				s.report.NotMeasured(what, ">= 2x", "delay: "+strings.Join(strings.Fields(err.Error()), " "))
				return nil
			}
		}
		all, err := s.drains(cs...)
		if err != nil {
			return err
		}
		s.report.Row(what, ">= 2x", table.Times(table.Median(elapsed(all[1])), table.Median(elapsed(all[0]))),
			s.figures(cs[0], all[0])+"; "+s.figures(cs[1], all[1]))
	}
	return s.Vault.Delay(0)
}
