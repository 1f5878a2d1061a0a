package executor

import (
	"context"
	"errors"
	"path"
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
	note, err := w.archiveNote(ctx, d.Target)
	if err != nil {
		return err
	}
	if _, err = w.hook(ctx, "", args...); err == nil {
		return w.noteArchive(ctx, note)
	}
	if d.Required || !targetFailed(err) {
		return err
	}
	w.notice(w.step, "the archive at target %s is not created yet, and nothing waits for it, since it is not required: %v", d.Target, err)
	return nil
}

// archiveNote is the note that the archive at a target is in use; nil when the node does not
// know the target. When the node has one already, and nothing is there, that is an error.
func (w *work) archiveNote(ctx context.Context, target string) (*planner.UsedPlace, error) {
	f := w.observe(ctx, w.step.Cluster, w.step.Node)
	c, _ := planner.DecodeHookConfig(f.Files.HookConfig)
	t := c.Target(target)
	if t == nil || f.Data.SystemIdentifier == "" {
		return nil, nil
	}
	u := planner.BackupPlace{Target: *t, Cluster: c.Cluster}.UsedFor(planner.UsedForArchive, f.Data.SystemIdentifier, w.env.Now())
	if old := f.Note(u); old != nil && f.Archive(target).State == planner.ArchiveAbsent {
		return nil, errors.New(old.Vanished(path.Join(w.in.State, u.File())))
	}
	return &u, nil
}

// noteArchive keeps on the node that the archive is there, since without it an empty mount
// point looks like a new target.
func (w *work) noteArchive(ctx context.Context, u *planner.UsedPlace) error {
	if u == nil {
		return nil
	}
	return remote.WriteFile(ctx, w.in.Host, path.Join(w.in.State, u.File()), u.Encode(), remote.FileOptions{Mode: 0o600, As: w.in.Owner, MkDir: true})
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
