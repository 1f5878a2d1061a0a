package main

import (
	"os"
	"syscall"
	"testing"

	"pg_manage/planner"
	"pg_manage/schema"
)

func interrupt(t *testing.T) {
	t.Helper()
	if err := syscall.Kill(os.Getpid(), syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
}

func TestRoleOf(t *testing.T) {
	yes, no := true, false
	for _, tc := range []struct {
		name  string
		facts *planner.NodeFacts
		asked schema.Role
		want  *bool
	}{
		{"primary is primary", &planner.NodeFacts{Server: planner.ServerFacts{Running: true, Accepting: true}}, schema.RolePrimary, &yes},
		{"primary is no standby", &planner.NodeFacts{Server: planner.ServerFacts{Running: true, Accepting: true}}, schema.RoleStandby, &no},
		{"standby is standby", &planner.NodeFacts{Server: planner.ServerFacts{Running: true, Accepting: true, InRecovery: true}}, schema.RoleStandby, &yes},
		{"standby is no primary", &planner.NodeFacts{Server: planner.ServerFacts{Running: true, Accepting: true, InRecovery: true}}, schema.RolePrimary, &no},
		{"stopped", &planner.NodeFacts{Data: planner.DataFacts{State: planner.DataCluster}}, schema.RolePrimary, &no},
		{"no answer", &planner.NodeFacts{Server: planner.ServerFacts{Running: true, Error: "starting up"}}, schema.RolePrimary, nil},
		{"unreachable", &planner.NodeFacts{Unreachable: "refused"}, schema.RolePrimary, nil},
		{"unreadable", &planner.NodeFacts{Data: planner.DataFacts{State: planner.DataUnknown, Error: "denied"}}, schema.RolePrimary, nil},
		{"not looked at", nil, schema.RoleStandby, nil},
	} {
		got := roleOf("main", "node1", tc.asked, tc.facts)
		switch {
		case (got.Result == nil) != (tc.want == nil), got.Result != nil && *got.Result != *tc.want:
			t.Errorf("%s: got %+v", tc.name, got)
		case got.Result == nil && got.Reason == "":
			t.Errorf("%s: no reason is given", tc.name)
		}
	}
}
