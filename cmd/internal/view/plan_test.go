package view

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"pg_manage/planner"
	"pg_manage/schema"
)

func created() time.Time { return time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC) }

// fullPlan has one of everything that a page can show.
func fullPlan() *planner.Plan {
	return &planner.Plan{
		FormatVersion: "1.0", ToolVersion: "v1.2.3", Created: created(), Clusters: []string{"main", "other", "idle"}, Fingerprint: "abc",
		Findings: []planner.Finding{
			{Severity: schema.SeverityWarning, Cluster: "main", Node: "node2", Summary: "work_mem is set in postgresql.auto.conf", Detail: "It overrides the file."},
			{Severity: schema.SeverityError, Cluster: "other", Node: "n1", Summary: "unreachable: n1: cannot connect: connection refused"},
		},
		Steps: []planner.Step{
			{
				ID: "main/node1/write-settings", Kind: planner.KindSettings, Action: planner.ActionUpdate, Cluster: "main", Node: "node1",
				Summary: "write settings to /etc/postgresql/17/main/pg_manage.conf", Reason: "two settings differ from what is declared", Effect: planner.EffectNone,
				Changes: []planner.Change{
					{Name: "shared_buffers", Before: "128MB", After: "256MB", Note: "requires restart"},
					{Name: "work_mem", After: "8MB"},
					{Name: "log_line_prefix", Before: "%m [%p] %q%u@%d ", Note: "no longer declared"},
					{Name: "primary_conninfo", Before: "password=hunter2", After: "password=hunter2", Sensitive: true},
					{Name: "lines", Before: "a", After: "b\nc\nd"},
				},
				Commands: []string{"one", "two\nlines", "three", "four"},
				Undo:     "the file is put back",
			},
			{
				ID: "main/node1/restart", Kind: planner.KindRestart, Action: planner.ActionUpdate, Cluster: "main", Node: "node1",
				Summary: "restart PostgreSQL", Reason: "shared_buffers takes effect at a restart", Effect: planner.EffectRestart,
				Commands: []string{"systemctl restart postgresql@17-main"}, Needs: []string{"main/node1/write-settings"},
			},
			{
				ID: "main/node2/build-standby", Kind: planner.KindBuild, Action: planner.ActionReplace, Cluster: "main", Node: "node2",
				Summary: "build standby from node1", Reason: "its data directory belongs to another cluster \x1b[31m(system identifier 7)", Effect: planner.EffectDataLoss,
			},
			{
				ID: "main/node1/drop-slot/old", Kind: planner.KindDropSlot, Action: planner.ActionRemove, Cluster: "main", Node: "node1",
				Summary: "drop replication slot old", Reason: "no node uses it", Effect: planner.EffectNone,
			},
			{
				ID: "other/n2/build-standby", Kind: planner.KindBuild, Action: planner.ActionCreate, Cluster: "other", Node: "n2",
				Summary: "build standby from n1", Reason: "its data directory is absent", Effect: planner.EffectReload, Blocked: "n1 could not be observed",
			},
		},
		Unchanged: []string{"idle/a", "idle/b"},
	}
}

func TestPlanHuman(t *testing.T) {
	for _, tc := range []struct {
		name string
		plan *planner.Plan
		st   Style
		opt  PlanOptions
	}{
		{"plan_full.txt", fullPlan(), Style{}, PlanOptions{Apply: "pg_manage apply"}},
		{"plan_verbose.txt", fullPlan(), Style{Width: 120}, PlanOptions{Apply: "pg_manage apply main.plan", SavedTo: "main.plan", Commands: true}},
		{"plan_color.txt", fullPlan(), Style{Color: true}, PlanOptions{Consent: true}},
		{"plan_empty.txt", &planner.Plan{Clusters: []string{"main"}, Unchanged: []string{"main/node1"}}, Style{}, PlanOptions{Apply: "pg_manage apply"}},
		{"plan_no_steps.txt", &planner.Plan{Findings: []planner.Finding{{Severity: schema.SeverityError, Cluster: "main", Summary: "two primaries", Detail: "node1 is on timeline 1 at 0/3000000, node2 on timeline 2 at 0/4000000."}}}, Style{}, PlanOptions{}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var b bytes.Buffer
			PlanHuman(&b, tc.st, tc.plan, tc.opt)
			golden(t, tc.name, b.Bytes())
			if !tc.st.Color && strings.Contains(b.String(), "\x1b") {
				t.Error("a plain page holds escape sequences")
			}
		})
	}
}

func TestPlanRecord(t *testing.T) {
	var b bytes.Buffer
	PlanRecord(&b, Style{}, fullPlan(), created().Add(90*time.Minute))
	golden(t, "plan_record.txt", b.Bytes())
}

func TestPlanJSON(t *testing.T) {
	var b bytes.Buffer
	l := NewLines(&b, "plan", "v1.2.3")
	PlanJSON(l, fullPlan(), PlanOptions{SavedTo: "main.plan"})
	if err := l.Err(); err != nil {
		t.Fatal(err)
	}
	golden(t, "plan_full.jsonl", b.Bytes())
	for i, line := range strings.Split(strings.TrimSpace(b.String()), "\n") {
		var head struct {
			Type          string `json:"type"`
			FormatVersion string `json:"format_version"`
		}
		if err := json.Unmarshal([]byte(line), &head); err != nil || head.Type == "" {
			t.Errorf("line %d is no object with a type: %v", i+1, err)
		}
		if i == 0 && (head.Type != "version" || head.FormatVersion != FormatVersion) {
			t.Errorf("the first line does not carry the version: %s", line)
		}
	}
}

func TestGraph(t *testing.T) {
	var b bytes.Buffer
	if err := Graph(&b, fullPlan()); err != nil {
		t.Fatal(err)
	}
	golden(t, "graph.dot", b.Bytes())
}

func TestDiagnostics(t *testing.T) {
	at := func(file string, line, from, toLine, to int) *schema.Range {
		return &schema.Range{File: file, Start: schema.Pos{Line: line, Column: from}, End: schema.Pos{Line: toLine, Column: to}}
	}
	ds := schema.Diagnostics{
		{Severity: schema.SeverityError, Summary: "Unknown argument", Detail: `An argument named "prot" is not expected here. Did you mean "port"?`, Range: at("cluster.hcl", 12, 3, 12, 7), Snippet: "  prot = 5432"},
		{Severity: schema.SeverityWarning, Summary: "Over several lines", Range: at("a/b.hcl", 3, 2, 5, 1), Snippet: "\tparameters = {"},
		{Severity: schema.SeverityError, Summary: "No place", Detail: "Some sentence that is long enough to be broken in two when the page has no more than eighty columns.\n  an example that stays as it is"},
		{Severity: schema.SeverityError, Summary: "Past the end", Range: at("c.hcl", 1, 90, 1, 95), Snippet: "ümläut"},
	}
	var b bytes.Buffer
	ValidationHuman(&b, Style{}, ds, nil)
	golden(t, "diagnostics.txt", b.Bytes())
	b.Reset()
	if err := WriteJSON(&b, NewValidation(ds)); err != nil {
		t.Fatal(err)
	}
	golden(t, "diagnostics.json", b.Bytes())
	b.Reset()
	if err := WriteJSON(&b, NewValidation(nil)); err != nil {
		t.Fatal(err)
	}
	golden(t, "valid.json", b.Bytes())
}
