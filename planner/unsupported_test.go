package planner

import (
	"strings"
	"testing"

	"pg_manage/schema"
)

// A declared export that nobody makes must not pass in silence.
func TestDeclaredExportsAreToldOf(t *testing.T) {
	cfg := &schema.Config{Clusters: []*schema.Cluster{{
		Name: "main", Version: 17, Exports: []*schema.Export{{Database: "app"}},
		Nodes: []*schema.Node{{Name: "node1", Host: "h", Address: "h", Role: schema.RolePrimary, Port: 5432}},
	}}}
	var told int
	for _, f := range New(cfg, &Observed{}, Options{}).Findings {
		if f.Severity == schema.SeverityWarning && strings.Contains(f.Summary, "makes no exports") {
			told++
		}
	}
	if told != 1 {
		t.Errorf("%d of 1 were told of", told)
	}
}
