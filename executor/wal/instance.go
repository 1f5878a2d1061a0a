package wal

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"pg_manage/executor/repo"
	"pg_manage/executor/repo/codec"
	"pg_manage/executor/repo/storage"
	"pg_manage/schema/postgres"
)

// Opener connects to a target.
type Opener func(ctx context.Context, t repo.Target) (storage.Driver, error)

// Instance archives and restores the WAL of one PostgreSQL instance. Its methods may
// be called by several goroutines at once.
type Instance struct {
	Config *Config
	links  *links
	forms  map[string]*forms // by target
	away   *outages          // nil where a process serves one file
	queues map[string]*queue // by target; nothing is added to that of a required one, but it may not have been required always
}

// forms are the codecs of a target's files.
type forms struct {
	segment *codec.Codec
	history *codec.Codec // small files that people read: never compressed
}

// of is the codec that a file is written with.
func (f *forms) of(file postgres.WALFile) *codec.Codec {
	if file.Kind == postgres.WALHistory {
		return f.history
	}
	return f.segment
}

// NewInstance prepares the archiving that a configuration describes; no target is
// asked yet. With keep, connections stay open until Close.
func NewInstance(c *Config, open Opener, keep bool) (*Instance, error) {
	in := &Instance{Config: c, forms: map[string]*forms{}, queues: map[string]*queue{}}
	for _, t := range c.Targets {
		f, err := newForms(t)
		if err != nil {
			return nil, err
		}
		in.forms[t.Name] = f
		if in.queues[t.Name], err = c.openQueue(t); err != nil {
			return nil, err
		}
	}
	in.links = newLinks(keep, func(ctx context.Context, t repo.Target) (*site, error) {
		d, err := open(ctx, t)
		if err != nil {
			return nil, err
		}
		return &site{c: c, t: t, d: d, forms: in.forms[t.Name]}, nil
	})
	if keep {
		in.away = newOutages(func(ctx context.Context, t repo.Target) error {
			return in.links.use(ctx, t, func(s *site) error {
				_, err := s.readIdentity(ctx)
				return err
			})
		})
	}
	return in, nil
}

// newForms prepares the codecs of a target.
func newForms(t repo.Target) (*forms, error) {
	segment, err := codec.New(codec.Settings{Compression: t.Compression, Recipients: t.Recipients}, t.AgeIdentityFile)
	if err != nil {
		return nil, refuse("target %q: %w", t.Name, err)
	}
	history, err := codec.New(codec.Settings{Compression: "none", Recipients: t.Recipients}, t.AgeIdentityFile)
	if err != nil {
		return nil, refuse("target %q: %w", t.Name, err)
	}
	return &forms{segment, history}, nil
}

// Close ends the connections.
func (in *Instance) Close() error {
	if in.away != nil {
		in.away.close()
	}
	return in.links.close()
}

// OpenTarget connects to a target with the keys that this instance has. A refused
// login's error has the line that the account there needs; with create, a key is made
// when the user has none.
func (c *Config) OpenTarget(ctx context.Context, t repo.Target, create bool) (storage.Driver, error) {
	login := t
	if t.Scheme == "ssh" && t.IdentityFile == "" {
		if _, err := os.Stat(c.keyFile(t)); err == nil {
			login.IdentityFile = c.keyFile(t)
		}
	}
	d, err := repo.Open(ctx, login)
	if err != nil {
		return nil, c.explainLogin(err, t, create)
	}
	return d, nil
}

// target finds a target by its name.
func (c *Config) target(name string) (repo.Target, error) {
	for _, t := range c.Targets {
		if t.Name == name {
			return t, nil
		}
	}
	return repo.Target{}, fmt.Errorf("%s has no target %q", c.file, name)
}

// beside is a path in the directory of the configuration.
func (c *Config) beside(parts ...string) string {
	return filepath.Join(append([]string{filepath.Dir(c.file)}, parts...)...)
}

// clear says that an error leaves the connection it came through in order: the target
// has answered.
func clear(err error) bool {
	var refused *RefusedError
	return err == nil || errors.Is(err, storage.ErrNotExist) || errors.Is(err, storage.ErrExists) ||
		errors.Is(err, ErrAbsent) || errors.Is(err, errNotInitialised) || errors.As(err, &refused)
}
