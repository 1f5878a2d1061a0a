package main

import (
	"errors"
	"fmt"
	"os"
	"time"

	"pg_manage/testdata/bench/hosts"
)

// settings of the benchmark's instance. Nothing here makes it less durable; checkpoints
// come when they are asked for.
const settings = `
listen_addresses = ''
shared_buffers = 256MB
max_wal_size = 20GB
checkpoint_timeout = 1h
autovacuum = off
archive_mode = on
archive_command = '/bin/true'
`

// hasty are settings to fill an instance with that is of no use until it is filled.
func hasty() []string {
	return []string{"wal_level=minimal", "archive_mode=off", "max_wal_senders=0", "summarize_wal=off", "fsync=off"}
}

// instance makes the data directory one that fill filled, unless it is already.
func (s *site) instance(data, facts string, fill func(*hosts.Server) error) error {
	if s.data == data {
		return nil
	}
	if err := s.stop("immediate"); err != nil {
		return err
	}
	s.data, s.facts, s.local, s.fulls, s.restore = "", facts, nil, nil, nil
	if err := os.RemoveAll(s.Path(dataDir)); err != nil {
		return err
	}
	if _, err := s.Run(hosts.PgBin+"/initdb", "-D", dataDir, "--auth=trust", "--data-checksums", "--no-sync"); err != nil {
		return err
	}
	if err := s.configure(settings); err != nil {
		return err
	}
	if err := s.fill(fill); err != nil {
		return err
	}
	s.data = data
	return nil
}

// fill changes the instance without WAL and starts it again as it should be.
func (s *site) fill(fill func(*hosts.Server) error) error {
	if err := s.stop("fast"); err != nil {
		return err
	}
	v, err := s.Start(dataDir, dataPort, time.Minute, hasty()...)
	s.server = v
	if err != nil {
		return err
	}
	if err := fill(v); err != nil {
		return err
	}
	if _, err := v.SQL(s.facts); err != nil { // sets hint bits, which would be changes later
		return err
	}
	if err := s.stop("fast"); err != nil {
		return err
	}
	if err := s.Settle(); err != nil {
		return err
	}
	s.server, err = s.Start(dataDir, dataPort, time.Minute)
	return err
}

func (s *site) stop(mode string) error {
	if s.server == nil {
		return nil
	}
	if err := s.server.Stop(mode); err != nil {
		return err
	}
	s.server, s.holder = nil, nil
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

// set changes a setting of the running instance.
func (s *site) set(name, value string) error {
	if err := s.configure(fmt.Sprintf("%s = %s\n", name, quoted(value))); err != nil {
		return err
	}
	if _, err := s.server.SQL("SELECT pg_reload_conf()"); err != nil {
		return err
	}
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if now, err := s.server.SQL("SHOW " + name); err != nil || now == value {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s is not %q 30 s after reloading", name, value)
		}
	}
}

// The tables of pgbench have some room in each page, so that an updated row stays on its
// page and changes no other.
const fillFactor = 90

const pgbenchFacts = "SELECT count(*) || ' accounts ' || sum(abalance) FROM pgbench_accounts"

// pgbench makes the data directory one with pgbench's data.
func (s *site) pgbench() error {
	return s.instance("pgbench", pgbenchFacts, func(*hosts.Server) error { return s.pgbenchTables("postgres", s.scale) })
}

func (s *site) pgbenchTables(database string, scale int) error {
	_, err := s.Run(hosts.PgBin+"/pgbench", "-i", "-q", "-F", fmt.Sprint(fillFactor), "-s", fmt.Sprint(scale), "-p", fmt.Sprint(dataPort), database)
	return err
}
