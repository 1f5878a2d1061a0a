package executor_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pg_manage/executor"
	"pg_manage/planner"
	"pg_manage/schema"
)

// TestADeltaThatEndsBeforeItsRecoveryIsSetUpIsNotOpened: all files of the backup are in their
// place, and then the settings of the recovery are refused. A server that is started there, as
// the system does when the machine comes up, neither opens nor archives; the same restore goes on.
func TestADeltaThatEndsBeforeItsRecoveryIsSetUpIsNotOpened(t *testing.T) {
	w := newWorld(t, "n1")
	w.build()
	w.nas()
	w.declare("", "n1")
	w.apply()
	conf := w.data("n1") + "/postgresql.conf"
	whole, err := os.ReadFile(conf)
	if err != nil {
		t.Fatal(err)
	}
	// A primary does not look at it. A recovery cannot have two targets.
	if err := os.WriteFile(conf, append(slices.Clone(whole), "recovery_target_xid = '99999'\n"...), 0o600); err != nil {
		t.Fatal(err)
	}
	w.declare(strings.ReplaceAll(backedUp, "prefer-standby", "primary"), "n1")
	w.apply()
	w.sql("n1", "CREATE TABLE after_backup ()")
	c := w.cfg.Clusters[0]
	w.restore = &planner.RestoreRequest{
		Cluster: w.name, Delta: true,
		Want:   schema.Restore{Target: c.Backups[0].Target, Cluster: w.name, RecoveryTarget: schema.RecoveryTarget{Immediate: true, Inclusive: true}},
		Choice: &planner.RecoveryChoice{Backup: w.labels()[0], Setting: "current"},
	}
	r, err := executor.Run(t.Context(), w.plan(), w.env())
	if err != nil {
		t.Fatal(err)
	}
	step := w.name + "/n1/restore-backup"
	i := slices.IndexFunc(r.Results, func(x executor.Result) bool { return x.Step == step })
	if i < 0 || r.Results[i].Status != executor.StatusFailed || !strings.Contains(r.Results[i].Error, "sets recovery_target_xid") {
		t.Fatalf("%+v", r.Results)
	}
	if _, err := os.Stat(w.data("n1") + "/global/pg_control"); err != nil {
		t.Fatal(err)
	}
	archived := func() string {
		names, err := filepath.Glob(w.dir + "/nas/pg_archlog/" + w.name + "/*")
		if err != nil {
			t.Fatal(err)
		}
		more, err := filepath.Glob(w.dir + "/nas/pg_archlog/" + w.name + "/*/*")
		if err != nil {
			t.Fatal(err)
		}
		return strings.Join(append(names, more...), "\n")
	}
	before := archived()
	log := w.dir + "/window.log"
	for _, more := range []string{"", " -c restore_command=/bin/false -c hot_standby=on"} {
		args := []string{w.program("pg_ctl"), "-D", w.data("n1"), "-w", "-t", "20", "-l", log, "-o", "-k " + w.dir + more, "start"}
		if o := owner(t); o.Uid != "" && os.Geteuid() == 0 {
			args = append([]string{"setpriv", "--reuid=" + o.Uid, "--regid=" + o.Gid, "--clear-groups"}, args...)
		}
		cmd := exec.Command(args[0], args[1:]...)
		cmd.Dir = "/"
		err := cmd.Run()
		text, _ := os.ReadFile(log)
		if more == "" && err == nil || strings.Contains(string(text), "ready to accept connections\n") {
			t.Errorf("started%s: %v\n%s", more, err, text)
		}
		if _, err := os.Stat(w.data("n1") + "/postmaster.pid"); err == nil {
			w.asOwner(w.program("pg_ctl"), "-D", w.data("n1"), "-w", "-m", "immediate", "stop")
		}
	}
	if got := archived(); got != before {
		t.Errorf("archived: %s\nbefore: %s", got, before)
	}
	asked := w.restore
	w.restore = nil
	if p := w.plan(); len(p.Steps) > 0 || !p.HasErrors() {
		t.Fatalf("something else is planned: %+v", p.Steps)
	}
	w.restore = asked
	// It came with the backup, so it is mended there where it is read.
	if err := os.WriteFile(conf, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	w.own(conf)
	r, err = executor.Run(t.Context(), w.plan(), w.env())
	if err != nil {
		t.Fatal(err)
	}
	if i := slices.IndexFunc(r.Results, func(x executor.Result) bool { return x.Step == step }); i < 0 || r.Results[i].Status != executor.StatusFailed {
		t.Fatalf("%+v", r.Results)
	}
	// The window again: postgresql.conf is the backup's. An operator lets it be without a target.
	w.restore.Want.RecoveryTarget = schema.RecoveryTarget{XID: "99999", Inclusive: true}
}
