package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"pg_manage/testdata/bench/hosts"
)

const (
	hookProgram  = hosts.Dir + "/bin/pg_manage-hook"
	fullProgram  = hosts.Dir + "/bin/pg_manage"
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
		store:   s.Path(dir),
		forget:  func() error { return s.Empty(home + "/spool") },
		ended:   func() error { return s.DB.EndAll(archiverWord) },
	}
	if atVault {
		t.Scheme, t.User, t.Host = "ssh", "backup", s.Vault.IP
		t.IdentityFile = "/var/lib/postgresql/.ssh/id_ed25519"
		c.store = s.VaultPath(dir)
	}
	c.reset = func() error {
		if err := errors.Join(s.Empty(home), s.Empty(home+"/spool")); err != nil {
			return err
		}
		if atVault {
			key, err := s.Vault.HostKey()
			if err != nil {
				return err
			}
			t.HostKeys = []string{key}
			if err := s.EmptyAtVault(dir); err != nil {
				return err
			}
		} else if err := s.Empty(dir); err != nil {
			return err
		}
		text, err := s.hookConfig(t, home+"/spool", workers)
		if err != nil {
			return err
		}
		if err := s.WriteFile(home+"/hook.json", string(text)); err != nil {
			return err
		}
		_, err = s.Run(fullProgram, "hook", "--config", home+"/hook.json", "init")
		return err
	}
	return c
}

// inFull is the archive command of a contender of ours when no archiver is asked.
func inFull(c *contender) string {
	return strings.Replace(c.archive, "'"+hookProgram+"'", "'"+fullProgram+"' hook", 1)
}

// archiver is the process id of the background archiver.
func (s *site) archiver() (int, error) {
	pids := s.DB.Running(archiverWord)
	if len(pids) != 1 {
		return 0, fmt.Errorf("%d background archivers run on the host, not 1", len(pids))
	}
	return pids[0], nil
}
