package executor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"time"

	"pg_manage/executor/event"
	"pg_manage/executor/instance"
	"pg_manage/executor/node"
	"pg_manage/executor/remote"
	"pg_manage/planner"
	"pg_manage/schema"
)

// nodeArgs is the call of our program on the step's node.
func (w *work) nodeArgs(command string, request any) ([]string, error) {
	text, err := json.Marshal(request)
	if err != nil {
		return nil, err
	}
	return []string{path.Join(w.in.Tool, "pg_manage"), "node", command, "--request", string(text)}, nil
}

// copyOf gives the program that makes the files of a backup as req says.
func (w *work) copyOf(source planner.BackupSource, req node.RestoreRequest) func(dir string) ([]string, error) {
	return func(dir string) ([]string, error) {
		req.Version, req.Place, req.Label, req.DataDir, req.StateDir = node.Version, place(source.Place), source.Label, dir, w.in.State
		return w.nodeArgs("restore", req)
	}
}

// restore makes a data directory from a backup, ready to recover when it is started.
func (w *work) restore(ctx context.Context, d planner.RestoreDetail) error {
	if d.Source.Label == "" { // chosen now that the catalogue is known
		if err := w.chooseBackup(ctx, &d); err != nil {
			return err
		}
	}
	target, err := recovery(d.Want)
	if err != nil {
		return err
	}
	config := path.Join(w.in.State, planner.RestoreConfigFile)
	command := planner.RecoverCommand(w.in.Tool, config)
	if len(d.Archives) == 0 { // the WAL of the backup ends where the backup does
		command, target.Immediate = "", false
	}
	options := remote.FileOptions{Mode: 0o600, As: w.in.Owner, MkDir: true}
	if err := remote.WriteFile(ctx, w.in.Host, config, []byte(d.RestoreConfig(w.in.Instance, w.step.Node).Encode()), options); err != nil {
		return err
	}
	return w.in.Restore(ctx, instance.Restore{
		SystemIdentifier: d.SystemIdentifier, MoveAside: d.MoveAside, Delta: d.Delta, Apart: d.Apart, Settings: d.Settings, Mark: d.Mark, Now: w.env.Now(),
		Copy: w.copyOf(d.Source, node.RestoreRequest{SystemIdentifier: d.SystemIdentifier, Tablespaces: d.Tablespaces, WALDir: d.WALDir, Delta: d.Delta, Hold: true}),
		Recover: func(dir string) ([]string, error) {
			apart := ""
			if path.Clean(w.in.ConfigDir) != path.Clean(w.in.DataDir) {
				apart = w.in.ConfigDir
			}
			return w.nodeArgs("settings", node.SettingsRequest{
				Version: node.Version, DataDir: dir, Recovery: &target, RestoreCommand: command,
				ConfigDir: apart, Major: w.in.Major, StateDir: w.in.State,
			})
		},
		Sink:   &relay{w: w},
		Notice: func(m string) { w.notice(w.step, "%s", m) },
	})
}

// chooseBackup settles which backup a restore begins with, where the plan could not know.
func (w *work) chooseBackup(ctx context.Context, d *planner.RestoreDetail) error {
	f := w.node(ctx, w.step.Cluster, w.step.Node)
	for i := range f.Catalogs {
		cat := &f.Catalogs[i]
		if cat.Target != d.Source.Place.Target.Name || cat.Cluster != d.Source.Place.Cluster {
			continue
		}
		if !cat.Known {
			return fmt.Errorf("the base backups at %s are not known: %s", cat.Target, cat.Error)
		}
		if err := w.locate(ctx, cat, &d.Want); err != nil {
			return err
		}
		x, err := planner.SettleRestore(cat, d, w.step.Instance.Major)
		if err != nil {
			return fmt.Errorf("%s cannot be restored %s: %w", w.step.Node, planner.RecoveryText(d.Want), err)
		}
		w.notice(w.step, "restoring base backup %s", x.Label)
		return nil
	}
	return errors.New("the base backups of the source could not be asked for")
}

// locate looks up in the archives where the point is, for the choice of the backup.
func (w *work) locate(ctx context.Context, cat *planner.CatalogFact, want *schema.Restore) error {
	cfg := w.env.Config
	if cfg == nil {
		cfg = &schema.Config{}
	}
	req, err := node.NewLocateRequest(cfg, want, w.in.State)
	if err != nil {
		return err
	}
	var res node.LocateResult
	if err := w.callNode(ctx, "locate", req, &res, nil); err != nil {
		return fmt.Errorf("where the point is in the archive cannot be found: %w", err)
	}
	cat.Archives, cat.Found = res.Archives, res.Found
	return nil
}

// recover starts a restored server, waits for the end of its recovery, and takes away what
// steered it.
func (w *work) recover(ctx context.Context, d planner.RecoverDetail) error {
	in, s := w.in, w.step
	if f := w.observe(ctx, s.Cluster, s.Node); !f.Server.Running {
		// A long recovery outlasts the patience of what starts it.
		if err := in.Start(ctx); err != nil && !w.observe(ctx, s.Cluster, s.Node).Server.Running {
			return in.ExplainRecovery(err)
		}
	}
	if err := w.awaitPromotion(ctx); err != nil {
		return in.ExplainRecovery(err)
	}
	if err := w.callNode(ctx, "settings", node.SettingsRequest{Version: node.Version, DataDir: in.DataDir, Clean: true, Major: in.Major, StateDir: in.State}, &node.SettingsResult{}, nil); err != nil {
		return fmt.Errorf("take the settings of the recovery away: %w", err)
	}
	// Until it is started again the server keeps where its recovery ended among its settings.
	if err := in.Restart(ctx); err != nil {
		return err
	}
	if d.Intent {
		if err := w.markRecovered(ctx); err != nil {
			return err
		}
	}
	if err := remote.Remove(ctx, in.Host, path.Join(in.DataDir, planner.RestoredFile), in.Owner); err != nil {
		return err
	}
	return remote.Remove(ctx, in.Host, path.Join(in.State, planner.RestoreConfigFile), in.Owner)
}

// awaitPromotion waits as long as the server recovers, and tells how far it is.
func (w *work) awaitPromotion(ctx context.Context) error {
	in, s := w.in, w.step
	gone := time.Time{}
	for {
		f := w.observe(ctx, s.Cluster, s.Node)
		switch {
		case f.Unreachable != "":
			if gone.IsZero() {
				gone = time.Now()
			} else if time.Since(gone) > w.env.Wait.Service {
				return fmt.Errorf("%s cannot be looked at: %s; the recovery goes on there, and apply again waits for it", s.Node, f.Unreachable)
			}
		case !f.Server.Running:
			err := fmt.Errorf("%s: the server ended before its recovery did", s.Node)
			if tail := in.LogTail(ctx, 20); tail != "" {
				err = fmt.Errorf("%w\n%s", err, tail)
			}
			return err
		case f.Server.Accepting && !f.Server.InRecovery:
			return nil
		case f.Server.Accepting && f.Server.ReplayPaused:
			return fmt.Errorf("%s: recovery is paused at %s, mostly because a setting is lower than it was on the server that was backed up; raise it, stop the server, and apply again\n%s", s.Node, f.Server.ReplayLSN, in.LogTail(ctx, 20))
		default:
			gone = time.Time{}
			message := s.Summary
			if f.Server.ReplayLSN != 0 {
				message += ": at " + f.Server.ReplayLSN.String()
			}
			w.emitStep(s, event.Event{Type: event.Progress, Message: message})
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(w.env.Wait.Poll):
		}
	}
}

// intent notes on the node that a restore in place has begun, or that it is over.
func (w *work) intent(ctx context.Context, d planner.IntentDetail) error {
	file := path.Join(w.in.State, planner.RestoreIntentFile)
	if d.End {
		return remote.Remove(ctx, w.in.Host, file, w.in.Owner)
	}
	return w.writeIntent(ctx, d.Intent)
}

func (w *work) writeIntent(ctx context.Context, i planner.RestoreIntent) error {
	text, err := json.MarshalIndent(i, "", "  ")
	if err != nil {
		return err
	}
	return remote.WriteFile(ctx, w.in.Host, path.Join(w.in.State, planner.RestoreIntentFile), append(text, '\n'), remote.FileOptions{Mode: 0o600, As: w.in.Owner, MkDir: true})
}

// markRecovered notes that what is left of a restore is up to the other nodes.
func (w *work) markRecovered(ctx context.Context) error {
	f := w.node(ctx, w.step.Cluster, w.step.Node)
	if f.Intent == nil || f.Intent.Done {
		return nil
	}
	i := *f.Intent
	i.Done = true
	return w.writeIntent(ctx, i)
}

// start starts the server. One that was made from a backup may replay for long before it
// answers, longer than what starts it waits.
func (w *work) start(ctx context.Context, d planner.StartDetail) error {
	err := w.in.Start(ctx)
	if err != nil && d.Replays && w.observe(ctx, w.step.Cluster, w.step.Node).Server.Running {
		w.notice(w.step, "the server replays WAL, and does not answer yet")
		return nil
	}
	return err
}
