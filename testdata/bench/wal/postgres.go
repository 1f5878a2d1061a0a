package main

import (
	"bufio"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
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

// server is a running PostgreSQL.
type server struct {
	cmd     *exec.Cmd
	started time.Time
	ready   chan time.Time // when it accepted connections
	ended   chan error
}

func (s *site) serverLog() string { return filepath.Join(s.dir, "postgres.log") }

// start starts PostgreSQL on the data directory and waits until recovery is over and it
// accepts connections.
func (s *site) start(limit time.Duration) (started, ready time.Time, err error) {
	log, err := os.OpenFile(s.serverLog(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return started, ready, err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return started, ready, errors.Join(err, log.Close())
	}
	v := &server{cmd: s.asPostgres(pgBin+"/postgres", "-D", dataDir), ready: make(chan time.Time, 1), ended: make(chan error, 1)}
	v.cmd.Stdout, v.cmd.Stderr = w, w
	v.started = time.Now()
	err = v.cmd.Start()
	_ = w.Close()
	if err != nil {
		return started, ready, errors.Join(err, r.Close(), log.Close())
	}
	go func() {
		defer log.Close() //nolint:errcheck // a log
		defer r.Close()   //nolint:errcheck // reading end
		for lines := bufio.NewScanner(io.TeeReader(r, log)); lines.Scan(); {
			if strings.HasSuffix(lines.Text(), "database system is ready to accept connections") {
				v.ready <- time.Now()
			}
		}
	}()
	go func() { v.ended <- v.cmd.Wait() }()
	s.server = v
	select {
	case ready = <-v.ready:
		return v.started, ready, nil
	case err := <-v.ended:
		s.server = nil
		return started, ready, fmt.Errorf("PostgreSQL ended instead of accepting connections: %w", err)
	case <-time.After(limit):
		return started, ready, fmt.Errorf("PostgreSQL accepts no connections after %s", limit)
	}
}

// stop ends PostgreSQL as a power cut does: the data directory isn't used again.
func (s *site) stop() error { return s.stopMode("immediate") }

func (s *site) stopMode(mode string) error {
	if s.server == nil {
		return nil
	}
	if _, err := s.run(pgBin+"/pg_ctl", "stop", "-D", dataDir, "-m", mode, "-w", "-t", "120"); err != nil {
		return err
	}
	<-s.server.ended
	s.server = nil
	return nil
}

func (s *site) sql(query string) (string, error) {
	out, err := s.run(pgBin+"/psql", "-X", "-A", "-t", "-d", "postgres", "-c", query)
	return strings.TrimSpace(out), err
}

const factsQuery = "SELECT (SELECT count(*) || ' accounts ' || sum(abalance) FROM pgbench_accounts) || ', ' || (SELECT count(*) FROM pgbench_history) || ' transactions'"

// segment is one that waits to be archived.
type segment struct {
	name string
	sum  [sha256.Size]byte
}

// Copies of the data directory: base is from before the backlog, backlog holds it.
const (
	baseDir    = benchDir + "/base"
	backlogDir = benchDir + "/backlog"
)

// makeBacklog makes an instance, keeps a copy of it, and lets pgbench write WAL that
// nothing takes.
func (s *site) makeBacklog() error {
	if _, err := s.run(pgBin+"/initdb", "-D", dataDir, "--auth=trust", "--data-checksums"); err != nil {
		return err
	}
	if err := s.configure(settings); err != nil {
		return err
	}
	if err := onHost("cp", "-a", "--reflink=auto", s.path(dataDir), s.path(baseDir)); err != nil {
		return err
	}
	if _, _, err := s.start(time.Minute); err != nil {
		return err
	}
	pgbench := func(args ...string) error {
		_, err := s.run(append([]string{"PGOPTIONS=-c synchronous_commit=off", pgBin + "/pgbench"}, args...)...)
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
	if err := os.Rename(s.path(dataDir), s.path(backlogDir)); err != nil {
		return err
	}
	ready, err := filepath.Glob(s.path(backlogDir + "/pg_wal/archive_status/*.ready"))
	if err != nil {
		return err
	}
	for _, r := range ready { // in the order of their names
		g := segment{name: strings.TrimSuffix(filepath.Base(r), ".ready")}
		if g.sum, err = sumFile(s.path(backlogDir + "/pg_wal/" + g.name)); err != nil {
			return err
		}
		s.backlog = append(s.backlog, g)
	}
	return nil
}

// configure adds to the configuration of the data directory.
func (s *site) configure(text string) error {
	f, err := os.OpenFile(s.path(dataDir+"/postgresql.conf"), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}

// waiting is the number of segments that wait to be archived.
func (s *site) waiting() (n int) {
	entries, err := os.ReadDir(s.path(dataDir + "/pg_wal/archive_status"))
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
	if err := os.RemoveAll(s.path(dataDir)); err != nil {
		return err
	}
	if err := onHost("cp", "-a", "--reflink=auto", s.path(from), s.path(dataDir)); err != nil {
		return err
	}
	return s.settle()
}

// settle leaves the disk without work of ours that would disturb the next measurement.
func (s *site) settle() error { return onHost("sync", "-f", s.dir) }

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
