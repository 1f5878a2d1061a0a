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
var errNotInitialised = errors.New("the archive has not been initialised: run pg_manage apply")

// readIdentity reads archive.json. errNotInitialised means that it surely isn't there.
func readIdentity(ctx context.Context, d storage.Driver, c *Config) (*Identity, error) {
	r, err := d.Open(ctx, c.identityName())
	if errors.Is(err, storage.ErrNotExist) {
		return nil, fmt.Errorf("%s: no %s: %w", d, c.identityName(), errNotInitialised)
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
		return nil, refuse("%s: %s is damaged: %w", d, c.identityName(), err)
	}
	if _, err := strconv.ParseUint(id.SystemIdentifier, 10, 64); err != nil || id.Version != identityVersion || !postgres.ValidSegmentSize(id.SegmentSize) {
		return nil, refuse("%s: %s is damaged or of another version of pg_manage", d, c.identityName())
	}
	return &id, nil
}

// check makes sure that the archive is of the cluster with this system identifier.
func (id *Identity) check(d storage.Driver, c *Config, system uint64) error {
	if own := strconv.FormatUint(system, 10); id.SystemIdentifier != own {
		return refuse("%s/%s is the archive of the cluster with system identifier %s, and this instance has %s: give this cluster an archive of its own", d, c.dir(), id.SystemIdentifier, own)
	}
	return nil
}

// Init sets up the archive of a new cluster. The place must be empty; an archive of
// the same cluster that is there already is kept as it is.
func Init(ctx context.Context, d storage.Driver, c *Config, system uint64, segmentSize int64, now time.Time) error {
	if !postgres.ValidSegmentSize(segmentSize) {
		return refuse("%d is no WAL segment size", segmentSize)
	}
	id, err := readIdentity(ctx, d, c)
	if err == nil {
		return c.keep(ctx, d, id, system, segmentSize)
	}
	if !errors.Is(err, errNotInitialised) {
		return err
	}
	files, err := d.List(ctx, c.dir())
	if err != nil && !errors.Is(err, storage.ErrNotExist) {
		return err
	}
	if len(files) > 0 {
		return refuse("%s/%s is not empty (%s) and has no archive.json: a new cluster's archive must start empty; name another archive_dir or cluster, or move those files away", d, c.dir(), files[0].Name)
	}
	text, err := json.MarshalIndent(Identity{
		Version: identityVersion, Cluster: c.Cluster, SystemIdentifier: strconv.FormatUint(system, 10),
		SegmentSize: segmentSize, Created: now.UTC().Truncate(time.Second),
	}, "", "  ")
	if err != nil {
		return err
	}
	err = d.Put(ctx, c.identityName(), bytes.NewReader(append(text, '\n')))
	if errors.Is(err, storage.ErrExists) { // somebody else was faster
		id, err := readIdentity(ctx, d, c)
		if err != nil {
			return err
		}
		return c.keep(ctx, d, id, system, segmentSize)
	}
	return err
}

func (c *Config) keep(ctx context.Context, d storage.Driver, id *Identity, system uint64, segmentSize int64) error {
	if err := id.check(d, c, system); err != nil {
		return err
	}
	if id.SegmentSize != segmentSize {
		return refuse("%s/%s holds segments of %d bytes, and this instance writes segments of %d", d, c.dir(), id.SegmentSize, segmentSize)
	}
	return d.Sync(ctx, c.identityName())
}

// States of an archive, as Status tells them.
const (
	StateAbsent      = "absent"      // nothing there yet
	StateOurs        = "ours"        // set up; whose it is says SystemIdentifier
	StateForeign     = "foreign"     // there are files, and no archive.json that can be read
	StateUnreachable = "unreachable" // the target could not be asked
)

// StatusReport is what `status` prints.
type StatusReport struct {
	State            string `json:"state"`
	SystemIdentifier string `json:"system_identifier,omitempty"`
	SegmentSize      int64  `json:"segment_size,omitempty"`
	Error            string `json:"error,omitempty"`
}

// Status looks at the archive and changes nothing.
func Status(ctx context.Context, d storage.Driver, c *Config) StatusReport {
	id, err := readIdentity(ctx, d, c)
	var refused *RefusedError
	switch {
	case err == nil:
		return StatusReport{State: StateOurs, SystemIdentifier: id.SystemIdentifier, SegmentSize: id.SegmentSize}
	case errors.As(err, &refused):
		return StatusReport{State: StateForeign, Error: err.Error()}
	case !errors.Is(err, errNotInitialised):
		return StatusReport{State: StateUnreachable, Error: err.Error()}
	}
	files, err := d.List(ctx, c.dir())
	switch {
	case errors.Is(err, storage.ErrNotExist), err == nil && len(files) == 0:
		return StatusReport{State: StateAbsent}
	case err != nil:
		return StatusReport{State: StateUnreachable, Error: err.Error()}
	}
	return StatusReport{State: StateForeign, Error: fmt.Sprintf("%s/%s holds files (%s) and no archive.json", d, c.dir(), files[0].Name)}
}
