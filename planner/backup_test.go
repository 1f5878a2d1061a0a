package planner

import (
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"pg_manage/schema"
)

// nightly adds a rule for backups where the first archive is.
func nightly(c *schema.Cluster) *schema.Cluster {
	c.Backups = append(c.Backups, &schema.Backup{
		Name: "nightly", Target: c.Archives[0].Target, MaxAge: 24 * time.Hour, FullEvery: 7 * 24 * time.Hour, From: "prefer-standby",
		Keep: schema.Keep{Full: 1}, ProveEvery: 30 * 24 * time.Hour, Workers: 2, Rate: 50 << 20,
	})
	return c
}

func twoBackedUp() *schema.Cluster { return nightly(two()) }

// threeBackedUp keeps two full backups: the newest, and the one from before a restore.
func threeBackedUp() *schema.Cluster {
	c := nightly(three())
	c.Backups[0].Keep.Full = 2
	return c
}

// later lets time pass.
func later(d time.Duration) func(*world, *schema.Cluster) {
	return func(w *world, _ *schema.Cluster) { w.clock = w.clock.Add(d) }
}

// settle brings the cluster to what is declared, as a daily apply does.
func settle(t testing.TB) func(*world, *schema.Cluster) {
	return func(w *world, c *schema.Cluster) { w.converge(t, c) }
}

// only is the list of a world's backups, for a world with one place.
func (w *world) only() []stored {
	for _, at := range sortedKeys(w.backups) {
		return w.backups[at]
	}
	return nil
}

// backInTime asks for a restore in place to the first backup that there is.
func backInTime(w *world, c *schema.Cluster) {
	w.restore = &RestoreRequest{
		Cluster: c.Name,
		Want: schema.Restore{
			Target: c.Backups[0].Target, Cluster: c.Name, Backup: w.only()[0].Label,
			RecoveryTarget: schema.RecoveryTarget{Time: "2026-01-02 03:30:00+00", Inclusive: true}, Timeline: "current",
		},
	}
}

// copied is a cluster that begins with a backup of another one.
func copied(testTB testing.TB) (*schema.Cluster, *world) {
	w := built(testTB, twoBackedUp())
	c := nightly(archived(cluster(primaryNode("node3"), standbyNode("node4", "node3"))))
	c.Name = "copy"
	c.Bootstrap = &schema.Bootstrap{Restore: &schema.Restore{Target: c.Archives[0].Target, Cluster: "main", Timeline: "latest"}}
	w.addMachines(c)
	return c, w
}

func backupScenarios() map[string]scenario {
	return map[string]scenario{
		"backup-first":       after(two, nil, nightly),
		"backup-new-cluster": func(testing.TB) (*schema.Cluster, *world) { return twoBackedUp(), newWorld(two()) },
		"backup-incremental": after(twoBackedUp, later(25*time.Hour), nil),
		"backup-full-and-expire": func(t testing.TB) (*schema.Cluster, *world) {
			return after(twoBackedUp, then(later(25*time.Hour), settle(t), later(8*24*time.Hour)), nil)(t)
		},
		"backup-unproven":    after(twoBackedUp, later(31*24*time.Hour), nil),
		"backup-unreachable": after(twoBackedUp, down(0), nil),
		"backup-after-failover": after(twoBackedUp, then(on("node1", "stopped"), on("node2", "promoted")), func(c *schema.Cluster) *schema.Cluster {
			return swapped(c)
		}),
		"standby-from-backup": after(twoBackedUp, nil, func(c *schema.Cluster) *schema.Cluster {
			n := standbyNode("node3", "node1")
			n.SeedFrom = []string{"backup", "primary"}
			c.Nodes = append(c.Nodes, n)
			return c
		}),
		"standby-not-from-backup": after(twoBackedUp, func(w *world, _ *schema.Cluster) { w.only()[0].Damaged = 3 }, func(c *schema.Cluster) *schema.Cluster {
			n := standbyNode("node3", "node1")
			n.SeedFrom = []string{"backup", "primary"}
			c.Nodes = append(c.Nodes, n)
			return c
		}),
		"bootstrap-restore": copied,
		"restore-in-place":  after(threeBackedUp, then(later(25*time.Hour), backInTime), nil),
		"restore-delta":     after(threeBackedUp, then(later(25*time.Hour), deltaInTime), nil),
		"restore-interrupted": func(t testing.TB) (*schema.Cluster, *world) {
			c, w := after(threeBackedUp, backInTime, nil)(t)
			w.apply(t, c, w.plan(c), 5)
			w.restore = nil
			return c, w
		},
	}
}

func TestBackupScenarioSteps(t *testing.T) {
	want := map[string][]string{
		"backup-first":            {"node2/take-backup", "node2/prove-backup"},
		"backup-incremental":      {"node2/take-backup"},
		"backup-full-and-expire":  {"node2/take-backup", "node1/expire-backups", "node2/prove-backup"},
		"backup-unproven":         {"node2/take-backup", "node1/expire-backups", "node2/prove-backup"},
		"backup-unreachable":      {},
		"standby-from-backup":     {"node1/write-hba", "node1/reload", "node2/write-hba", "node2/reload", "node3/install-binaries", "node3/write-passfile", "node3/write-hook-config", "node1/create-slot", "node3/build-standby", "node3/write-hba", "node3/start"},
		"standby-not-from-backup": {"node1/write-hba", "node1/reload", "node2/write-hba", "node2/reload", "node3/install-binaries", "node3/write-passfile", "node3/write-hook-config", "node1/create-slot", "node3/build-standby", "node3/write-hba", "node3/start"},
		"restore-interrupted":     {},
		"bootstrap-restore": {
			"node3/install-binaries", "node3/write-passfile", "node3/write-hook-config", "node3/restore-backup", "node3/create-archive", "node3/write-hba", "node3/recover", "node3/replication-role",
			"node4/install-binaries", "node4/write-passfile", "node4/write-hook-config", "node3/create-slot", "node4/build-standby", "node4/write-hba", "node4/start", "node3/check-archive", "node4/take-backup", "node4/prove-backup",
		},
		"restore-delta": {
			"node1/begin-restore", "node2/stop", "node3/stop", "node1/stop", "node1/restore-backup", "node1/recover", "node1/replication-role",
			"node1/create-slot", "node2/build-standby", "node2/start", "node2/create-slot", "node3/build-standby", "node3/start", "node1/end-restore", "node2/take-backup",
		},
		"restore-in-place": {
			"node1/begin-restore", "node2/stop", "node3/stop", "node1/stop", "node1/restore-backup", "node1/recover", "node1/replication-role",
			"node1/create-slot", "node2/build-standby", "node2/start", "node2/create-slot", "node3/build-standby", "node3/start", "node1/end-restore", "node2/take-backup",
		},
	}
	all := backupScenarios()
	for _, name := range sortedKeys(want) {
		c, w := all[name](t)
		p := w.plan(c)
		if got := steps(p); !slices.Equal(got, want[name]) {
			t.Errorf("%s:\ngot  %v\nwant %v\n%+v", name, got, want[name], p.Findings)
		}
	}
}

// wantBlocked holds that nothing of a plan happens.
func wantBlocked(t *testing.T, p *Plan) {
	t.Helper()
	if !p.HasErrors() {
		t.Error("nothing is said to be in the way")
	}
	for _, s := range p.Steps {
		if s.Blocked == "" {
			t.Errorf("%s is not blocked", s.ID)
		}
	}
}

func TestGuard_01_RestoreNeedsTheSameCluster(t *testing.T) {
	p, _ := meet(t, threeBackedUp, then(backInTime, func(w *world, _ *schema.Cluster) { w.only()[0].SystemIdentifier = "1" }))
	wantSteps(t, p)
	wantError(t, p, "holds data of system identifier")
	p, _ = meet(t, twoBackedUp, func(w *world, _ *schema.Cluster) { w.only()[0].SystemIdentifier = "1" })
	wantSteps(t, p)
	wantError(t, p, "belong to another cluster")
}

func TestGuard_03_CopyNeverArchivesIntoItsSource(t *testing.T) {
	c, w := twoBackedUp(), built(t, twoBackedUp())
	for _, n := range c.Nodes { // all is lost but the backups
		on(n.Name, "wiped")(w, c)
		w.on(c, n.Name).conf = ""
	}
	p := w.plan(c)
	if s := p.Step("main/node1/init-instance"); s == nil || !strings.Contains(s.Blocked, "base backups of main") {
		t.Errorf("an empty cluster where there are backups of it: %v", steps(p))
	}
	c.Bootstrap = &schema.Bootstrap{Restore: &schema.Restore{Target: c.Archives[0].Target, Cluster: "main"}}
	p = w.plan(c)
	if s := p.Step("main/node1/restore-backup"); s == nil || s.Blocked == "" {
		t.Errorf("a copy archives into the archive of its source: %v", steps(p))
	}
	// A restore in place is the same cluster, and goes on with its archive.
	c.Bootstrap = nil
	c.Backups[0].Keep.Full = 2
	backInTime(w, c)
	p = w.plan(c)
	w.apply(t, c, p, len(p.Steps))
	w.restore = nil
	if p := w.plan(c); !p.Empty() {
		t.Errorf("not empty: %v %+v", steps(p), p.Findings)
	}
}

func TestGuard_08_RestoreIsCheckedBeforeAnythingIsStopped(t *testing.T) {
	for name, happen := range map[string]func(*world, *schema.Cluster){
		"a node is out of reach":     on("node3", "cable cut"),
		"a node is unreadable":       then(on("node3", "stopped"), on("node3", "unreadable")),
		"a daemon governs":           on("node2", "daemon"),
		"the backup is broken":       func(w *world, _ *schema.Cluster) { w.only()[0].Broken = "part-0000.tar.zst is missing" },
		"the backup is gone":         func(w *world, _ *schema.Cluster) { w.restore.Want.Backup = "20200101T000000Z-node1-full" },
		"the target does not answer": down(0),
		"it was not looked up":       func(w *world, _ *schema.Cluster) { w.unlooked = true },
		"another version":            func(w *world, _ *schema.Cluster) { w.only()[0].PostgreSQL = "16.1" },
		"a mount point":              on("node1", "mount point"),
	} {
		p, _ := meet(t, threeBackedUp, then(backInTime, happen))
		if name == "a mount point" {
			if s := p.Step("main/node1/restore-backup"); s == nil || s.Blocked == "" {
				t.Errorf("%s: %v", name, steps(p))
			}
			continue
		}
		t.Run(name, func(t *testing.T) { wantBlocked(t, p) })
	}
}

func TestGuard_17_RestoreNeedsConsentForEveryNode(t *testing.T) {
	p, _ := meet(t, threeBackedUp, backInTime)
	var nodes []string
	for _, s := range p.DataLoss() {
		nodes = append(nodes, s.Node)
	}
	if !slices.Equal(nodes, []string{"node1", "node2", "node3"}) {
		t.Errorf("consent is asked for %v", nodes)
	}
}

// A restore that is cut off after any step goes on with the same request, and nothing else
// is planned meanwhile. In the end all old data is kept, but what a delta went over, and
// nothing is left to do.
func TestPropertyRestoreInPlace(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := threeBackedUp()
		c.Backups[0].Keep = schema.Keep{} // each restore adds one
		c.Backups[0].From = rapid.SampledFrom([]string{"primary", "prefer-standby"}).Draw(t, "from")
		w := newWorld(c)
		for _, host := range sortedKeys(w.machines) {
			w.machines[host].debian = rapid.Bool().Draw(t, "debian")
		}
		w.converge(t, c)
		for range rapid.IntRange(0, 2).Draw(t, "events") {
			name := rapid.SampledFrom([]string{"stopped", "wiped", "hba lost", "a day passes", "slots lost", "ALTER SYSTEM", "promoted", "ahead"}).Draw(t, "event")
			n := rapid.SampledFrom(c.Nodes).Draw(t, "node")
			if name == "wiped" {
				events()["stopped"](w, c, n, w.machines[n.Host])
			}
			events()[name](w, c, n, w.machines[n.Host])
			w.flow()
		}
		before := map[string]*instance{}
		for host, m := range w.machines {
			before[host] = m.inst
		}
		backInTime(w, c)
		asked := w.restore
		asked.Delta = rapid.Bool().Draw(t, "delta") && before[c.Primary().Host] != nil
		for range rapid.IntRange(0, 3).Draw(t, "interruptions") {
			p := w.plan(c)
			done := rapid.IntRange(0, len(p.Steps)).Draw(t, "killed after")
			w.apply(t, c, p, done)
			if asked.Delta && done < len(p.Steps) && p.Steps[done].Kind == KindRestore && p.Steps[done].Blocked == "" && rapid.Bool().Draw(t, "in its middle") {
				if m := w.on(c, c.Primary().Name); m.inst != nil {
					m.cutOff()
				}
			}
			w.restore = nil
			if p := w.plan(c); slices.ContainsFunc(sortedKeys(w.machines), func(h string) bool { return w.machines[h].intent != nil }) && (len(p.Steps) > 0 || !p.HasErrors()) {
				t.Fatalf("in the middle of a restore something else is planned: %v", steps(p))
			}
			w.restore = asked
		}
		p := w.plan(c)
		w.apply(t, c, p, len(p.Steps))
		w.restore = nil
		if p := w.plan(c); !p.Empty() {
			t.Fatalf("not empty after the restore: %v %+v\n%s", steps(p), p.Findings, w)
		}
		for host, m := range w.machines {
			if asked.Delta && host == c.Primary().Host {
				continue
			}
			if old := before[host]; old != nil && m.inst != old && !slices.Contains(m.aside, old) {
				t.Fatalf("the old data on %s is gone", host)
			}
		}
	})
}

func TestNewestBackupWasBegunLast(t *testing.T) {
	at := testTime
	all := []BackupFact{
		{Label: "long", StartTime: at, StopTime: at.Add(3 * time.Hour)},
		{Label: "a", StartTime: at.Add(time.Hour), StopTime: at.Add(2 * time.Hour)},
		{Label: "b", StartTime: at.Add(time.Hour), StopTime: at.Add(2 * time.Hour)},
		{Label: "broken", StartTime: at.Add(2 * time.Hour), Broken: "its parent is missing"},
	}
	whichever := func(*BackupFact) bool { return true }
	if x := NewestBackup(all, whichever); x != &all[2] {
		t.Errorf("%+v", x)
	}
	slices.Reverse(all)
	if x := NewestBackup(all, whichever); x == nil || x.Label != "b" {
		t.Errorf("in another order: %+v", x)
	}
	if x := NewestBackup(all, func(x *BackupFact) bool { return x.Label == "broken" }); x != nil {
		t.Errorf("%+v", x)
	}
}
