package planner

import (
	"slices"
	"strings"
	"testing"

	"pg_manage/schema"
)

// deltaInTime asks for the same, over the old data.
func deltaInTime(w *world, c *schema.Cluster) {
	backInTime(w, c)
	w.restore.Delta = true
}

// deltaCutOff is a delta that ended in the middle of its restore.
func deltaCutOff(t testing.TB) func(*world, *schema.Cluster) {
	return func(w *world, c *schema.Cluster) {
		deltaInTime(w, c)
		p := w.plan(c)
		w.apply(t, c, p, slices.IndexFunc(p.Steps, func(s Step) bool { return s.Kind == KindRestore }))
		w.on(c, "node1").cutOff()
	}
}

func TestGuard_17_DeltaSaysThatTheOldDataIsNotKept(t *testing.T) {
	p, w := meet(t, threeBackedUp, deltaInTime)
	s := p.Step("main/node1/restore-backup")
	if s == nil || s.Effect != EffectDataLoss || s.Action != ActionReplace || !strings.Contains(s.Summary, "overwritten and not kept") {
		t.Fatalf("%+v", s)
	}
	var nodes []string
	for _, s := range p.DataLoss() {
		nodes = append(nodes, s.Node)
	}
	if !slices.Equal(nodes, []string{"node1", "node2", "node3"}) {
		t.Errorf("consent is asked for %v", nodes)
	}
	for _, want := range []Condition{
		{Node: "node1", Fact: FactRunning, Want: "false"},
		{Node: "node1", Fact: FactDataState, Want: string(DataCluster), Or: []string{string(DataUnfinished)}},
		{Node: "node1", Fact: FactSystemID, Want: w.only()[0].SystemIdentifier},
	} {
		if !slices.ContainsFunc(s.Pre, func(c Condition) bool { return c.String() == want.String() }) {
			t.Errorf("it does not hold on to %s: %v", want, s.Pre)
		}
	}
	if d := s.Detail.(RestoreDetail); !d.Delta || d.MoveAside || d.Tablespaces != nil {
		t.Errorf("%+v", d)
	}
}

func TestGuard_01_DeltaNeedsDataOfTheSameCluster(t *testing.T) {
	other := func(w *world, _ *schema.Cluster) { w.only()[0].SystemIdentifier = "1" }
	p, _ := meet(t, threeBackedUp, then(deltaInTime, other))
	wantSteps(t, p)
	wantError(t, p, "holds data of system identifier")
	p, _ = meet(t, threeBackedUp, then(deltaCutOff(t), other))
	wantSteps(t, p)
	wantError(t, p, "holds data of system identifier")
	p, _ = meet(t, threeBackedUp, then(on("node1", "stopped"), on("node1", "wiped"), deltaInTime))
	wantSteps(t, p)
	wantError(t, p, "no data on node1 to restore over")
	p, _ = meet(t, threeBackedUp, then(on("node1", "stopped"), on("node1", "foreign directory"), deltaInTime))
	wantBlocked(t, p)
	// What cannot be renamed can be restored over.
	p, _ = meet(t, threeBackedUp, then(on("node1", "mount point"), deltaInTime))
	if s := p.Step("main/node1/restore-backup"); s == nil || s.Blocked != "" {
		t.Errorf("%+v", s)
	}
}

// What an interrupted delta has left is touched by the same request alone.
func TestGuard_08_DeltaThatWasCutOff(t *testing.T) {
	c, w := after(threeBackedUp, deltaCutOff(t), nil)(t)
	asked := w.restore
	w.restore = nil
	p := w.plan(c)
	wantSteps(t, p)
	wantError(t, p, "was begun at")
	if !slices.ContainsFunc(p.Findings, func(f Finding) bool { return strings.Contains(f.Detail, "half overwritten") }) {
		t.Errorf("%+v", p.Findings)
	}
	note := w.on(c, "node1").intent
	w.on(c, "node1").intent = nil // by hand
	p = w.plan(c)
	wantError(t, p, "was cut off")
	if slices.ContainsFunc(p.Steps, func(s Step) bool { return s.Node == "node1" || s.Kind == KindBuild && s.Blocked == "" }) {
		t.Errorf("%v", steps(p))
	}
	w.on(c, "node1").intent = note

	backInTime(w, c) // and without --delta
	p = w.plan(c)
	wantBlocked(t, p)
	wantError(t, p, "was cut off")

	w.restore = asked
	p = w.plan(c)
	if s := p.Step("main/node1/restore-backup"); s == nil || s.Blocked != "" || s.Effect != EffectDataLoss || p.Step("main/node1/begin-restore") != nil {
		t.Fatalf("%v %+v", steps(p), p.Findings)
	}
	w.apply(t, c, p, len(p.Steps))
	w.restore = nil
	if p := w.plan(c); !p.Empty() {
		t.Errorf("not empty: %v %+v", steps(p), p.Findings)
	}
}

func TestTablespacesGoWhereTheyAreWanted(t *testing.T) {
	spaces := func(to map[string]string) func(*world, *schema.Cluster) {
		return func(w *world, c *schema.Cluster) {
			backInTime(w, c)
			w.only()[0].Tablespaces = map[string]string{"16385": "/srv/ssd/", "16386": "/srv/hdd"}
			w.restore.Want.Tablespaces = to
		}
	}
	p, w := meet(t, threeBackedUp, spaces(map[string]string{"/srv/ssd": "/mnt/ssd"}))
	d := p.Step("main/node1/restore-backup").Detail.(RestoreDetail)
	if d.Tablespaces["16385"] != "/mnt/ssd" || !strings.HasPrefix(d.Tablespaces["16386"], "/srv/hdd.restored-") || len(d.Tablespaces) != 2 {
		t.Errorf("beside the old ones: %v", d.Tablespaces)
	}
	cat := w.catalog(d.Source.Place)
	cat.Archives = []ArchiveWAL{wholeArchive(&cat)}
	late := RestoreDetail{Want: d.Want}
	late.Want.Backup = cat.Backups[0].Label
	if _, err := SettleRestore(&cat, &late, 17); err != nil || len(late.Tablespaces) != 1 || late.Tablespaces["16385"] != "/mnt/ssd" {
		t.Errorf("when the backup is chosen later: %v %v", late.Tablespaces, err)
	}
	p, _ = meet(t, threeBackedUp, then(spaces(map[string]string{"/srv/ssd": "/mnt/ssd"}), func(w *world, _ *schema.Cluster) { w.restore.Delta = true }))
	if d := p.Step("main/node1/restore-backup").Detail.(RestoreDetail); len(d.Tablespaces) != 1 || d.Tablespaces["16385"] != "/mnt/ssd" {
		t.Errorf("over the old ones: %v", d.Tablespaces)
	}
	p, _ = meet(t, threeBackedUp, spaces(map[string]string{"/srv/sdd": "/mnt/ssd"}))
	wantSteps(t, p)
	wantError(t, p, "has no tablespace at /srv/sdd; it has /srv/hdd, /srv/ssd")
	if restoreMark(d.Want) == restoreMark(schema.Restore{Target: d.Want.Target, Cluster: d.Want.Cluster, RecoveryTarget: d.Want.RecoveryTarget, Timeline: d.Want.Timeline}) {
		t.Error("what is asked for is the same without the places")
	}
}
