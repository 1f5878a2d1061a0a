package wal

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"pg_manage/executor/repo/storage"
	"pg_manage/schema/postgres"
)

// Identity is archive.json: whose WAL an archive holds.
type Identity struct {
	Version          int       `json:"version"`
	Cluster          string    `json:"cluster"`
	SystemIdentifier string    `json:"system_identifier"` // decimal, as pg_controldata prints it
	SegmentSize      int64     `json:"segment_size"`      // bytes
	Created          time.Time `json:"created"`
}

const identityVersion = 1

// errNotInitialised is an archive that nobody has set up.
var errNotInitialised = errors.New("there is no archive: if there was one, mount its disk or put back its archive.json, else run pg_manage apply, which creates it")

// IsNotInitialised says whether an error is that of an archive which nobody has set up.
func IsNotInitialised(err error) bool { return errors.Is(err, errNotInitialised) }

// readIdentity reads archive.json. errNotInitialised means that it surely isn't there.
func (s *site) readIdentity(ctx context.Context) (*Identity, error) {
	name := s.identityName()
	r, err := s.d.Open(ctx, name)
	if errors.Is(err, storage.ErrNotExist) {
		return nil, fmt.Errorf("%s: no %s: %w", s.d, name, errNotInitialised)
	}
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(io.LimitReader(r, 64<<10))
	if err := errors.Join(err, r.Close()); err != nil {
		return nil, err
	}
	var id Identity
	if err := json.Unmarshal(text, &id); err != nil {
		return nil, refuse("%s: %s is damaged: %w", s.d, name, err)
	}
	if _, err := strconv.ParseUint(id.SystemIdentifier, 10, 64); err != nil || id.Version != identityVersion || !postgres.ValidSegmentSize(id.SegmentSize) {
		return nil, refuse("%s: %s is damaged or of another version of pg_manage", s.d, name)
	}
	return &id, nil
}

// system is the identifier as a number; readIdentity has made sure that it is one.
func (id *Identity) system() uint64 {
	n, _ := strconv.ParseUint(id.SystemIdentifier, 10, 64)
	return n
}

// check makes sure that the archive is of the cluster with this system identifier.
func (id *Identity) check(s *site, system uint64) error {
	if own := strconv.FormatUint(system, 10); id.SystemIdentifier != own {
		return refuse("%s/%s is the archive of the cluster with system identifier %s, and this instance has %s: give this cluster an archive of its own", s.d, s.dir(), id.SystemIdentifier, own)
	}
	return nil
}

// Init sets up the archive of a new cluster at one target. The place must be empty; an
// archive of the same cluster that is there already is kept as it is.
func (in *Instance) Init(ctx context.Context, target string, system uint64, segmentSize int64, now time.Time) error {
	if err := in.Config.writes(); err != nil {
		return err
	}
	if !postgres.ValidSegmentSize(segmentSize) {
		return refuse("%d is no WAL segment size", segmentSize)
	}
	t, err := in.Config.target(target)
	if err != nil {
		return err
	}
	return in.links.use(ctx, t, func(s *site) error { return s.init(ctx, system, segmentSize, now) })
}

func (s *site) init(ctx context.Context, system uint64, segmentSize int64, now time.Time) error {
	id, err := s.readIdentity(ctx)
	if err == nil {
		return s.keep(ctx, id, system, segmentSize)
	}
	if !errors.Is(err, errNotInitialised) {
		return err
	}
	files, err := s.d.List(ctx, s.dir())
	if err != nil && !errors.Is(err, storage.ErrNotExist) {
		return err
	}
	if len(files) > 0 {
		return refuse("%s/%s is not empty (%s) and has no archive.json: a new cluster's archive must start empty; name another archive_dir or cluster, or move those files away", s.d, s.dir(), files[0].Name)
	}
	text, err := json.MarshalIndent(Identity{
		Version: identityVersion, Cluster: s.c.Cluster, SystemIdentifier: strconv.FormatUint(system, 10),
		SegmentSize: segmentSize, Created: now.UTC().Truncate(time.Second),
	}, "", "  ")
	if err != nil {
		return err
	}
	err = s.d.Put(ctx, s.identityName(), bytes.NewReader(append(text, '\n')))
	if errors.Is(err, storage.ErrExists) { // somebody else was faster
		id, err := s.readIdentity(ctx)
		if err != nil {
			return err
		}
		return s.keep(ctx, id, system, segmentSize)
	}
	return err
}

func (s *site) keep(ctx context.Context, id *Identity, system uint64, segmentSize int64) error {
	if err := id.check(s, system); err != nil {
		return err
	}
	if id.SegmentSize != segmentSize {
		return refuse("%s/%s holds segments of %d bytes, and this instance writes segments of %d", s.d, s.dir(), id.SegmentSize, segmentSize)
	}
	return s.d.Sync(ctx, s.identityName())
}
