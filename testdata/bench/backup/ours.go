package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"

	"pg_manage/executor/node"
	"pg_manage/executor/repo"
	"pg_manage/executor/repo/catalog"
	"pg_manage/testdata/bench/hosts"
)

const (
	program      = hosts.Programs + "/pg_manage"
	hookProgram  = hosts.Programs + "/pg_manage-hook"
	archiverWord = "archiver" // in the command line of the background archiver: pg_manage hook archiver
	hookForm     = 2          // version of hook.json

	backupDir, archiveDir, cluster = "backups", "pg_archlog", "bench" // below the target
)

// ours is pg_manage with a target at dir, on the host "db" or at the vault.
func (s *site) ours(name, dir string, atVault bool, workers int) *contender {
	t := repo.Target{Name: "t", Scheme: "file", Path: dir, ArchiveDir: archiveDir, Compression: "zstd", Required: true}
	root := s.Path(dir)
	if atVault {
		t.Scheme, t.User, t.Host, t.IdentityFile = "ssh", "backup", s.Vault.IP, hosts.PgHome+"/.ssh/id_ed25519"
		root = s.VaultPath(dir)
	}
	home := dir + "-hook"
	hook := func(instance string) string {
		return fmt.Sprintf("'%s' --config '%s/%s.json' ", hookProgram, home, instance)
	}
	c := &contender{
		name:     name,
		archive:  "exec " + hook("data") + "archive %p",
		recovery: []string{"restore_command=" + hook("restored") + "restore %f %p", "recovery_target=immediate", "recovery_target_action=promote", "archive_mode=off", "summarize_wal=off"},
		ended:    func() error { return s.DB.EndAll(archiverWord) },
		store:    filepath.Join(root, backupDir, cluster),
		complete: "backup.json",
		label:    regexp.MustCompile(`^[0-9]{8}T[0-9]{6}Z-`),
		segments: filepath.Join(root, archiveDir, cluster),
	}
	c.reset = func() error {
		if err := s.remove(dir); err != nil {
			return err
		}
		if err := errors.Join(s.Empty(home), s.Empty(home+"/spool")); err != nil {
			return err
		}
		if !atVault {
			if err := s.Empty(dir); err != nil {
				return err
			}
		} else if err := s.EmptyAtVault(dir); err != nil {
			return err
		}
		if atVault {
			key, err := s.Vault.HostKey()
			if err != nil {
				return err
			}
			t.HostKeys = []string{key}
		}
		for instance, dir := range map[string]string{"data": dataDir, "restored": c.restoredDir()} {
			text, err := json.Marshal(map[string]any{
				"version": hookForm, "cluster": cluster, "node": "db", "data_dir": dir,
				"targets": []repo.Target{t}, "spool_dir": home + "/spool",
			})
			if err != nil {
				return err
			}
			if err := s.WriteFile(home+"/"+instance+".json", string(text)); err != nil {
				return err
			}
		}
		_, err := s.Run(program, "hook", "--config", home+"/data.json", "init")
		return err
	}
	place := func() node.Place { return node.Place{Target: t, BackupDir: backupDir, Cluster: cluster} }
	c.backup = func(incremental bool) command {
		return s.asked("backup", node.BackupRequest{
			Version: node.Version, Place: place(), Archives: []repo.Target{t}, Node: "db",
			Server:      node.Server{DataDir: dataDir, BinDir: hosts.PgBin, SocketDir: hosts.SocketDir, Port: dataPort, User: "postgres", Major: 17},
			Incremental: incremental, Workers: workers, StateDir: stateDir,
		})
	}
	c.restore = func(label, dir string, delta bool) command {
		return s.asked("restore", node.RestoreRequest{
			Version: node.Version, Place: place(), Label: label, DataDir: dir, Delta: delta, Workers: workers, StateDir: stateDir,
		})
	}
	c.checked = func(dir string) error {
		if err := s.verifyBackup(c, dir); err != nil {
			return err
		}
		return s.WriteFile(dir+"/recovery.signal", "")
	}
	return c
}

// asked is what is asked of pg_manage on a node.
func (s *site) asked(what string, request any) command {
	text, err := json.Marshal(request)
	if err != nil {
		panic(err) // a struct of plain fields
	}
	return command{host: s.DB, args: hosts.AsPostgres(program, "node", what), stdin: string(text), watch: []string{filepath.Base(program), "node"}}
}

// verifyBackup lets PostgreSQL check what was restored against the manifest of the newest backup.
func (s *site) verifyBackup(c *contender, dir string) error {
	label, err := c.newest()
	if err != nil {
		return err
	}
	text, err := os.ReadFile(filepath.Join(c.store, label, "backup_manifest"))
	if err != nil {
		return err
	}
	const manifest = stateDir + "/manifest"
	if err := s.WriteFile(manifest, string(text)); err != nil {
		return err
	}
	_, err = s.Run(hosts.PgBin+"/pg_verifybackup", "-n", "-m", manifest, dir)
	return err
}

// info is backup.json of our newest backup.
func (c *contender) info() (*catalog.Info, error) {
	label, err := c.newest()
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(filepath.Join(c.store, label, c.complete))
	if err != nil {
		return nil, err
	}
	return catalog.DecodeInfo(text)
}

// The contender with a local target, whose repository restores read.
func (s *site) oursLocal() *contender {
	return s.ours("pg_manage", hosts.Dir+"/ours", false, workers)
}
