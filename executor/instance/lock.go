package instance

import (
	"context"
	"errors"
	"fmt"
	"path"

	"pg_manage/executor/remote"
)

// statusLocked is how flock says that another one holds the lock.
const statusLocked = "75"

func (i *Instance) buildLock() string { return path.Join(i.State, "build.lock") }

// guarded is a command that makes a data directory: it ends with our connection, and
// it holds a lock while it lives, so that no two of them meet in one place.
func (i *Instance) guarded(args ...string) remote.Command {
	return remote.Command{
		Args:  append([]string{"env", "LC_ALL=C", "flock", "--no-fork", "-w", "30", "-E", statusLocked, i.buildLock()}, args...),
		As:    i.Owner,
		Leash: true,
	}
}

// locked waits until no guarded command of an earlier run is alive, and then calls f.
func (i *Instance) locked(ctx context.Context, f func(context.Context) error) error {
	const text = `mkdir -p -- "$1" && exec flock -w 30 -E ` + statusLocked + ` "$1/build.lock" true`
	_, err := i.script(ctx, "wait for an earlier build to end", text, i.State)
	if err == nil {
		err = f(ctx)
	}
	var failed *remote.CommandError
	if errors.As(err, &failed) && fmt.Sprint(failed.Status) == statusLocked {
		return fmt.Errorf("%s: another build of this data directory is still running (it holds %s): wait for it, or end it: %w", i.Host.Name(), i.buildLock(), err)
	}
	return err
}
