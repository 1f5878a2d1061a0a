package instance

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
	"time"

	"pg_manage/executor/event"
	"pg_manage/executor/remote"
	"pg_manage/planner"
)

// Restore is what making a data directory from a backup takes.
type Restore struct {
	SystemIdentifier string // that the copy must have; "" is any
	MoveAside        bool
	Delta            bool // Copy goes over what lies in the data directory, and keeps nothing of it
	Apart            bool // what archives the source's WAL must not archive the copy's
	Settings         planner.SettingsDetail
	Mark             string    // content of planner.RestoredFile, without which PostgreSQL does not recover
	Now              time.Time // names what is moved aside
	// Copy gives the program that puts the backup's files into a directory, and Recover the
	// one that writes into it where its recovery ends.
	Copy, Recover func(dir string) (args []string, err error)
	Sink          event.Sink // of the programs' events
	Notice        func(message string)
}

// Restore makes a data directory that recovers, as far as it is told, when it is started.
// All is made beside its place first, so that a failure leaves the data directory as it was;
// a delta works in its place, and when it fails the next one goes on from there.
func (i *Instance) Restore(ctx context.Context, r Restore) error {
	if err := i.refuseRunning(ctx); err != nil {
		return err
	}
	if err := i.refuseForeignConfig(ctx); err != nil {
		return err
	}
	if r.Delta {
		return i.restoreOver(ctx, r)
	}
	return i.remake(ctx, remaking{
		moveAside: r.MoveAside, now: r.Now, notice: r.Notice,
		fill:   func(ctx context.Context, target string, _ bool) error { return i.copy(ctx, target, r.Copy, r.Sink) },
		finish: func(ctx context.Context, target string) error { return i.restored(ctx, r, target) },
	})
}

// restoreOver restores over the data directory. Copy itself refuses what is no data directory
// of that cluster, and sees to it that nothing can be started on one that is not whole. What
// is there is never cleared away.
func (i *Instance) restoreOver(ctx context.Context, r Restore) error {
	data := strings.TrimRight(i.DataDir, "/")
	if err := i.locked(ctx, func(ctx context.Context) error { return i.copy(ctx, data, r.Copy, r.Sink) }); err != nil {
		return err
	}
	return i.restored(ctx, r, data)
}

// restored verifies a restored directory, and gives it the configuration of its node and what
// steers its recovery.
func (i *Instance) restored(ctx context.Context, r Restore, dir string) error {
	if err := i.verifyCopy(ctx, r.SystemIdentifier, dir); err != nil {
		return err
	}
	// Until Recover has written those of the recovery, others keep PostgreSQL from starting here.
	if err := i.copiedFiles(ctx, r.Settings, r.Notice, dir, nil); err != nil {
		return err
	}
	if r.Apart {
		if err := i.archiveNothing(ctx, dir, r.Notice); err != nil {
			return err
		}
	}
	if err := i.copy(ctx, dir, r.Recover, r.Sink); err != nil {
		return fmt.Errorf("write the settings of the recovery: %w", err)
	}
	// Last of all: without it the recovery does not begin.
	return remote.WriteFile(ctx, i.Host, path.Join(dir, planner.RestoredFile), []byte(r.Mark+"\n"), remote.FileOptions{Mode: 0o600, As: i.Owner})
}

// archiveNothing lets the server of a copied directory archive nothing, whatever the files
// that came with it say: that leads into the archive of its source.
func (i *Instance) archiveNothing(ctx context.Context, dir string, notice func(string)) error {
	file := path.Join(dir, "postgresql.auto.conf")
	text, present, err := i.read(ctx, file)
	if err != nil {
		return err
	}
	text = withoutSettings(text, []string{"archive_mode"})
	if text != "" && !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	text += "archive_mode = 'off'\n"
	if present {
		err = i.replace(ctx, file, text)
	} else {
		err = remote.WriteFile(ctx, i.Host, file, []byte(text), remote.FileOptions{Mode: 0o600, As: i.Owner})
	}
	if err != nil {
		return fmt.Errorf("turn archiving off, lest the copy archive where its source does: %w", err)
	}
	notice("the copy archives nothing: no archive is declared for it, and what came with it may lead into that of its source (archive_mode is off in postgresql.auto.conf)")
	return nil
}

// copy runs a program of ours on a directory that is being made.
func (i *Instance) copy(ctx context.Context, dir string, program func(string) ([]string, error), sink event.Sink) error {
	args, err := program(dir)
	if err != nil {
		return err
	}
	cmd := i.guarded(args...)
	var stderr io.Writer
	if sink != nil {
		stderr = &event.LineReader{Sink: sink}
	}
	cmd.Stderr = stderr
	_, err = i.Host.Run(ctx, cmd)
	var failed *remote.CommandError
	if errors.As(err, &failed) {
		failed.Stderr = withoutEvents(failed.Stderr)
	}
	return err
}

// withoutEvents keeps of what a program of ours said what is for a person.
func withoutEvents(s string) string {
	var kept []string
	for line := range strings.Lines(s) {
		if _, ok := event.Parse(line); !ok {
			kept = append(kept, line)
		}
	}
	return strings.TrimSpace(strings.Join(kept, ""))
}
