package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
)

const (
	hookProgram  = benchDir + "/bin/pg_manage-hook"
	fullProgram  = benchDir + "/bin/pg_manage"
	archiverWord = "archiver" // in the command line of the background archiver: pg_manage hook archiver
)

// asyncProcesses is how many segments are worked on at a time, by pgBackRest and by us.
const asyncProcesses = 2

// hookTarget is the part of hook.json that says where WAL goes.
type hookTarget struct {
	Name         string   `json:"name"`
	Scheme       string   `json:"scheme"`
	User         string   `json:"user,omitempty"`
	Host         string   `json:"host,omitempty"`
	Path         string   `json:"path"`
	ArchiveDir   string   `json:"archive_dir"`
	HostKeys     []string `json:"host_keys,omitempty"`
	IdentityFile string   `json:"identity_file,omitempty"`
	Compression  string   `json:"compression,omitempty"`
	Required     bool     `json:"required,omitempty"`
}

// hookConfig is hook.json in the form that the hook reads.
func (s *site) hookConfig(t hookTarget, spool string, workers int) ([]byte, error) {
	c := map[string]any{"version": s.form, "cluster": "bench", "node": "db", "data_dir": dataDir}
	if s.form == 1 {
		c["target"] = t
	} else {
		t.Compression, t.Required = "zstd", true
		c["targets"], c["workers"], c["spool_dir"] = []hookTarget{t}, workers, spool
	}
	return json.MarshalIndent(c, "", "\t")
}

// hasArchiver tells whether this hook works with a background archiver.
func (s *site) hasArchiver() bool { return s.form > 1 }

// ownWorkers leaves the number of workers to pg_manage, as those who install it do.
const ownWorkers = 0

// ours is pg_manage with a target below dir, on the host "db" or at the vault.
func (s *site) ours(dir string, atVault bool, workers int) *contender {
	t := hookTarget{Name: "t", Scheme: "file", Path: dir, ArchiveDir: "pg_archlog"}
	home := dir + "-hook"
	c := &contender{
		name:    "pg_manage",
		archive: fmt.Sprintf("exec '%s' --config '%s/hook.json' archive %%p", hookProgram, home),
		restore: fmt.Sprintf("'%s' --config '%s/hook.json' restore %%f %%p", hookProgram, home),
		store:   s.path(dir),
		forget:  func() error { return s.empty(home + "/spool") },
		ended:   func() error { return s.db.endAll(archiverWord) },
	}
	if atVault {
		t.Scheme, t.User, t.Host = "ssh", "backup", s.vault.IP
		t.IdentityFile = "/var/lib/postgresql/.ssh/id_ed25519"
		c.store = s.vaultPath(dir)
	}
	c.reset = func() error {
		if err := errors.Join(s.empty(home), s.empty(home+"/spool")); err != nil {
			return err
		}
		if atVault {
			key, err := s.vault.HostKey()
			if err != nil {
				return err
			}
			t.HostKeys = []string{key}
			if err := s.emptyAtVault(dir); err != nil {
				return err
			}
		} else if err := s.empty(dir); err != nil {
			return err
		}
		text, err := s.hookConfig(t, home+"/spool", workers)
		if err != nil {
			return err
		}
		if err := s.writeFile(home+"/hook.json", string(text)); err != nil {
			return err
		}
		_, err = s.run(fullProgram, "hook", "--config", home+"/hook.json", "init")
		return err
	}
	return c
}

func (s *site) emptyAtVault(dir string) error {
	if err := os.RemoveAll(s.vaultPath(dir)); err != nil {
		return err
	}
	_, err := s.vault.Exec("install", "-d", "-o", "backup", "-g", "backup", "-m", "700", dir)
	return err
}

// inFull is the archive command of a contender of ours when no archiver is asked.
func inFull(c *contender) string {
	return strings.Replace(c.archive, "'"+hookProgram+"'", "'"+fullProgram+"' hook", 1)
}

// archiver is the process id of the background archiver.
func (s *site) archiver() (int, error) {
	pids := s.db.running(archiverWord)
	if len(pids) != 1 {
		return 0, fmt.Errorf("%d background archivers run on the host, not 1", len(pids))
	}
	return pids[0], nil
}
