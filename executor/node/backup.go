package node

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"time"

	"pg_manage/executor/basebackup/take"
	"pg_manage/executor/event"
	"pg_manage/executor/repo/catalog"
	"pg_manage/schema/postgres"
)

// backup takes one.
func backup(ctx context.Context, w Work, req *BackupRequest) (*BackupResult, error) {
	a, err := enter(req.Place.Cluster, req.Node, req.Server.DataDir, req.StateDir)
	if err != nil {
		return nil, err
	}
	system := uint64(0)
	if req.SystemIdentifier != "" {
		if system, err = strconv.ParseUint(req.SystemIdentifier, 10, 64); err != nil {
			return nil, misuse("system_identifier %q is no number", req.SystemIdentifier)
		}
	}
	if err := os.MkdirAll(req.StateDir, 0o700); err != nil {
		return nil, err
	}
	c, err := a.catalog(ctx, req.Place)
	if err != nil {
		return nil, err
	}
	defer c.close()
	entries, err := c.List(ctx)
	if err == nil && len(entries) == 0 {
		err = refuseVanished(req.Place, req.SystemIdentifier, req.StateDir)
	}
	if err != nil {
		return nil, fmt.Errorf("no backup was taken: %w", err)
	}
	lookups, done := a.lookups(req.Place.Cluster, system, req.Archives)
	defer done()
	s := req.Server
	o := take.Options{
		Catalog: c.Catalog, Events: w.Events, Cluster: req.Place.Cluster, Node: req.Node,
		Server:           take.Server{DataDir: s.DataDir, BinDir: s.BinDir, SocketDir: s.SocketDir, Port: s.Port, User: s.User, Major: s.Major},
		SystemIdentifier: req.SystemIdentifier, Incremental: req.Incremental || req.Parent != "", Parent: req.Parent, Cold: req.Cold, Workers: req.Workers, Rate: req.Rate,
		SpreadCheckpoint: req.SpreadCheckpoint, ArchiveTimeout: req.ArchiveTimeout, StateDir: req.StateDir, ToolVersion: w.ToolVersion,
		// The operator's side hears of it, and goes to the primary.
		SwitchWAL: func(_ context.Context, upTo postgres.LSN) error {
			w.Events.Emit(event.Event{Type: event.NeedWALSwitch, Cluster: req.Place.Cluster, Node: req.Node, Message: upTo.String()})
			return nil
		},
	}
	if len(lookups) > 0 {
		var all []take.Archive
		for _, l := range lookups {
			all = append(all, l)
		}
		o.Archive = take.AnyOf(all...)
	}
	info, err := take.Take(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("no backup was taken: %w", err)
	}
	if err := noteUse(req.Place, info.SystemIdentifier, req.StateDir); err != nil {
		w.Events.Emit(event.Event{Time: time.Now(), Type: event.Notice, Message: fmt.Sprintf("it was not noted on the node that the target is in use: %v", err)})
	}
	return &BackupResult{Version: Version, Backup: catalog.Entry{Info: *info}.Fact()}, nil
}
