package catalog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"pg_manage/executor/repo/storage"
)

// NeededError is a backup that stays, since something needs it.
type NeededError struct{ Why string }

func (e *NeededError) Error() string { return "it stays: " + e.Why }

// Remove removes a backup: backup.json first, so that a crash leaves an unfinished
// directory, for Sweep or another Remove. One that another needs, or that is pinned, gives a *NeededError.
func (c *Catalog) Remove(ctx context.Context, label string) error {
	return c.fail("removing", label, c.remove(ctx, label))
}

func (c *Catalog) remove(ctx context.Context, label string) error {
	if err := checkLabel(label); err != nil {
		return err
	}
	e, err := c.removable(ctx, label)
	switch {
	case err != nil:
		return err
	case e == nil:
		return c.removeRest(ctx, label)
	}
	text, err := c.readSmall(ctx, label, infoName)
	if err != nil && !e.unread {
		return err
	}
	// A complete backup needs no claim, while what is left of this one would seem to be
	// written by somebody if it had one.
	if err := c.removeFile(ctx, label, claimName); err != nil {
		return err
	}
	if err := c.d.Remove(ctx, c.path(label, infoName)); err != nil {
		return err
	}
	// A backup that was begun on it meanwhile has seen it, or finds now that it is gone.
	if _, err := c.removable(ctx, label); err != nil {
		return errors.Join(err, c.putBack(ctx, label, text))
	}
	there, err := c.d.List(ctx, c.path(label, ""))
	if errors.Is(err, storage.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return c.clear(ctx, label, there)
}

// removeRest removes what an earlier Remove has left.
func (c *Catalog) removeRest(ctx context.Context, label string) error {
	f, err := c.folder(ctx, label)
	switch {
	case err != nil:
		return err
	case f.entry != nil || len(f.files) == 0 || f.claimed():
		return fmt.Errorf("there is no %s: %w", infoName, storage.ErrNotExist)
	}
	return c.clear(ctx, label, f.files)
}

// putBack makes a backup again of one that was about to be removed.
func (c *Catalog) putBack(ctx context.Context, label string, text []byte) error {
	if len(text) == 0 {
		return nil // it could not be read
	}
	return c.d.Put(context.WithoutCancel(ctx), c.path(label, infoName), bytes.NewReader(text))
}

// removable makes sure that nothing needs a backup, and gives it; nil when it is none.
func (c *Catalog) removable(ctx context.Context, label string) (own *Entry, err error) {
	folders, err := c.folders(ctx)
	if err != nil {
		return nil, err
	}
	for _, f := range folders {
		switch {
		case f.label != label:
			err = c.needs(ctx, f, label)
		case slices.ContainsFunc(f.files, func(i storage.Info) bool { return i.Name == pinName }):
			err = &NeededError{"it is pinned"}
		default:
			own = f.entry
		}
		if err != nil {
			return nil, err
		}
	}
	return own, nil
}

// needs gives an error when a backup, or one that is being taken, builds on another.
func (c *Catalog) needs(ctx context.Context, f folder, label string) error {
	switch {
	case f.entry != nil && f.entry.Parent == label:
		return &NeededError{f.label + " builds on it: remove that one before"}
	case f.entry != nil && f.entry.unread && f.entry.Kind == Incremental && f.label > label:
		return &NeededError{fmt.Sprintf("%s may build on it, which is not known (%s): remove that one before", f.label, f.entry.Broken)}
	case f.entry != nil || !f.claimed():
		return nil
	}
	k, err := c.readClaim(ctx, f.label)
	var damaged *damagedError
	switch {
	case errors.Is(err, storage.ErrNotExist):
		return nil
	case errors.As(err, &damaged):
		return &NeededError{fmt.Sprintf("%s has been begun and may build on it, which is not known: %v", f.label, err)}
	case err != nil:
		return err
	case k.Parent == label:
		return &NeededError{fmt.Sprintf("%s builds on it and has been begun at %s, and is not complete: wait for it, or for the end of its time", f.label, k.Time.UTC().Format(time.RFC3339))}
	}
	return nil
}

// clear removes the files of a backup, the claim last, and its directory.
func (c *Catalog) clear(ctx context.Context, label string, files []storage.Info) error {
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(readers)
	claimed := false
	for _, f := range files {
		switch {
		case f.Dir:
		case f.Name == claimName:
			claimed = true
		default:
			g.Go(func() error { return c.removeFile(gctx, label, f.Name) })
		}
	}
	if err := g.Wait(); err != nil {
		return err
	}
	if claimed {
		if err := c.removeFile(ctx, label, claimName); err != nil {
			return err
		}
	}
	// What keeps an empty directory (a target without directories, or a file that is still
	// being written) does no harm.
	_ = c.d.Remove(ctx, c.path(label, ""))
	return nil
}

func (c *Catalog) removeFile(ctx context.Context, label, name string) error {
	err := c.d.Remove(ctx, c.path(label, name))
	if errors.Is(err, storage.ErrNotExist) {
		return nil
	}
	return err
}

// SweepAge is how old the newest file of an unfinished directory ought to be before
// Sweep takes it for a dead writer's: longer than any part takes to be stored.
const SweepAge = 3 * 24 * time.Hour

// Sweep removes unfinished directories whose newest file is older than an age, and what
// writers that died have left under temporary names, of that age. The age must be longer
// than the longest time that one part of a running backup takes.
func (c *Catalog) Sweep(ctx context.Context, olderThan time.Duration) error {
	if err := c.sweep(ctx, olderThan); err != nil {
		return fmt.Errorf("%s: sweeping the backups of %s: %w", c.d, c.dir, err)
	}
	return nil
}

func (c *Catalog) sweep(ctx context.Context, olderThan time.Duration) error {
	folders, err := c.folders(ctx)
	if err != nil {
		return err
	}
	for _, f := range folders {
		if f.entry == nil && f.claimed() && !aged(f.files, olderThan) {
			continue // it is being taken: its index is stored from the beginning to the end, however long that takes
		}
		if err := c.d.Sweep(ctx, c.path(f.label, ""), olderThan); err != nil && !errors.Is(err, storage.ErrNotExist) {
			return err
		}
		if f.entry != nil || c.isBegun(f.label) || !aged(f.files, olderThan) {
			continue
		}
		// What was completed since it was looked at is a backup.
		now, err := c.folder(ctx, f.label)
		if err != nil {
			return err
		}
		if now.entry == nil && aged(now.files, olderThan) {
			if err := c.clear(ctx, f.label, now.files); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *Catalog) isBegun(label string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.begun[label] != nil
}

// aged says that all of some files are older than an age.
func aged(files []storage.Info, age time.Duration) bool {
	return len(files) > 0 && !slices.ContainsFunc(files, func(i storage.Info) bool { return time.Since(i.ModTime) <= age })
}
