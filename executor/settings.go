package executor

import (
	"context"

	"pg_manage/planner"
)

// settings writes pg_manage.conf; the server takes it up at a later reload or restart.
func (w *work) settings(ctx context.Context, d planner.SettingsDetail) (unchanged bool, err error) {
	changed, err := w.in.WriteSettings(ctx, d, w.running(ctx))
	return !changed, err
}
