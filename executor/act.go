package executor

import (
	"context"
	"fmt"

	"pg_manage/executor/instance"
	"pg_manage/planner"
)

// work is what the action of a step has at hand.
type work struct {
	*runner
	step *planner.Step
	in   *instance.Instance
}

// act does what a step says; unchanged says that nothing had to be done.
func (r *runner) act(ctx context.Context, s *planner.Step) (unchanged bool, err error) {
	if s.Detail == nil {
		return false, fmt.Errorf("the step %s says nothing of what to do: it was read from a file and has to be planned anew", s.ID)
	}
	switch s.Kind {
	case planner.KindBuild, planner.KindInit, planner.KindBackup, planner.KindExpire, planner.KindProve, planner.KindRestore, planner.KindRecover:
		// How long they take is up to the data.
	default:
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, actLimit, fmt.Errorf("it took longer than %s", actLimit))
		defer cancel()
	}
	h, err := r.env.Host(ctx, s.Cluster, s.Node)
	if err != nil {
		return false, err
	}
	w := &work{r, s, instance.New(h, s.Instance)}
	switch d := s.Detail.(type) {
	case planner.InstallDetail:
		return false, w.install(ctx, d)
	case planner.HookConfigDetail:
		return false, w.hookConfig(ctx, d)
	case planner.PassfileDetail:
		return false, w.passfile(ctx)
	case planner.InitDetail:
		return false, w.in.Init(ctx, d)
	case planner.BuildDetail:
		return false, w.build(ctx, d)
	case planner.SettingsDetail:
		return w.settings(ctx, d)
	case planner.HBADetail:
		return false, w.in.WriteHBA(ctx, d.Block, w.running(ctx))
	case planner.StartDetail:
		return false, w.start(ctx, d)
	case planner.StopDetail:
		return false, w.in.Stop(ctx)
	case planner.BackupDetail:
		return false, w.backup(ctx, d)
	case planner.ExpireDetail:
		return false, w.expire(ctx, d)
	case planner.ProveDetail:
		return false, w.prove(ctx, d)
	case planner.RestoreDetail:
		return false, w.restore(ctx, d)
	case planner.RecoverDetail:
		return false, w.recover(ctx, d)
	case planner.IntentDetail:
		return false, w.intent(ctx, d)
	case planner.ReloadDetail:
		return false, w.in.Reload(ctx)
	case planner.RestartDetail:
		return false, w.in.Restart(ctx)
	case planner.RoleDetail:
		return false, w.role(ctx, d)
	case planner.SlotDetail:
		if d.Drop {
			return false, w.in.DropSlot(ctx, d.Name)
		}
		return false, w.in.CreateSlot(ctx, d.Name)
	case planner.CreateArchiveDetail:
		return false, w.createArchive(ctx, d)
	case planner.CheckArchiveDetail:
		return false, w.checkArchive(ctx)
	}
	return false, fmt.Errorf("this version does not know how to do %s", s.Kind)
}

// running says that the server of the step's node answers.
func (w *work) running(ctx context.Context) bool {
	return w.node(ctx, w.step.Cluster, w.step.Node).Server.Accepting
}
