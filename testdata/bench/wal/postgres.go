package main

import (
	"crypto/sha256"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"pg_manage/testdata/bench/hosts"
)

// settings of the benchmark's instance. Nothing here makes it less durable; checkpoints
// come when they are asked for.
const settings = `
listen_addresses = ''
shared_buffers = 256MB
max_wal_size = 50GB
checkpoint_timeout = 1h
autovacuum = off
archive_mode = on
archive_command = '/bin/false'
`

const port = 5432

// start starts PostgreSQL on the data directory and waits until recovery is over and it
// accepts connections.
func (s *site) start(limit time.Duration) (started, ready time.Time, err error) {
	s.server, err = s.Start(dataDir, port, limit)
	if err != nil {
		return started, ready, err
	}
	return s.server.Started, s.server.Ready, nil
}

// stop ends PostgreSQL as a power cut does: the data directory isn't used again.
func (s *site) stop() error { return s.stopMode("immediate") }

func (s *site) stopMode(mode string) error {
	if s.server == nil {
		return nil
	}
	if err := s.server.Stop(mode); err != nil {
		return err
	}
	s.server = nil
	return nil
}

func (s *site) sql(query string) (string, error) { return s.server.SQL(query) }

const factsQuery = "SELECT (SELECT count(*) || ' accounts ' || sum(abalance) FROM pgbench_accounts) || ', ' || (SELECT count(*) FROM pgbench_history) || ' transactions'"

// segment is one that waits to be archived.
type segment struct {
	name string
	sum  [sha256.Size]byte
}

// Copies of the data directory: base is from before the backlog, backlog holds it.
const (
	baseDir    = hosts.Dir + "/base"
	backlogDir = hosts.Dir + "/backlog"
)

// makeBacklog makes an instance, keeps a copy of it, and lets pgbench write WAL that
// nothing takes.
func (s *site) makeBacklog() error {
	if _, err := s.Run(hosts.PgBin+"/initdb", "-D", dataDir, "--auth=trust", "--data-checksums"); err != nil {
		return err
	}
	if err := s.configure(settings); err != nil {
		return err
	}
	if err := hosts.OnMachine("cp", "-a", "--reflink=auto", s.Path(dataDir), s.Path(baseDir)); err != nil {
		return err
	}
	if _, _, err := s.start(time.Minute); err != nil {
		return err
	}
	pgbench := func(args ...string) error {
		_, err := s.Run(append([]string{"PGOPTIONS=-c synchronous_commit=off", hosts.PgBin + "/pgbench"}, args...)...)
		return err
	}
	if err := pgbench("-i", "-q", "-s", "20", "postgres"); err != nil {
		return err
	}
	for s.waiting() < s.segments {
		if err := pgbench("-n", "-c", "4", "-j", "2", "-t", "2500", "postgres"); err != nil {
			return err
		}
		if _, err := s.sql("CHECKPOINT"); err != nil { // afterwards each page is written whole again
			return err
		}
	}
	var err error
	if s.facts, err = s.sql(factsQuery); err != nil {
		return err
	}
	if _, err := s.sql("SELECT pg_switch_wal()"); err != nil {
		return err
	}
	if err := s.stopMode("fast"); err != nil {
		return err
	}
	if err := os.Rename(s.Path(dataDir), s.Path(backlogDir)); err != nil {
		return err
	}
	ready, err := filepath.Glob(s.Path(backlogDir + "/pg_wal/archive_status/*.ready"))
	if err != nil {
		return err
	}
	for _, r := range ready { // in the order of their names
		g := segment{name: strings.TrimSuffix(filepath.Base(r), ".ready")}
		if g.sum, err = sumFile(s.Path(backlogDir + "/pg_wal/" + g.name)); err != nil {
			return err
		}
		s.backlog = append(s.backlog, g)
	}
	return nil
}

// configure adds to the configuration of the data directory.
func (s *site) configure(text string) error {
	f, err := os.OpenFile(s.Path(dataDir+"/postgresql.conf"), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}

// waiting is the number of segments that wait to be archived.
func (s *site) waiting() (n int) {
	entries, err := os.ReadDir(s.Path(dataDir + "/pg_wal/archive_status"))
	if err != nil {
		return -1
	}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".ready") {
			n++
		}
	}
	return n
}

// copyData makes the data directory a copy of another one, and waits until the disk is
// done with it.
func (s *site) copyData(from string) error {
	if err := os.RemoveAll(s.Path(dataDir)); err != nil {
		return err
	}
	if err := hosts.OnMachine("cp", "-a", "--reflink=auto", s.Path(from), s.Path(dataDir)); err != nil {
		return err
	}
	return s.Settle()
}

func sumFile(name string) (sum [sha256.Size]byte, err error) {
	f, err := os.Open(name)
	if err != nil {
		return sum, err
	}
	return sumOf(f)
}

// sumOf reads to the end and closes.
func sumOf(r io.ReadCloser) (sum [sha256.Size]byte, err error) {
	h := sha256.New()
	_, err = io.Copy(h, r)
	copy(sum[:], h.Sum(nil))
	return sum, errors.Join(err, r.Close())
}
