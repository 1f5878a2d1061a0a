package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"pg_manage/testdata/bench/hosts"
	"pg_manage/testdata/bench/table"
)

// warmCalls measures the call for a segment that the background process stored ahead.
// Each segment is asked for once by each contender, in turns, and then marked as
// PostgreSQL does, so that nobody lives on an answer given before.
func (s *site) warmCalls() error {
	ours, backrest := s.ours(hosts.Dir+"/warm", false, ownWorkers), s.pgBackRest(hosts.Dir+"/warm-pgbackrest", false)
	if err := s.copyData(backlogDir); err != nil {
		return err
	}
	for _, c := range []*contender{ours, backrest} {
		if err := c.reset(); err != nil {
			return err
		}
	}
	// The first call starts pgBackRest's background process, which pushes all and ends.
	if _, err := s.caller.call(command(backrest.archive, s.backlog[0])); err != nil {
		return err
	}
	if err := backrest.ended(); err != nil {
		return err
	}
	if err := backrest.verify(s.backlog); err != nil {
		return err
	}
	what := "hook call, stored ahead"
	if !s.hasArchiver() {
		what = "hook call, stored already (this hook has no archiver)"
		for _, g := range s.backlog {
			if _, err := s.caller.call(command(ours.archive, g)); err != nil {
				return err
			}
		}
	} else if err := s.warmUp(ours); err != nil {
		return err
	}
	calls := []string{"true", ours.archive, backrest.archive}
	took := make([][]time.Duration, len(calls))
	for i, g := range s.backlog {
		if err := ours.waitFor(s.backlog[min(i+1, len(s.backlog)-1)]); err != nil {
			return err
		}
		for j := range calls {
			k := (i + j) % len(calls)
			d, err := s.caller.call(command(calls[k], g))
			if err != nil {
				return err
			}
			took[k] = append(took[k], d)
		}
		if err := s.mark(g, "done"); err != nil {
			return err
		}
	}
	if err := ours.verify(s.backlog); err != nil {
		return err
	}
	bare, hook, other := table.Median(took[0]), table.Median(took[1]), table.Median(took[2])
	figures := fmt.Sprintf("hook %s, sh -c true %s, pgBackRest async %s; medians of %d calls", table.Milliseconds(hook), table.Milliseconds(bare), table.Milliseconds(other), len(took[0]))
	s.report.Row("a  "+what+" / sh -c true", "<= 2.5x", table.Times(hook, bare), figures)
	s.report.Row("a  pgBackRest's call / hook call", ">= 2x", table.Times(other, hook), "as above")
	return nil
}

// warmUp calls until the archiver works ahead: the first call starts it and does its
// segment alone.
func (s *site) warmUp(c *contender) error {
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if _, err := s.caller.call(command(c.archive, s.backlog[0])); err != nil {
			return err
		}
		all, err := filepath.Glob(filepath.Join(c.store, "*/*/*/*.zst"))
		if err != nil || len(all) > 1 {
			return err
		}
	}
	return fmt.Errorf("%s: no archiver works ahead within a minute", c.name)
}

// command is an archive_command for one segment, as PostgreSQL makes it.
func command(archive string, g segment) string {
	return strings.NewReplacer("%p", "pg_wal/"+g.name, "%f", g.name, "%%", "%").Replace(archive)
}

// waitFor waits until a segment is in our archive and the archiver rests: what it does
// ahead at the same time shows in the drains.
func (c *contender) waitFor(g segment) error {
	const rest = 100 * time.Millisecond
	last, since := -1, time.Now()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		all, err := filepath.Glob(filepath.Join(c.store, "*/*/*/*.zst"))
		if err != nil {
			return err
		}
		if len(all) != last {
			last, since = len(all), time.Now()
		}
		found := slices.ContainsFunc(all, func(path string) bool { return filepath.Base(path) == g.name+".zst" })
		if found && time.Since(since) > rest {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s: nobody stored %s ahead within a minute", c.name, g.name)
		}
	}
}

// mark tells that a segment is archived (done) or waits for it (ready), as PostgreSQL does.
func (s *site) mark(g segment, as string) error {
	was := map[string]string{"done": "ready", "ready": "done"}[as]
	status := s.Path(dataDir+"/pg_wal/archive_status/") + "/" + g.name
	return os.Rename(status+"."+was, status+"."+as)
}
