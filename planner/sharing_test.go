package planner

import (
	"slices"
	"strings"
	"testing"
	"time"

	"pg_manage/schema"
)

// alias is another target that leads to the same place.
func alias(t *schema.Target, name string) *schema.Target {
	a := *t
	a.Name = name
	return &a
}

func TestRulesOfTwoTargetsThatAreOnePlaceKeepTogether(t *testing.T) {
	declare := func() *schema.Cluster {
		c := archived(cluster(primaryNode("node1")))
		long := &schema.Backup{Name: "long", Target: c.Archives[0].Target, From: "primary", Keep: schema.Keep{Full: 5}}
		short := &schema.Backup{Name: "short", Target: alias(c.Archives[0].Target, "nas2"), From: "primary", MaxAge: 24 * time.Hour, Keep: schema.Keep{Full: 1}}
		c.Backups = []*schema.Backup{long, short}
		return c
	}
	c := declare()
	w := built(t, c)
	for range 3 {
		later(25*time.Hour)(w, c)
		p := w.plan(c)
		if i := slices.IndexFunc(p.Steps, func(s Step) bool { return s.Kind == KindExpire }); i >= 0 {
			t.Fatalf("what rule %q keeps is to go: %+v", "long", p.Steps[i])
		}
		w.apply(t, c, p, len(p.Steps))
	}
	if n := len(w.only()); n != 4 {
		t.Errorf("%d backups", n)
	}
}

func TestGuard_03_CopyNeverPutsItsBackupsBesideThoseOfItsSource(t *testing.T) {
	w := built(t, twoBackedUp())
	c := cluster(primaryNode("node3"))
	at := sshTarget("nas")
	c.Bootstrap = &schema.Bootstrap{Restore: &schema.Restore{Target: at, Cluster: "main", Timeline: "latest"}}
	w.addMachines(c)
	c.Backups = []*schema.Backup{{Name: "nightly", Target: at, MaxAge: time.Hour, From: "primary", Keep: schema.Keep{Full: 1}}}
	p := w.plan(c)
	if s := p.Step("main/node3/restore-backup"); s == nil || !strings.Contains(s.Blocked, "backup_dir") {
		t.Errorf("a copy of the same name keeps house among the backups of its source: %v %+v", steps(p), p.Findings)
	}
	c.Backups[0].Target = sshTarget("vault")
	p = w.plan(c)
	if s := p.Step("main/node3/restore-backup"); s == nil || s.Blocked != "" {
		t.Errorf("%v %+v", steps(p), p.Findings)
	}
}

// A target that does not answer may hold backups of what was lost.
func TestGuard_03_NoNewClusterWhileItsBackupsAreNotKnown(t *testing.T) {
	c := cluster(primaryNode("node1"))
	c.Backups = []*schema.Backup{{Name: "nightly", Target: sshTarget("vault"), MaxAge: time.Hour, From: "primary", Keep: schema.Keep{Full: 1}}}
	w := built(t, c)
	m := w.on(c, "node1")
	m.inst, m.conf, m.hba = nil, "", ""
	at := NewBackupPlace(c.Backups[0].Target, "main").Target
	w.down[at.place("main")] = true
	p := w.plan(c)
	if s := p.Step("main/node1/init-instance"); s == nil || !strings.Contains(s.Blocked, "not known") {
		t.Errorf("a new cluster, and nobody knows whether there are backups of it: %v %+v", steps(p), p.Findings)
	}
}

// Otherwise no backup would be taken for as long as the wrong clock was ahead, and nobody told.
func TestABackupFromTheFutureIsToldOf(t *testing.T) {
	p, _ := meet(t, twoBackedUp, func(w *world, _ *schema.Cluster) {
		x := &w.only()[0]
		x.StartTime, x.StopTime = x.StartTime.AddDate(9, 0, 0), x.StopTime.AddDate(9, 0, 0)
	})
	wantError(t, p, "ahead of now")
	if p.Step("main/node2/take-backup") != nil {
		t.Errorf("each plan would take another: %v", steps(p))
	}
}
