package locate

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync"

	"pg_manage/executor/repo/storage"
	"pg_manage/executor/wal/audit"
	"pg_manage/schema/postgres"
)

// Segments opens the segments of an archive, in whatever form they are stored.
func Segments(a audit.Archive) func(ctx context.Context, f postgres.WALFile) (io.ReadCloser, error) {
	s := &segments{a: a}
	return s.open
}

type segments struct {
	a      audit.Archive
	mu     sync.Mutex
	dir    string // the one that was listed last: segments are read in order
	stored map[string]string
}

func (s *segments) open(ctx context.Context, f postgres.WALFile) (io.ReadCloser, error) {
	dir := strings.Trim(s.a.Dir+"/"+f.Name[:16], "/")
	name, err := s.find(ctx, dir, f.Name)
	if err != nil {
		return nil, err
	}
	r, err := s.a.Open(ctx, dir+"/"+name)
	if errors.Is(err, storage.ErrNotExist) { // removed meanwhile, or the share went away
		s.mu.Lock()
		s.dir = ""
		s.mu.Unlock()
		if _, err := s.find(ctx, dir, f.Name); err != nil {
			return nil, err
		}
	}
	return r, err
}

// find gives the name under which a file is stored. Only of an archive whose archive.json
// is there a file can be missing.
func (s *segments) find(ctx context.Context, dir, plain string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dir != dir {
		files, err := s.a.Driver.List(ctx, dir)
		if err != nil && !errors.Is(err, storage.ErrNotExist) {
			return "", err
		}
		stored := map[string]string{}
		for _, i := range files {
			if p, _ := s.a.Split(i.Name); !i.Dir {
				stored[p] = i.Name
			}
		}
		s.dir, s.stored = dir, stored
	}
	if name := s.stored[plain]; name != "" {
		return name, nil
	}
	identity := strings.Trim(s.a.Dir+"/archive.json", "/")
	if _, err := s.a.Driver.Stat(ctx, identity); err != nil {
		if errors.Is(err, storage.ErrNotExist) {
			return "", errors.New(s.a.Driver.String() + " has no " + identity + ": the archive was not initialised, or a share is not mounted")
		}
		return "", err
	}
	return "", storage.ErrNotExist
}
