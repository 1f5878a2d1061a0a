package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"pg_manage/testdata/bench/hosts"
)

// pgBackRest is pgBackRest with archive-async, and a repository below dir on the host
// "db" or at the vault.
func (s *site) pgBackRest(dir string, atVault bool) *contender {
	spool, config := dir+"-spool", dir+"-config"
	command := fmt.Sprintf("pgbackrest --config=%s/pgbackrest.conf --stanza=bench", config)
	c := &contender{
		name:    "pgBackRest async",
		archive: command + " archive-push %p",
		restore: command + ` archive-get %f "%p"`,
		store:   s.Path(dir),
		forget:  func() error { return s.Empty(spool) },
		ended:   func() error { return s.DB.WaitGone("pgbackrest", time.Minute) },
	}
	text := func(repo string) string {
		return fmt.Sprintf(`[global]
%s
spool-path=%s
lock-path=%s/lock
archive-async=y
process-max=%d
compress-type=zst
compress-level=1
archive-get-queue-max=4GiB
log-level-console=warn
log-level-file=off
[bench]
pg1-path=%s
`, repo, spool, config, asyncProcesses, dataDir)
	}
	if atVault {
		c.store = s.VaultPath(dir)
	}
	c.reset = func() error {
		if err := errors.Join(s.Empty(dir), s.Empty(spool), s.Empty(config)); err != nil {
			return err
		}
		if err := s.WriteFile(config+"/pgbackrest.conf", text("repo1-path="+dir)); err != nil {
			return err
		}
		if _, err := s.Run("pgbackrest", "--config="+config+"/pgbackrest.conf", "--stanza=bench", "--no-online", "stanza-create"); err != nil {
			return err
		}
		if !atVault {
			return nil
		}
		// A stanza is made at its repository, which here would have to reach back to the database: take the finished one there.
		if err := s.EmptyAtVault(dir); err != nil {
			return err
		}
		if err := hosts.OnMachine("cp", "-r", s.Path(dir)+"/.", s.VaultPath(dir)); err != nil {
			return err
		}
		const remote = "/etc/pgbackrest.conf" // the package's is for PostgreSQL's user alone
		if _, err := s.Vault.ExecInput(fmt.Sprintf("[global]\nrepo1-path=%s\nlock-path=/tmp/pgbackrest\nlog-level-file=off\n", dir), "tee", remote); err != nil {
			return err
		}
		if _, err := s.Vault.Exec("chown", "-R", "backup:", dir, remote); err != nil {
			return err
		}
		return errors.Join(s.WriteFile(config+"/pgbackrest.conf", text("repo1-host=vault\nrepo1-host-user=backup")), os.RemoveAll(s.Path(dir)))
	}
	return c
}

// synchronous is pgBackRest's archive command without its background process.
func synchronous(c *contender) string {
	return strings.Replace(c.archive, "--stanza", "--no-archive-async --stanza", 1)
}
