package executor

import (
	"context"

	"pg_manage/executor/event"
	"pg_manage/executor/instance"
	"pg_manage/executor/node"
	"pg_manage/planner"
)

// build makes a standby's data directory from a running server.
func (w *work) build(ctx context.Context, d planner.BuildDetail) error {
	s := w.step
	source := w.node(ctx, s.Cluster, d.Source)
	if d.SystemIdentifier == "" { // made by this very plan, so known only now
		d.SystemIdentifier = source.Data.SystemIdentifier
	}
	b := instance.Build{
		BuildDetail: d, Node: s.Node, Size: w.sourceSize(ctx, d, source), Now: w.env.Now(),
		Progress: func(done, total int64) {
			w.emitStep(s, event.Event{Type: event.Progress, Message: s.Summary, Done: done, Total: total})
		},
		Notice: func(m string) { w.notice(s, "%s", m) },
	}
	if d.Backup != nil { // which knows its own size
		b.Size, b.Copy, b.Sink = 0, w.copyOf(*d.Backup, node.RestoreRequest{SystemIdentifier: d.SystemIdentifier}), &relay{w: w}
	}
	return w.in.BuildStandby(ctx, b)
}

// sourceSize is how much there is to copy, in bytes; 0 when that cannot be found out.
func (w *work) sourceSize(ctx context.Context, d planner.BuildDetail, source *planner.NodeFacts) int64 {
	if d.Backup != nil {
		return 0
	}
	h, err := w.env.Host(ctx, w.step.Cluster, d.Source)
	if err != nil {
		return 0
	}
	in := instance.New(h, planner.Instance{
		Owner: source.Host.Owner, Port: d.SourcePort, BinDir: source.Paths.BinDir, SocketDir: source.Paths.SocketDir,
	})
	size, err := in.DatabaseSize(ctx)
	if err != nil {
		w.notice(w.step, "the size of %s is not known, so it was not checked that the copy fits: %v", d.Source, err)
	}
	return size
}
