package planner

import (
	"strings"
	"testing"

	"pg_manage/schema"
)

// A declared backup that nobody takes must not pass in silence.
func TestDeclaredBackupsAreToldOf(t *testing.T) {
	cfg := &schema.Config{Clusters: []*schema.Cluster{{
		Name: "main", Version: 17, Backups: []*schema.Backup{{Name: "nightly"}}, Exports: []*schema.Export{{Database: "app"}},
		Nodes: []*schema.Node{{Name: "node1", Host: "h", Address: "h", Role: schema.RolePrimary, Port: 5432}},
	}}}
	var told int
	for _, f := range New(cfg, &Observed{}, Options{}).Findings {
		if f.Severity == schema.SeverityWarning && (strings.Contains(f.Summary, "takes no base backups") || strings.Contains(f.Summary, "makes no exports")) {
			told++
		}
	}
	if told != 2 {
		t.Errorf("%d of 2 were told of", told)
	}
}
