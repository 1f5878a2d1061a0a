package view

import (
	"bytes"
	"testing"
	"time"

	"pg_manage/planner"
	"pg_manage/schema"
	"pg_manage/schema/postgres"
)

func statusConfig() *schema.Config {
	t := &schema.Target{Name: "nas"}
	return &schema.Config{Clusters: []*schema.Cluster{
		{
			Name: "main", Version: 17, Archives: []*schema.Archive{{Target: t, Required: true}},
			Nodes: []*schema.Node{
				{Name: "node1", Role: schema.RolePrimary},
				{Name: "node2", Role: schema.RoleStandby, Upstream: "node1"},
				{Name: "node3", Role: schema.RoleStandby, Upstream: "node2", Delay: time.Hour},
				{Name: "node4", Role: schema.RoleStandby, Upstream: "node1"},
			},
		},
	}}
}

func primaryFacts() *planner.NodeFacts {
	return &planner.NodeFacts{
		Data: planner.DataFacts{State: planner.DataCluster, SystemIdentifier: "7300000000000000001", Timeline: 3},
		Server: planner.ServerFacts{
			Running: true, Accepting: true, Version: 170002, Timeline: 3, CurrentLSN: 0x5000000, StartedAt: created().Add(-50 * time.Hour),
			Slots:    []planner.Slot{{Name: "pg_manage_node2", Type: "physical", Active: true, RestartLSN: 0x4f00000, WALStatus: "reserved"}},
			Archiver: &planner.Archiver{Archived: 4, LastWAL: "000000030000000000000004", LastTime: created().Add(-12 * time.Second)},
		},
	}
}

func standbyFacts(replay postgres.LSN, age time.Duration) *planner.NodeFacts {
	return &planner.NodeFacts{
		Data: planner.DataFacts{State: planner.DataCluster, SystemIdentifier: "7300000000000000001", Timeline: 3},
		Server: planner.ServerFacts{
			Running: true, Accepting: true, InRecovery: true, Version: 170002, Timeline: 3, ReceiveLSN: 0x5000000, ReplayLSN: replay, ReplayAge: age,
			Receiver: &planner.Receiver{Status: "streaming"},
		},
	}
}

func observed(nodes map[string]*planner.NodeFacts) *planner.Observed {
	return &planner.Observed{Clusters: map[string]*planner.ClusterFacts{"main": {Nodes: nodes}}}
}

func TestStatus(t *testing.T) {
	healthy := map[string]*planner.NodeFacts{
		"node1": primaryFacts(), "node2": standbyFacts(0x5000000, time.Hour),
		"node3": standbyFacts(0x4000000, time.Hour), "node4": standbyFacts(0x5000001, 0),
	}
	bad := map[string]*planner.NodeFacts{
		"node1": primaryFacts(),
		"node2": {Unreachable: "node2: cannot connect: connection refused"},
		"node3": standbyFacts(0x4000000, 90*time.Second),
		"node4": {Data: planner.DataFacts{State: planner.DataCluster, ControlState: "shut down in recovery"}},
	}
	bad["node1"].Server.Archiver = &planner.Archiver{
		Archived: 4, LastWAL: "000000030000000000000004", LastTime: created().Add(-time.Hour), Ready: 7,
		Failed: 3, FailedWAL: "000000030000000000000005", FailedTime: created().Add(-time.Minute),
	}
	bad["node1"].Server.Slots[0].WALStatus = "lost"
	bad["node1"].Server.Slots[0].Active = false
	bad["node3"].Server.Receiver, bad["node3"].Server.ReplayPaused = nil, true
	two := map[string]*planner.NodeFacts{"node1": primaryFacts(), "node2": primaryFacts(), "node3": nil, "node4": {Server: planner.ServerFacts{Running: true, Error: "the database system is starting up"}}}
	for _, tc := range []struct {
		name    string
		nodes   map[string]*planner.NodeFacts
		plan    *planner.Plan
		healthy bool
	}{
		{"status_healthy", healthy, &planner.Plan{ToolVersion: "v1.2.3"}, true},
		{"status_bad", bad, &planner.Plan{
			ToolVersion: "v1.2.3",
			Steps:       []planner.Step{{Cluster: "main"}},
			Findings: []planner.Finding{
				{Severity: schema.SeverityWarning, Cluster: "main", Node: "node1", Summary: "max_wal_senders was changed by hand", Detail: "The file declares 10."},
				{Severity: schema.SeverityError, Cluster: "main", Node: "node2", Summary: "could not be observed", Detail: "Bring it back."},
			},
		}, false},
		{"status_two_primaries", two, &planner.Plan{}, false},
		{"status_nothing", map[string]*planner.NodeFacts{"node1": {}, "node2": {}, "node3": {}, "node4": {}}, &planner.Plan{}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := NewStatus(statusConfig(), observed(tc.nodes), tc.plan, created())
			if s.Healthy != tc.healthy {
				t.Errorf("healthy is %v", s.Healthy)
			}
			var b bytes.Buffer
			StatusHuman(&b, Style{}, s)
			golden(t, tc.name+".txt", b.Bytes())
			b.Reset()
			if err := WriteJSON(&b, s); err != nil {
				t.Fatal(err)
			}
			golden(t, tc.name+".json", b.Bytes())
		})
	}
}

func TestArchiveOff(t *testing.T) {
	nodes := map[string]*planner.NodeFacts{"node1": primaryFacts()}
	nodes["node1"].Server.Settings = map[string]postgres.Setting{"archive_mode": {Name: "archive_mode", Value: "off"}}
	s := NewStatus(statusConfig(), observed(nodes), &planner.Plan{}, created())
	if got := s.Clusters[0].Archive.State; got != "off" {
		t.Errorf("archive is %q, want off", got)
	}
}
