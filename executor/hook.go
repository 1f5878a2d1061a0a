package executor

import (
	"context"
	"errors"
	"path"

	"pg_manage/executor/remote"
	"pg_manage/planner"
)

// hookConfig writes hook.json, after the node has shown that it can use the required
// targets with it: a way that does not work never takes the place of one that does. The
// others may be out of reach just now.
func (w *work) hookConfig(ctx context.Context, d planner.HookConfigDetail) error {
	in := w.in
	file := path.Join(in.State, "hook.json")
	temp := file + ".new"
	options := remote.FileOptions{Mode: 0o600, As: in.Owner, MkDir: true}
	if err := remote.WriteFile(ctx, in.Host, temp, []byte(d.Config.Encode()), options); err != nil {
		return err
	}
	for _, t := range d.Config.Targets {
		_, err := w.hook(ctx, temp, "check", "--target", t.Name)
		switch {
		case err == nil:
		case t.Required || !targetFailed(err):
			return errors.Join(err, remote.Remove(context.WithoutCancel(ctx), in.Host, temp, in.Owner))
		default:
			w.notice(w.step, "target %s cannot be used now, and WAL for it waits on the node, since it is not required: %v", t.Name, err)
		}
	}
	_, err := in.Host.Run(ctx, remote.Command{Args: []string{"mv", "-fT", "--", temp, file}, As: in.Owner})
	if err == nil {
		_, err = in.Host.Run(ctx, remote.Command{Args: []string{"sync", "--", in.State}, As: in.Owner})
	}
	return err
}
