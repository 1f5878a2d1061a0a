package planner

import (
	"testing"
	"time"

	"pg_manage/schema"
	"pg_manage/schema/postgres"
)

func fingerprintOf(c *schema.Cluster, o *Observed, opts Options) string {
	return New(config(c), o, opts).Fingerprint
}

func TestFingerprintIgnoresWhatMovesByItself(t *testing.T) {
	c := two()
	w := built(t, c)
	before := fingerprintOf(c, w.observe(c), testOptions())
	moves := map[string]func(p, s *NodeFacts){
		"positions": func(p, s *NodeFacts) {
			p.Server.CurrentLSN += 100
			s.Server.ReceiveLSN, s.Server.ReplayLSN = 5, 6
			s.Server.Receiver.Received++
			p.Data.Checkpoint++
		},
		"control file of a running server": func(p, _ *NodeFacts) { p.Data.ControlState, p.Data.Timeline = "x", 1 },
		"process IDs":                      func(p, _ *NodeFacts) { p.Server.PID++ },
		"times":                            func(p, s *NodeFacts) { p.Server.StartedAt, s.Server.ReplayAge = testTime.Add(time.Hour), time.Minute },
		"counters":                         func(p, _ *NodeFacts) { p.Server.Archiver.Archived++ },
		"senders":                          func(p, _ *NodeFacts) { p.Server.Senders = []Sender{{ApplicationName: "psql"}} },
		"slots at work": func(p, _ *NodeFacts) {
			p.Server.Slots[0].Active, p.Server.Slots[0].RestartLSN = !p.Server.Slots[0].Active, 77
		},
		"wording of an outage": func(p, _ *NodeFacts) { p.Archives[0].Error = "another word" },
	}
	for name, move := range moves {
		o := w.observe(c)
		move(o.Node("main", "node1"), o.Node("main", "node2"))
		if fingerprintOf(c, o, testOptions()) != before {
			t.Errorf("%s change the fingerprint", name)
		}
	}
	opts := testOptions()
	opts.Now = testTime.Add(time.Hour)
	moved := clone(c)
	moved.Range.Start.Line, moved.Nodes[0].Range.Start.Line, moved.Replication.Range.Start.Line = 7, 8, 9
	if fingerprintOf(moved, w.observe(c), opts) != before {
		t.Error("the time, or the place in the file, changes the fingerprint")
	}
}

func TestFingerprintHoldsWhatStepsDependOn(t *testing.T) {
	c := two()
	w := built(t, c)
	on("node2", "stopped")(w, c)
	before := fingerprintOf(c, w.observe(c), testOptions())
	changes := map[string]func(p, s *NodeFacts){
		"unreachable":        func(_, s *NodeFacts) { *s = NodeFacts{Unreachable: "gone"} },
		"data state":         func(_, s *NodeFacts) { s.Data.State = DataAbsent },
		"identity":           func(_, s *NodeFacts) { s.Data.SystemIdentifier = "1" },
		"timeline, stopped":  func(_, s *NodeFacts) { s.Data.Timeline = 2 },
		"position, stopped":  func(_, s *NodeFacts) { s.Data.Checkpoint += 1 << 20 },
		"standby.signal":     func(_, s *NodeFacts) { s.Data.StandbySignal = false },
		"recovery.signal":    func(_, s *NodeFacts) { s.Data.RecoverySignal = true },
		"mount point":        func(_, s *NodeFacts) { s.Data.MountPoint = true },
		"running":            func(p, _ *NodeFacts) { p.Server = ServerFacts{} },
		"answering":          func(p, _ *NodeFacts) { p.Server.Accepting = false },
		"role":               func(p, _ *NodeFacts) { p.Server.InRecovery = true },
		"timeline, running":  func(p, _ *NodeFacts) { p.Server.Timeline++ },
		"port taken":         func(_, s *NodeFacts) { s.Server.PortTaken = "nginx" },
		"setting":            func(p, _ *NodeFacts) { p.Server.Settings["work_mem"] = postgres.Setting{Value: "1"} },
		"auto.conf":          func(p, _ *NodeFacts) { p.Server.AutoConf = map[string]string{"work_mem": "1"} },
		"pending restart":    func(p, _ *NodeFacts) { p.Server.PendingRestart = []string{"port"} },
		"origin of settings": func(p, _ *NodeFacts) { p.Server.FromOurFile = nil },
		"replication role":   func(p, _ *NodeFacts) { p.Server.ReplicationRole = nil },
		"slot":               func(p, _ *NodeFacts) { p.Server.Slots = nil },
		"settings file":      func(p, _ *NodeFacts) { p.Files.Settings = "" },
		"include":            func(p, _ *NodeFacts) { p.Files.Included = false },
		"hba":                func(p, _ *NodeFacts) { p.Files.HBA = "" },
		"hba unread":         func(p, _ *NodeFacts) { p.Files.Unread = true },
		"hook":               func(p, _ *NodeFacts) { p.Files.HookConfig = "" },
		"passfile":           func(p, _ *NodeFacts) { p.Files.PassfileMatches = false },
		"binaries":           func(p, _ *NodeFacts) { p.Host.Installed = nil },
		"daemon":             func(p, _ *NodeFacts) { p.Host.Daemons = []string{"patroni"} },
		"paths":              func(p, _ *NodeFacts) { p.Paths.ConfigDir = "/elsewhere" },
		"archive":            func(p, _ *NodeFacts) { p.Archives[0].State = ArchiveAbsent },
		"archive's identity": func(p, _ *NodeFacts) { p.Archives[0].SystemIdentifier = "1" },
	}
	for name, change := range changes {
		o := w.observe(c)
		change(o.Node("main", "node1"), o.Node("main", "node2"))
		if fingerprintOf(c, o, testOptions()) == before {
			t.Errorf("%s does not change the fingerprint", name)
		}
	}
	declared := map[string]func(*schema.Cluster){
		"parameter": func(c *schema.Cluster) { c.Nodes[0].Parameters["work_mem"] = "1MB" },
		"port":      func(c *schema.Cluster) { c.Nodes[0].Port = 5433 },
		"target":    func(c *schema.Cluster) { c.Archives[0].Target.ArchiveDir = "elsewhere" },
		"user":      func(c *schema.Cluster) { c.Replication.User = "other" },
		"version":   func(c *schema.Cluster) { c.Version = 18 },
	}
	for name, change := range declared {
		d := clone(c)
		change(d)
		if fingerprintOf(d, w.observe(c), testOptions()) == before {
			t.Errorf("the declared %s does not change the fingerprint", name)
		}
	}
	opts := testOptions()
	opts.Binaries["amd64"]["pg_manage"] = "newer"
	if fingerprintOf(c, w.observe(c), opts) == before {
		t.Error("the binaries do not change the fingerprint")
	}
}
