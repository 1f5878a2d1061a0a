package main

import (
	"fmt"
	"log"
	"time"

	"pg_manage/testdata/bench/table"
)

// recovery measures how long an instance from before the backlog takes from its start
// until it has replayed the archive and accepts connections. The archives are in the page
// cache for all.
func (s *site) recovery() error {
	cs := []*contender{s.oursLocal(), s.pgBackRestLocal(), s.copiedAndSynced()}
	for _, c := range cs {
		if !s.archived[c.name] {
			if _, err := s.drain(c, nil); err != nil {
				return err
			}
		}
	}
	took := make([][]time.Duration, len(cs))
	for run := range s.runs {
		for i := range cs {
			k := (run + i) % len(cs)
			d, err := s.recover(cs[k])
			if err != nil {
				return fmt.Errorf("%s: %w", cs[k].name, err)
			}
			log.Printf("%-18s %s", cs[k].name, table.Seconds(d))
			took[k] = append(took[k], d)
		}
	}
	mine, other, plain := table.Median(took[0]), table.Median(took[1]), table.Median(took[2])
	figures := fmt.Sprintf("pg_manage %s (%s), pgBackRest async %s (%s), cp %s (%s); %s of pg_manage",
		table.Seconds(mine), table.Spread(took[0]), table.Seconds(other), table.Spread(took[1]), table.Seconds(plain), table.Spread(took[2]), s.rate(mine))
	s.report.Row("e  recovery: pgBackRest async get / pg_manage", ">= 1.3x", table.Times(other, mine), figures)
	s.report.Row("e  recovery: pg_manage / cp", "<= 1.15x", table.Times(mine, plain), "as above")
	return nil
}

func (s *site) recover(c *contender) (time.Duration, error) {
	if err := s.copyData(baseDir); err != nil {
		return 0, err
	}
	if c.forget != nil {
		if err := c.forget(); err != nil {
			return 0, err
		}
	}
	if err := s.configure("archive_mode = off\nrestore_command = " + quoted(c.restore) + "\n"); err != nil {
		return 0, err
	}
	if err := s.WriteFile(dataDir+"/recovery.signal", ""); err != nil {
		return 0, err
	}
	if err := s.Settle(); err != nil {
		return 0, err
	}
	started, ready, err := s.start(30 * time.Minute)
	if err != nil {
		return 0, err
	}
	facts, err := s.sql(factsQuery)
	if err != nil {
		return 0, err
	}
	if facts != s.facts {
		return 0, fmt.Errorf("recovery ended short: %s instead of %s", facts, s.facts)
	}
	if err := s.stop(); err != nil {
		return 0, err
	}
	return ready.Sub(started), c.ended()
}
