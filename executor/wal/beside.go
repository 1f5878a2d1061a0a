package wal

import (
	"context"
	"os"
	"path/filepath"

	"pg_manage/executor/repo"
	"pg_manage/executor/repo/storage"
	"pg_manage/executor/wal/audit"
)

// OpenBeside gives an Opener for targets of a node whose files lie in stateDir, as hook.json
// does: it logs in with the keys that are there, and explains a refused login.
func OpenBeside(stateDir, cluster, node string) Opener {
	c := &Config{Cluster: cluster, Node: node, file: filepath.Join(stateDir, "hook.json")}
	return func(ctx context.Context, t repo.Target) (storage.Driver, error) { return c.OpenTarget(ctx, t, false) }
}

// CheckUserOf makes sure that this process runs as the user of an instance: whom the data
// directory belongs to, or where there is none (also when it is ""), what is there of stateDir.
func CheckUserOf(dataDir, stateDir string) error {
	if dataDir != "" {
		if _, err := os.Stat(dataDir); err == nil {
			return (&Config{DataDir: dataDir}).CheckUser()
		}
	}
	for {
		_, err := os.Stat(stateDir)
		up := filepath.Dir(stateDir)
		if err == nil || up == stateDir {
			return (&Config{DataDir: stateDir}).CheckUser()
		}
		stateDir = up
	}
}

// OpenArchive opens the archive of a cluster at a target for package audit and others that
// read it. The archive of another system identifier is refused, unless system is 0. close
// ends the connection.
func OpenArchive(ctx context.Context, t repo.Target, cluster string, system uint64, open Opener) (a audit.Archive, close func(), err error) {
	f, err := newForms(t)
	if err != nil {
		return a, nil, err
	}
	d, err := open(ctx, t)
	if err != nil {
		return a, nil, err
	}
	s := &site{c: &Config{Cluster: cluster}, t: t, d: d, forms: f}
	id, err := s.readIdentity(ctx)
	if err == nil && system != 0 {
		err = id.check(s, system)
	}
	if err != nil {
		s.close()
		return a, nil, err
	}
	return s.archive(id), s.close, nil
}
