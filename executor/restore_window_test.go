package executor_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"pg_manage/executor"
	"pg_manage/executor/remote"
	"pg_manage/planner"
	"pg_manage/schema"
)

// cutAfter is a host whose connection breaks for good when a command has been carried out.
type cutAfter struct {
	remote.Host
	last func(remote.Command) bool
	cut  atomic.Bool
}

func (c *cutAfter) Run(ctx context.Context, cmd remote.Command) (remote.Result, error) {
	if c.cut.Load() {
		return remote.Result{}, &remote.LostError{Host: c.Name(), Command: cmd.Shown(), Err: errors.New("the cable was cut")}
	}
	res, err := c.Host.Run(ctx, cmd)
	c.cut.Store(c.last(cmd))
	return res, err
}

// TestADeltaThatIsCutOffBeforeItsRecoveryIsSetUpIsNotOpened: all files of the backup are in
// their place, and what steers the recovery is not, or not all of it. A server that is started
// there, as the system does when the machine comes up, neither opens nor archives; the same
// restore goes on.
func TestADeltaThatIsCutOffBeforeItsRecoveryIsSetUpIsNotOpened(t *testing.T) {
	w := newWorld(t, "n1")
	w.build()
	w.nas()
	w.declare(strings.ReplaceAll(backedUp, "prefer-standby", "primary"), "n1")
	w.apply()
	w.settled()
	w.sql("n1", "CREATE TABLE after_backup ()")
	c := w.cfg.Clusters[0]
	asked := &planner.RestoreRequest{
		Cluster: w.name, Delta: true,
		Want: schema.Restore{Target: c.Backups[0].Target, Cluster: w.name, Backup: w.labels()[0], Timeline: "current", RecoveryTarget: schema.RecoveryTarget{Immediate: true, Inclusive: true}},
	}
	archived := func() string {
		names, err := filepath.Glob(w.dir + "/nas/pg_archlog/" + w.name + "/*/*")
		if err != nil || len(names) == 0 {
			t.Fatal(names, err)
		}
		return strings.Join(names, "\n")
	}
	before := ""
	for _, command := range []string{"restore", "settings"} {
		w.restore = asked
		env := w.env()
		env.Lease = nil
		host := &cutAfter{Host: w.host, last: func(cmd remote.Command) bool {
			i := slices.Index(cmd.Args, "node")
			return i >= 0 && len(cmd.Args) > i+1 && cmd.Args[i+1] == command
		}}
		env.Host = func(context.Context, string, string) (remote.Host, error) { return host, nil }
		r, err := executor.Run(t.Context(), w.plan(), env)
		if err != nil {
			t.Fatal(err)
		}
		step := w.name + "/n1/restore-backup"
		if i := slices.IndexFunc(r.Results, func(x executor.Result) bool { return x.Step == step }); i < 0 || r.Results[i].Status != executor.StatusFailed || !host.cut.Load() {
			t.Fatalf("%+v", r.Results)
		}
		if _, err := os.Stat(w.data("n1") + "/global/pg_control"); err != nil {
			t.Fatal(err)
		}
		if before == "" {
			before = archived()
		}
		if _, err := os.Stat(w.data("n1") + "/standby.signal"); (err == nil) != (command == "restore") {
			t.Errorf("after %s: standby.signal: %v", command, err)
		}
		if log, err := w.starts(); err == nil || strings.Contains(log, "ready to accept") {
			t.Errorf("after %s: the server starts: %s", command, log)
		}
		if got := archived(); got != before {
			t.Errorf("after %s: archived: %s\nbefore: %s", command, got, before)
		}
		w.restore = nil
		if p := w.plan(); len(p.Steps) > 0 || !p.HasErrors() {
			t.Fatalf("something else is planned: %+v", p.Steps)
		}
	}
	w.restore = asked
	w.apply()
	w.restore = nil
	w.settled()
	if got := w.sql("n1", "SELECT count(*) FROM pg_class WHERE relname = 'after_backup'"); got != "0" {
		t.Error("n1 is not as it was when the backup was taken")
	}
	if _, err := os.Stat(w.data("n1") + "/standby.signal"); err == nil {
		t.Error("standby.signal is left")
	}
}

// starts starts the server of n1 as the system would, and gives its log.
func (w *world) starts() (string, error) {
	w.t.Helper()
	log := w.dir + "/window.log"
	args := []string{w.program("pg_ctl"), "-D", w.data("n1"), "-w", "-t", "60", "-l", log, "start"}
	if os.Getuid() == 0 {
		args = append([]string{"runuser", "-u", owner(w.t).Username, "--"}, args...)
	}
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir = "/"
	err := cmd.Run()
	if err == nil {
		w.asOwner(w.program("pg_ctl"), "-D", w.data("n1"), "-w", "-m", "immediate", "stop")
	}
	text, no := os.ReadFile(log)
	return string(text), errors.Join(err, no)
}
