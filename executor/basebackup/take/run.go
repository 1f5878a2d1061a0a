package take

import (
	"context"
	"fmt"
	"strconv"

	"pg_manage/executor/basebackup/pack"
	"pg_manage/executor/repo/catalog"
	"pg_manage/schema/postgres"
)

// run is one backup under way.
type run struct {
	o      *Options
	facts  *facts
	info   *catalog.Info
	parent *parent      // nil of a full backup
	copy   *pack.Packer // nil before it begins
}

// begin chooses what the backup builds upon, and names it.
func (o *Options) begin(ctx context.Context, f *facts, tli postgres.Timeline) (*run, error) {
	entries, err := o.Catalog.List(ctx)
	if err != nil {
		return nil, err
	}
	r := &run{o: o, facts: f}
	if o.Incremental || o.Parent != "" {
		if r.parent, err = o.findParent(ctx, entries, f, tli); err != nil {
			return nil, err
		}
	}
	r.info = &catalog.Info{
		Version: catalog.Version, Kind: catalog.Full, Cluster: o.Cluster, Node: o.Node, FromStandby: f.standby, Cold: o.Cold,
		SystemIdentifier: strconv.FormatUint(f.control.SystemIdentifier, 10), PostgreSQL: f.version, Timeline: tli,
		SegmentSize: f.control.SegmentSize, BlockSize: int(f.control.BlockSize), Checksums: f.control.ChecksumVersion != 0,
		WAL: catalog.WALArchived, ToolVersion: o.ToolVersion,
	}
	if o.Cold || o.Archive == nil {
		r.info.WAL = catalog.WALIncluded
	}
	if r.parent != nil {
		r.info.Kind, r.info.Parent = catalog.Incremental, r.parent.info.Label
	}
	if err := r.name(ctx, entries); err != nil {
		r.close()
		return nil, err
	}
	return r, nil
}

func (r *run) close() {
	if r.parent != nil {
		r.parent.close()
	}
}

// hot copies a running server.
func (r *run) hot(ctx context.Context, x *session, was recovery) (*catalog.Info, error) {
	slot := ""
	if r.o.Archive == nil {
		var err error
		if slot, err = x.slot(ctx); err != nil {
			return nil, err
		}
	}
	if r.o.SpreadCheckpoint {
		r.o.notice("waiting for a spread checkpoint, which may take as long as checkpoint_timeout says")
	}
	start, err := x.start(ctx, "pg_manage "+r.info.Label, !r.o.SpreadCheckpoint)
	if err != nil {
		return nil, err
	}
	// Once more: a primary's checkpoint tells its timeline for sure only now.
	if was, err = x.recovery(ctx); err != nil {
		return nil, err
	}
	r.info.StartLSN, r.info.Timeline = start, was.timeline
	if err := r.tablespaces(ctx, x); err != nil {
		return nil, err
	}
	changed, err := r.summaries(ctx, x)
	if err != nil {
		return nil, err
	}
	if err := r.copyFiles(ctx, x, was, changed); err != nil {
		return nil, err
	}
	stop, err := r.stop(ctx, x, was)
	if err != nil {
		return nil, err
	}
	if err := r.finishHot(ctx, x, slot, stop); err != nil {
		return nil, err
	}
	if r.o.Archive != nil {
		if err := r.awaitWAL(ctx, x, was); err != nil {
			return nil, err
		}
	}
	return r.commit(ctx)
}

// awaitWAL waits until the archive has what recovery to the end of the backup reads.
func (r *run) awaitWAL(ctx context.Context, x *session, was recovery) error {
	names, err := neededWAL(r.info.Timeline, r.info.StartLSN, r.info.StopLSN, r.info.SegmentSize)
	if err != nil {
		return err
	}
	_, history, err := r.o.timelineHistory(r.info.Timeline)
	if err != nil {
		return err
	}
	if history != "" {
		names = append([]string{history}, names...)
	}
	return r.o.awaitWAL(ctx, x, was, names, r.info.StopLSN)
}

// copyFiles copies the data directory while backup mode is seen to last.
func (r *run) copyFiles(ctx context.Context, x *session, was recovery, changed pack.Summary) error {
	if err := r.newCopy(ctx, changed); err != nil {
		return err
	}
	ctx, end := x.watch(ctx, was)
	defer end()
	err := r.copy.Files(ctx)
	if cause := context.Cause(ctx); err != nil && cause != nil {
		return cause // rather than what became of the copy then
	}
	return err
}

// stop ends backup mode and makes sure that what was copied is one server's, of one timeline.
func (r *run) stop(ctx context.Context, x *session, was recovery) (*stopped, error) {
	if err := x.unchanged(ctx, was); err != nil {
		return nil, err
	}
	s, err := x.stop(ctx)
	if err != nil {
		return nil, err
	}
	r.info.StopLSN, r.info.StopTime = s.lsn, r.o.Now().UTC()
	switch {
	case s.label.StartLSN != r.info.StartLSN:
		return nil, fmt.Errorf("backup_label begins at %s, and the backup began at %s", s.label.StartLSN, r.info.StartLSN)
	case s.label.Timeline != r.info.Timeline && was.standby:
		return nil, fmt.Errorf("the standby went over to timeline %d and has made no restartpoint there since: take the backup when the next checkpoint is through", r.info.Timeline)
	case s.label.Timeline != r.info.Timeline:
		return nil, fmt.Errorf("backup_label is of timeline %d, and the server is on %d", s.label.Timeline, r.info.Timeline)
	case s.label.FromStandby != r.info.FromStandby:
		return nil, errPromoted
	}
	return s, nil
}

// finishHot stores what belongs behind the files.
func (r *run) finishHot(ctx context.Context, x *session, slot string, s *stopped) error {
	more, _, err := r.o.timelineHistory(r.info.Timeline)
	if err != nil {
		return err
	}
	more = append(more, pack.File{Path: "backup_label", Data: []byte(s.labelFile)})
	if s.tablespaceMap != "" {
		more = append(more, pack.File{Path: "tablespace_map", Data: []byte(s.tablespaceMap)})
	}
	if slot != "" {
		names, err := neededWAL(r.info.Timeline, r.info.StartLSN, r.info.StopLSN, r.info.SegmentSize)
		if err != nil {
			return err
		}
		segments, err := r.o.segments(names, r.info.SegmentSize, r.facts.control.SystemIdentifier)
		if err != nil {
			return err
		}
		more = append(segments, more...)
	}
	if err := r.finish(ctx, more); err != nil {
		return err
	}
	if slot != "" {
		return x.held(ctx, slot, r.info.StartLSN)
	}
	return nil
}

// cold copies a stopped instance.
func (r *run) cold(ctx context.Context, at *still) (*catalog.Info, error) {
	var err error
	if r.info.StartLSN, r.info.StopLSN, err = r.o.coldRange(r.facts.control); err != nil {
		return nil, err
	}
	names, err := r.o.coldSegments(r.facts.control, r.info.StartLSN, r.info.StopLSN)
	if err != nil {
		return nil, err
	}
	segments, err := r.o.segments(names, r.info.SegmentSize, r.facts.control.SystemIdentifier)
	if err != nil {
		return nil, err
	}
	if err := r.coldTablespaces(); err != nil {
		return nil, err
	}
	if err := r.newCopy(ctx, nil); err != nil {
		return nil, err
	}
	if err := r.copy.Files(ctx); err != nil {
		return nil, err
	}
	if err := r.finish(ctx, segments); err != nil {
		return nil, err
	}
	if err := at.check(); err != nil {
		return nil, err
	}
	r.info.StopTime = r.o.Now().UTC()
	return r.commit(ctx)
}

// commit lists the backup.
func (r *run) commit(ctx context.Context) (*catalog.Info, error) {
	if err := ctx.Err(); err != nil {
		return nil, context.Cause(ctx)
	}
	if err := r.o.Catalog.Commit(ctx, r.info); err != nil {
		return nil, fmt.Errorf("list the backup %s: %w", r.info.Label, err)
	}
	return r.info, nil
}
