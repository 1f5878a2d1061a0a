package wal

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"

	"pg_manage/executor/repo"
	"pg_manage/executor/repo/storage"
)

// hung is a driver whose target answers no more when it is to list what it has.
type hung struct{ storage.Driver }

func (h *hung) List(ctx context.Context, _ string) ([]storage.Info, error) {
	<-ctx.Done()
	return nil, context.Cause(ctx)
}

// TestAnAuditOfATargetThatHangsEnds: the connection stands, and what answers there does not.
func TestAnAuditOfATargetThatHangsEnds(t *testing.T) {
	in := newInstance(t)
	in.init()
	i := in.load(func(ctx context.Context, tg repo.Target) (storage.Driver, error) {
		d, err := repo.Open(ctx, tg)
		return &hung{d}, err
	})
	synctest.Test(t, func(t *testing.T) {
		r := i.audit(t.Context(), i.Config.Targets[0], true, func(int, int, int64) {})
		if !strings.Contains(r.Error, "gave nothing") {
			t.Errorf("%+v", r)
		}
	})
}
