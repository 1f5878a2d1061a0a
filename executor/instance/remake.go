package instance

import (
	"context"
	"time"
)

// remaking says how a data directory is made anew from a copy.
type remaking struct {
	moveAside bool
	now       time.Time // names what is moved aside
	notice    func(message string)
	// fill puts the copy into a directory, under the lock; inPlace says that this one lies in
	// the data directory. finish makes of the copy what it is to be.
	fill   func(ctx context.Context, target string, inPlace bool) error
	finish func(ctx context.Context, target string) error
}

// remake puts a copy into the place of the data directory. All is made beside it first, so
// that a failure leaves the data directory as it was.
func (i *Instance) remake(ctx context.Context, m remaking) error {
	empty, inPlace, aside, err := i.place(ctx, m.moveAside, m.now)
	if err != nil {
		return err
	}
	target := i.building(inPlace)
	if err := i.makeParent(ctx); err != nil {
		return err
	}
	err = i.locked(ctx, func(ctx context.Context) error {
		if err := i.removeLeftover(ctx, inPlace); err != nil {
			return err
		}
		return m.fill(ctx, target, inPlace)
	})
	if err == nil {
		err = m.finish(ctx, target)
	}
	if err != nil {
		return i.failedCopy(ctx, target, inPlace, err)
	}
	if err := i.swap(ctx, empty, inPlace, aside); err != nil {
		return err
	}
	if aside != "" {
		m.notice("the old data directory is kept at " + aside)
	}
	return nil
}
