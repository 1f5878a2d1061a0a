package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"pg_manage/testdata/bench/hosts"
)

// pgBackRest is pgBackRest with a repository at dir, on the host "db" or at the vault.
// There, backups are taken by the vault, which reads the database's host over SSH. more
// are further options.
func (s *site) pgBackRest(name, dir string, atVault bool, more ...string) *contender {
	config := dir + "-config"
	words := []string{"pgbackrest", "--config=" + config + "/pgbackrest.conf", "--stanza=" + cluster}
	root := s.Path(dir)
	if atVault {
		root = s.VaultPath(dir)
	}
	c := &contender{
		name:     name,
		archive:  strings.Join(words, " ") + " archive-push %p",
		recovery: []string{"summarize_wal=off"}, // the rest is in what it restores
		ended:    func() error { return s.DB.WaitGone("pgbackrest", time.Minute) },
		store:    filepath.Join(root, "backup", cluster),
		complete: "backup.manifest",
		label:    regexp.MustCompile(`^[0-9]{8}-[0-9]{6}F`),
		segments: filepath.Join(root, "archive", cluster),
	}
	text := func(repository, database string) string {
		return fmt.Sprintf(`[global]
%s
%s
lock-path=/tmp/pgbackrest
process-max=%d
compress-type=zst
compress-level=1
start-fast=y
repo1-retention-full=99
log-level-console=warn
log-level-file=off
[%s]
%s
pg1-path=%s
`, repository, strings.Join(more, "\n"), workers, cluster, database, dataDir)
	}
	atRepository := func(args ...string) command {
		if !atVault {
			return command{host: s.DB, args: hosts.AsPostgres(append(words, args...)...)}
		}
		// The package's configuration file is for PostgreSQL's user alone: see reset.
		return command{host: s.Vault, args: append([]string{"runuser", "-u", "backup", "--", "env", "HOME=/home/backup", "pgbackrest", "--stanza=" + cluster}, args...)}
	}
	c.reset = func() error {
		if err := s.remove(dir); err != nil {
			return err
		}
		if err := s.Empty(config); err != nil {
			return err
		}
		if atVault {
			if err := s.EmptyAtVault(dir); err != nil {
				return err
			}
			const there = "/etc/pgbackrest.conf" // that database hosts expect
			if _, err := s.Vault.ExecInput(text("repo1-path="+dir, "pg1-host=db\npg1-host-user=postgres"), "tee", there); err != nil {
				return err
			}
			_, chown := s.Vault.Exec("chown", "backup:", there)
			if err := errors.Join(chown, s.WriteFile(config+"/pgbackrest.conf", text("repo1-host=vault\nrepo1-host-user=backup", ""))); err != nil {
				return err
			}
		} else if err := errors.Join(s.Empty(dir), s.WriteFile(config+"/pgbackrest.conf", text("repo1-path="+dir, ""))); err != nil {
			return err
		}
		create := atRepository("stanza-create")
		_, err := create.host.Exec(create.args...)
		return err
	}
	c.backup = func(incremental bool) command {
		kind := "full"
		if incremental {
			kind = "incr"
		}
		return atRepository("--type="+kind, "backup")
	}
	c.restore = func(label, dir string, delta bool) command {
		args := append(words, "--set="+label, "--pg1-path="+dir, "--type=immediate", "--target-action=promote", "--archive-mode=off") //nolint:gocritic // a copy is made
		if delta {
			args = append(args, "--delta")
		}
		return command{host: s.DB, args: hosts.AsPostgres(append(args, "restore")...)}
	}
	return c
}

func (s *site) pgBackRestLocal() *contender {
	return s.pgBackRest("pgBackRest", hosts.Dir+"/pgbackrest", false)
}
