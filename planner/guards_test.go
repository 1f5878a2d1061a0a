package planner

import (
	"slices"
	"strings"
	"testing"

	"pg_manage/schema"
)

// meet gives the plan of a cluster after something happened to it.
func meet(t *testing.T, from func() *schema.Cluster, happen func(*world, *schema.Cluster)) (*Plan, *world) {
	t.Helper()
	c, w := after(from, happen, nil)(t)
	return w.plan(c), w
}

func wantSteps(t *testing.T, p *Plan, want ...string) {
	t.Helper()
	if got := steps(p); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v\n%+v", got, want, p.Findings)
	}
}

// wantError holds that an error of the plan has this text.
func wantError(t *testing.T, p *Plan, text string) {
	t.Helper()
	if !slices.ContainsFunc(p.Findings, func(f Finding) bool {
		return f.Severity == schema.SeverityError && strings.Contains(f.Summary, text)
	}) {
		t.Errorf("no error with %q in %+v", text, p.Findings)
	}
}

func TestGuard_01_SystemIdentifier(t *testing.T) {
	p, _ := meet(t, two, on("node2", "other cluster")) // and it runs
	wantSteps(t, p)
	wantError(t, p, "belongs to another cluster")

	p, w := meet(t, two, then(on("node2", "stopped"), on("node2", "wiped")))
	build := p.Step("main/node2/build-standby")
	id := w.on(two(), "node1").inst.id
	for _, c := range [][]Condition{build.Pre, build.Post} {
		if !slices.ContainsFunc(c, func(c Condition) bool { return c.Fact == FactSystemID && c.Want == id }) {
			t.Errorf("the build does not hold on to the system identifier: %v", c)
		}
	}
	p, _ = meet(t, two, on("node1", "archive taken"))
	wantSteps(t, p)
	wantError(t, p, "belongs to another cluster")

	// A stranger that runs as primary is nobody's successor.
	p, _ = meet(t, two, then(on("node1", "stopped"), on("node2", "promoted"), on("node2", "other cluster")))
	wantSteps(t, p)
	wantError(t, p, "runs as primary with system identifier")
}

func TestGuard_01_SourceThatIsItselfReplaced(t *testing.T) {
	p, w := meet(t, three, then(on("node2", "stopped"), on("node2", "other cluster"), on("node3", "stopped"), on("node3", "wiped")))
	d := p.Step("main/node3/build-standby").Detail.(BuildDetail)
	if id := w.on(three(), "node1").inst.id; d.SystemIdentifier != id {
		t.Errorf("node3 is to have system identifier %s, the cluster has %s", d.SystemIdentifier, id)
	}
}

func TestGuard_02_Timelines(t *testing.T) {
	// The newest commits are on node2, and node1 runs on the old timeline.
	higher := then(on("node2", "promoted"), on("node2", "stopped"))
	p, _ := meet(t, two, higher)
	wantSteps(t, p)
	wantError(t, p, "ahead of the primary")

	p, _ = meet(t, two, on("node2", "ahead"))
	wantSteps(t, p)
	wantError(t, p, "more than the primary node1")

	p, _ = meet(t, two, then(on("node1", "stopped"), on("node2", "ahead")))
	if s := p.Step("main/node1/start"); s == nil || !strings.Contains(s.Blocked, "would begin without") {
		t.Errorf("the primary is started behind its standby: %+v", s)
	}
	p, _ = meet(t, two, then(higher, on("node1", "stopped")))
	if s := p.Step("main/node1/start"); s == nil || !strings.Contains(s.Blocked, "the cluster went on without it") {
		t.Errorf("the old primary is started: %+v", s)
	}
	p, _ = meet(t, two, then(on("node1", "stopped"), on("node2", "signal lost")))
	for _, s := range p.Steps {
		if s.Blocked == "" {
			t.Errorf("%s, and nobody knows which of the two was the primary", s.ID)
		}
	}
}

func TestGuard_03_ArchiveOfItsOwn(t *testing.T) {
	for _, what := range []string{"archive junk", "archive taken"} {
		p, _ := meet(t, two, on("node1", what))
		if !p.HasErrors() || p.Step("main/node1/create-archive") != nil {
			t.Errorf("%s: %v %+v", what, steps(p), p.Findings)
		}
	}
	// A new cluster never begins over an archive that exists.
	c := archived(cluster(primaryNode("node1")))
	w := built(t, c)
	m := w.on(c, "node1")
	m.inst, m.conf, m.hba = nil, "", ""
	for _, s := range w.plan(c).Steps {
		if s.Blocked == "" {
			t.Errorf("%s is not blocked, and the archive is that of the lost cluster", s.ID)
		}
	}
}

func TestGuard_03_LostPrimaryIsNotMadeAnew(t *testing.T) {
	alone := func() *schema.Cluster { return cluster(primaryNode("node1")) }
	p, _ := meet(t, alone, then(on("node1", "stopped"), on("node1", "wiped"))) // as when its file system is not mounted
	if s := p.Step("main/node1/init-instance"); s == nil || !strings.Contains(s.Blocked, "not mounted") {
		t.Errorf("a new cluster where one was lost: %v", steps(p))
	}
	p, _ = meet(t, two, then(on("node1", "stopped"), on("node1", "wiped"), on("node2", "stopped")))
	if s := p.Step("main/node1/init-instance"); s == nil || !strings.Contains(s.Blocked, "node2 holds data") && !strings.Contains(s.Blocked, "archive") && !strings.Contains(s.Blocked, "not mounted") {
		t.Errorf("a new cluster beside the data of the old one: %v", steps(p))
	}
}

func TestGuard_04_RunningInstanceBlocks(t *testing.T) {
	for _, what := range []string{"other cluster", "mute"} {
		p, _ := meet(t, two, on("node2", what))
		for _, s := range p.Steps {
			if s.Kind == KindBuild || s.Kind == KindInit {
				t.Errorf("%s: %s", what, s.ID)
			}
		}
	}
	p, _ := meet(t, two, then(on("node2", "stopped"), on("node2", "other cluster")))
	s := p.Step("main/node2/build-standby")
	if !slices.ContainsFunc(s.Pre, func(c Condition) bool { return c.Node == "node2" && c.Fact == FactRunning && c.Want == "false" }) {
		t.Errorf("nobody looks again whether it runs: %v", s.Pre)
	}
	// The old instance still runs on the port when another directory is declared.
	c, w := after(two, nil, func(c *schema.Cluster) *schema.Cluster { c.Node("node1").DataDir = "/srv/pg"; return c })(t)
	p = w.plan(c)
	wantError(t, p, "port 5432 on node1 is taken")
	for _, s := range p.Steps {
		if s.Node == "node1" && s.Blocked == "" {
			t.Errorf("%s", s.ID)
		}
	}
}

func TestGuard_05_DataIsMovedAside(t *testing.T) {
	p, _ := meet(t, two, then(on("node2", "stopped"), on("node2", "other cluster")))
	s := p.Step("main/node2/build-standby")
	if d := s.Detail.(BuildDetail); !d.MoveAside || s.Effect != EffectDataLoss || s.Action != ActionReplace || !strings.Contains(s.Undo, ".old-") {
		t.Errorf("%+v", s)
	}
	p, _ = meet(t, two, then(on("node2", "stopped"), on("node2", "other cluster"), on("node2", "mount point")))
	if s := p.Step("main/node2/build-standby"); s.Blocked == "" {
		t.Error("a mount point is moved aside")
	}
}

func TestGuard_06_OnlyRecognisedDirectories(t *testing.T) {
	for _, node := range []string{"node1", "node2"} {
		p, _ := meet(t, two, then(on(node, "stopped"), on(node, "foreign directory")))
		wantError(t, p, "not a PostgreSQL data directory")
		for _, s := range p.Steps {
			if s.Node == node && s.Blocked == "" {
				t.Errorf("%s", s.ID)
			}
		}
	}
	c, w := two(), newWorld(two())
	on("node2", "foreign directory")(w, c)
	if s := w.plan(c).Step("main/node1/init-instance"); s == nil || s.Blocked == "" {
		t.Error("a cluster begins while its standby holds what may be left of it")
	}
	p, _ := meet(t, two, on("node2", "other version"))
	wantSteps(t, p)
	wantError(t, p, "belongs to PostgreSQL 16")
}

func TestGuard_13_NoPromotion(t *testing.T) {
	c, w := after(two, on("node1", "cable cut"), swapped)(t)
	p := w.plan(c)
	wantSteps(t, p) // node2 stays a standby, with its primary_conninfo
	wantError(t, p, "node2 is declared primary, but it is a standby")
	for _, what := range []string{"cable cut", "mute"} {
		p, _ = meet(t, two, then(on("node1", "stopped"), on("node2", what)))
		if s := p.Step("main/node1/start"); s == nil || s.Blocked == "" {
			t.Errorf("%s: node1 is started, and node2 may have become primary", what)
		}
	}
	p, _ = meet(t, two, on("node2", "PITR"))
	wantSteps(t, p)
	wantError(t, p, "second primary")
}

func TestGuard_14_TwoPrimaries(t *testing.T) {
	p, _ := meet(t, two, on("node2", "promoted"))
	wantSteps(t, p)
	wantError(t, p, "2 nodes of cluster main run as primary")
	if d := p.Findings[0].Detail; !strings.Contains(d, "node1: ") || !strings.Contains(d, "timeline 1") || !strings.Contains(d, "timeline 2") {
		t.Errorf("the diagnosis lacks timelines: %s", d)
	}
	if len(p.Unchanged) > 0 {
		t.Errorf("called unchanged: %v", p.Unchanged)
	}
}

func TestGuard_15_Daemon(t *testing.T) {
	p, _ := meet(t, two, then(on("node2", "daemon"), on("node2", "hba lost")))
	wantSteps(t, p)
	wantError(t, p, "patroni governs")
}

func TestGuard_17_ConsentByNode(t *testing.T) {
	p, _ := meet(t, two, then(on("node2", "stopped"), on("node2", "other cluster")))
	loss := p.DataLoss()
	if len(loss) != 1 || loss[0].Node != "node2" {
		t.Errorf("%+v", loss)
	}
	p, _ = meet(t, three, then(on("node2", "stopped"), on("node2", "other cluster"), on("node3", "cable cut")))
	if len(p.DataLoss()) > 0 {
		t.Error("data is moved aside while another node may lack it")
	}
}

func TestGuard_18_RemovedNodeIsForgotten(t *testing.T) {
	c, w := after(three, nil, func(c *schema.Cluster) *schema.Cluster { c.Nodes = c.Nodes[:2]; return c })(t)
	p := w.plan(c)
	for _, s := range p.Steps {
		if s.Node == "node3" || s.Action == ActionRemove || s.Effect == EffectDataLoss {
			t.Errorf("%s", s.ID)
		}
	}
	if !slices.ContainsFunc(p.Findings, func(f Finding) bool { return strings.Contains(f.Summary, "pg_manage_node3") }) {
		t.Errorf("nothing is said about its slot: %+v", p.Findings)
	}
}

func TestGuard_19_FactsAreLookedAtAgain(t *testing.T) {
	c, w := after(two, then(on("node2", "stopped"), on("node2", "other cluster")), nil)(t)
	s := w.plan(c).Step("main/node2/build-standby")
	changes := map[string]func(){
		"it was started":           func() { w.on(c, "node2").inst.running = true },
		"its data is other data":   func() { w.on(c, "node2").inst.id = "1" },
		"it became unreachable":    func() { w.on(c, "node2").unreachable = "gone" },
		"the source is a stranger": func() { w.on(c, "node1").inst.id = "2" },
		"the source stopped":       func() { w.on(c, "node1").inst.stop() },
		"the source was demoted":   func() { w.on(c, "node1").inst.primary = false },
	}
	if err := w.check(c, s.Pre); err != nil && !strings.Contains(err.Error(), "slot") {
		t.Fatal(err)
	}
	truth := w
	for name, change := range changes {
		w = truth.twin()
		if change(); w.check(c, s.Pre) == nil {
			t.Errorf("%s, and the step would go on", name)
		}
	}
}

// A rebuild that was cut off between its two renames leaves the node without data, and the old one beside it.
func TestGuard_05_DataThatWasMovedAsideIsNamed(t *testing.T) {
	c := two()
	obs := built(t, c).observe(c)
	standby := obs.Clusters["main"].Nodes["node2"]
	standby.Server, standby.Data = ServerFacts{}, DataFacts{State: DataAbsent, Aside: []string{"/data.old-20260101T000000Z"}}
	p := New(config(c), obs, testOptions())
	if !slices.ContainsFunc(p.Findings, func(f Finding) bool { return strings.Contains(f.Summary, "/data.old-20260101T000000Z") }) || p.Step("main/node2/build-standby") == nil {
		t.Errorf("got %v %+v", steps(p), p.Findings)
	}
	primary := obs.Clusters["main"].Nodes["node1"]
	primary.Server, primary.Files = ServerFacts{}, FileFacts{}
	primary.Data, standby.Data.Aside = DataFacts{State: DataAbsent, Aside: []string{"/data.old-20260101T000000Z"}}, nil
	p = New(config(c), obs, testOptions())
	if s := p.Step("main/node1/init-instance"); s == nil || !strings.Contains(s.Blocked, "/data.old-20260101T000000Z") {
		t.Errorf("a new cluster would be begun beside the old one: %+v", s)
	}
}
