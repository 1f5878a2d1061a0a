package executor

import (
	"context"
	"errors"
	"strconv"

	"pg_manage/executor/remote"
	"pg_manage/executor/wal"
	"pg_manage/planner"
)

// hook runs our program on the node with a configuration of the archive. Its own
// message is the error.
func (w *work) hook(ctx context.Context, config string, args ...string) (remote.Result, error) {
	in := w.in
	return CallHook(ctx, in.Host, planner.Paths{Tool: in.Tool, State: in.State}, in.Owner, HookCall{Config: config, Args: args})
}

// createArchive makes the archive of the cluster at a target, with the identity that
// the node's control file has.
func (w *work) createArchive(ctx context.Context, d planner.CreateArchiveDetail) error {
	args := []string{"init", "--target", d.Target}
	if f := w.node(ctx, w.step.Cluster, w.step.Node); f.Data.Restored != "" { // it has no WAL yet that would tell
		args = append(args, "--segment-size", strconv.FormatInt(f.Data.SegmentSize, 10))
	}
	_, err := w.hook(ctx, "", args...)
	if err == nil || d.Required || !targetFailed(err) {
		return err
	}
	w.notice(w.step, "the archive at target %s is not created yet, and nothing waits for it, since it is not required: %v", d.Target, err)
	return nil
}

// targetFailed says that the hook ran, and that the target was what failed: as against
// something that a person has to mend, which it refuses, and a run of which nobody knows.
func targetFailed(err error) bool {
	var failed *remote.CommandError
	return errors.As(err, &failed) && failed.Status == wal.ExitFailed
}

// checkArchive sends one WAL segment through the archive.
func (w *work) checkArchive(ctx context.Context) error {
	segment, err := w.in.CheckArchive(ctx, w.env.Wait.Poll, w.env.Wait.Archive)
	if err != nil {
		return err
	}
	w.notice(w.step, "WAL segment %s is in the archive", segment)
	return nil
}
