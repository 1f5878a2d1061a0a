package node

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"pg_manage/executor/repo"
	"pg_manage/executor/repo/catalog"
	"pg_manage/executor/repo/storage"
	"pg_manage/executor/wal"
)

// access is how a command reaches the targets of a node.
type access struct {
	open wal.Opener
}

// enter makes sure that the program runs as who it must, and gives the way to the targets.
func enter(cluster, node, dataDir, stateDir string) (*access, error) {
	if !filepath.IsAbs(stateDir) {
		return nil, misuse("state_dir %q is not an absolute path", stateDir)
	}
	if dataDir != "" && !filepath.IsAbs(dataDir) {
		return nil, misuse("data_dir %q is not an absolute path", dataDir)
	}
	if err := wal.CheckUserOf(dataDir, stateDir); err != nil {
		return nil, err
	}
	return &access{wal.OpenBeside(stateDir, cluster, node)}, nil
}

// enterPlace is enter for a command that works at one place and on no data directory.
func enterPlace(ctx context.Context, p Place, stateDir string) (*access, *place, error) {
	a, err := enter(p.Cluster, "", "", stateDir)
	if err != nil {
		return nil, nil, err
	}
	c, err := a.catalog(ctx, p)
	return a, c, err
}

// check refuses a place that is no place.
func (p Place) check() error {
	t := p.Target
	switch {
	case t.Name == "" || t.Scheme == "" || t.Path == "" && t.Scheme != "s3":
		return misuse("target %q names no place", t.Name)
	case p.BackupDir == "":
		return misuse("backup_dir of target %q is empty", t.Name)
	case p.Cluster == "" || p.Cluster == "." || p.Cluster == ".." || strings.ContainsAny(p.Cluster, "/\x00\n"):
		return misuse("cluster %q is no name for a directory", p.Cluster)
	}
	return storage.CheckDir(p.Dir())
}

// place is an open place.
type place struct {
	*catalog.Catalog
	driver storage.Driver
}

func (p *place) close() {
	p.driver.Close() //nolint:errcheck // all that matters has been checked by then
}

// catalog opens a place. That a share is mounted where one must be is checked by the driver.
func (a *access) catalog(ctx context.Context, p Place) (*place, error) {
	if err := p.check(); err != nil {
		return nil, err
	}
	d, err := a.open(ctx, p.Target)
	if err != nil {
		return nil, fmt.Errorf("target %s: %w", p.Target.Name, err)
	}
	c, err := catalog.New(d, p.Dir(), p.Target)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("target %s: %w", p.Target.Name, err), d.Close())
	}
	return &place{c, d}, nil
}

// lookups are the archives of a cluster, for questions; close ends their connections.
func (a *access) lookups(cluster string, system uint64, targets []repo.Target) (all []*wal.Lookup, close func()) {
	for _, t := range targets {
		all = append(all, wal.NewLookup(t, cluster, system, a.open))
	}
	return all, func() {
		for _, l := range all {
			l.Close() //nolint:errcheck // nothing was written
		}
	}
}
