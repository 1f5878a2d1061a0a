package wal

import (
	"context"
	"errors"
	"sync"

	"pg_manage/executor/repo"
	"pg_manage/executor/repo/codec"
	"pg_manage/executor/repo/storage"
	"pg_manage/schema/postgres"
)

// Lookup says which files of WAL the archive of a cluster at one target has. Its methods
// may be called by several goroutines at once.
type Lookup struct {
	target repo.Target
	system uint64
	links  *links

	mu   sync.Mutex
	sure bool            // the archive is the cluster's
	seen map[string]bool // files that are there; nothing that a running backup needs is taken away
}

// NewLookup prepares looking into an archive; the target is not asked yet. The archive of
// another system identifier is refused, unless system is 0. A connection that breaks is
// opened again when the next question comes.
func NewLookup(t repo.Target, cluster string, system uint64, open Opener) *Lookup {
	l := &Lookup{target: t, system: system, seen: map[string]bool{}}
	l.links = newLinks(true, func(ctx context.Context, t repo.Target) (*site, error) {
		d, err := open(ctx, t)
		if err != nil {
			return nil, err
		}
		return &site{c: &Config{Cluster: cluster}, t: t, d: d}, nil
	})
	return l
}

// Close ends the connection.
func (l *Lookup) Close() error { return l.links.close() }

// String names the archive.
func (l *Lookup) String() string { return "target " + l.target.Name }

// Has says whether the archive has a segment, or another file of WAL, in any form. An error
// says that this is not known; it is a *RefusedError when the archive is not the cluster's.
func (l *Lookup) Has(ctx context.Context, name string) (bool, error) {
	f, err := postgres.ClassifyWALName(name)
	if err != nil {
		return false, err
	}
	l.mu.Lock()
	sure, has := l.sure, l.seen[name]
	l.mu.Unlock()
	if has {
		return true, nil
	}
	err = l.links.use(ctx, l.target, func(s *site) error {
		if !sure {
			id, err := s.readIdentity(ctx)
			if err == nil && l.system != 0 {
				err = id.check(s, l.system)
			}
			if err != nil {
				return err
			}
		}
		files, err := s.d.List(ctx, folder(s.dir(), f))
		if err != nil && !errors.Is(err, storage.ErrNotExist) {
			return err
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		l.sure = true
		for _, i := range files {
			if plain, _ := codec.Split(i.Name); !i.Dir {
				l.seen[plain] = true
			}
		}
		has = l.seen[name]
		return nil
	})
	return has, err
}
