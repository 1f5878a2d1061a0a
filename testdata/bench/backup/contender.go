package main

import (
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"pg_manage/testdata/bench/hosts"
	"pg_manage/testdata/bench/table"
)

// contender is one way to take backups and to restore them.
type contender struct {
	name     string
	archive  string         // archive_command
	recovery []string       // settings with which PostgreSQL starts on what it restored
	reset    func() error   // an empty repository, for the instance that runs
	ended    func() error   // ends its background processes, or waits for them
	store    string         // on this machine: where backups lie, a directory for each
	complete string         // file that a complete backup has
	label    *regexp.Regexp // of backups
	segments string         // on this machine: where the archive lies
	backup   func(incremental bool) command
	restore  func(label, dir string, delta bool) command
	checked  func(dir string) error // checks what was restored, before PostgreSQL starts; may be nil
}

// restoredDir is where a contender restores to.
func (c *contender) restoredDir() string {
	return hosts.Dir + "/restored-" + strings.Map(func(r rune) rune {
		if r == ' ' {
			return '-'
		}
		return r
	}, c.name)
}

// newest is the label of the newest complete backup.
func (c *contender) newest() (string, error) {
	entries, err := os.ReadDir(c.store)
	if err != nil {
		return "", err
	}
	for _, e := range slices.Backward(entries) {
		if !c.label.MatchString(e.Name()) {
			continue
		}
		if _, err := os.Stat(filepath.Join(c.store, e.Name(), c.complete)); err == nil {
			return e.Name(), nil
		}
	}
	return "", fmt.Errorf("%s: no complete backup lies in %s", c.name, c.store)
}

// archiveTo lets PostgreSQL archive with a contender, and waits until that works.
func (s *site) archiveTo(c *contender) error {
	if s.holder == c {
		return nil
	}
	if old := s.holder; old != nil {
		if err := old.ended(); err != nil {
			return err
		}
	}
	if err := s.set("archive_command", c.archive); err != nil {
		return err
	}
	s.holder = c
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
		if _, err := s.server.SQL("SELECT pg_logical_emit_message(false, 'bench', '')"); err != nil {
			return err
		}
		name, err := s.server.SQL("SELECT pg_walfile_name(pg_switch_wal())")
		if err != nil {
			return err
		}
		for last := ""; last != name && time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
			if last, err = s.server.SQL("SELECT last_archived_wal FROM pg_stat_archiver"); err != nil {
				return err
			}
		}
		found := false // the archiver may take a segment yet with the command it had
		err = files(c.segments, func(path string, _ os.FileInfo) error {
			found = found || strings.HasPrefix(filepath.Base(path), name)
			return nil
		})
		if found || err != nil {
			return err
		}
	}
	return fmt.Errorf("%s: PostgreSQL's WAL doesn't get into %s", c.name, c.segments)
}

// take takes a backup and measures that.
func (s *site) take(c *contender, incremental bool) (p spent, err error) {
	if err := s.archiveTo(c); err != nil {
		return p, err
	}
	before, err := size(c.store)
	if err != nil && !os.IsNotExist(err) {
		return p, err
	}
	if err := s.prepare(s.Path(dataDir)); err != nil {
		return p, err
	}
	if p, err = s.measure(c.backup(incremental)); err != nil {
		return p, err
	}
	after, err := size(c.store)
	p.stored = after - before
	log.Printf("%-22s backup  %s, %s processor, %s", c.name, table.Seconds(p.wall), table.Seconds(p.cpu), table.Megabytes(p.stored))
	return p, err
}

// full takes a full backup into an empty repository.
func (s *site) full(c *contender) (p spent, err error) {
	if s.holder == c { // its repository goes
		if err := s.set("archive_command", "/bin/true"); err != nil {
			return p, err
		}
		s.holder = nil
	}
	if err := errors.Join(c.ended(), c.reset()); err != nil {
		return p, err
	}
	return s.take(c, false)
}

// put restores the newest backup into an empty directory, or over what is there.
func (s *site) put(c *contender, delta bool) (p spent, err error) {
	label, err := c.newest()
	if err != nil {
		return p, err
	}
	read := []string{c.store}
	if delta {
		read = append(read, s.Path(c.restoredDir()))
	} else if err := s.Empty(c.restoredDir()); err != nil {
		return p, err
	}
	if err := s.prepare(read...); err != nil {
		return p, err
	}
	p, err = s.measure(c.restore(label, c.restoredDir(), delta))
	if err == nil {
		log.Printf("%-22s restore %s, %s processor", c.name, table.Seconds(p.wall), table.Seconds(p.cpu))
	}
	return p, err
}

// check looks whether what was restored is what was backed up, and removes it.
func (s *site) check(c *contender) (err error) {
	dir := c.restoredDir()
	if c.checked != nil {
		if err := c.checked(dir); err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
	}
	want, err := s.server.SQL(s.facts)
	if err != nil {
		return err
	}
	v, err := s.Start(dir, checkPort, 10*time.Minute, c.recovery...)
	if v != nil {
		defer func() { err = errors.Join(err, v.Stop("immediate"), os.RemoveAll(s.Path(dir))) }()
	}
	if err != nil {
		return fmt.Errorf("%s: what it restored: %w", c.name, err)
	}
	got, err := v.SQL(s.facts)
	if err == nil && got != want {
		err = fmt.Errorf("%s: what it restored holds %s instead of %s", c.name, got, want)
	}
	return err
}

// putAndCheck restores the newest backup and checks it.
func (s *site) putAndCheck(c *contender) (spent, error) {
	p, err := s.put(c, false)
	if err != nil {
		return p, err
	}
	return p, s.check(c)
}

// turns gives the contenders of a run in an order that changes from run to run.
func turns[T any](all []T, run int) []int {
	out := make([]int, len(all))
	for i := range all {
		out[i] = (run + i) % len(all)
	}
	return out
}

// quoted is a value in postgresql.conf.
func quoted(v string) string { return "'" + strings.ReplaceAll(v, "'", "''") + "'" }
