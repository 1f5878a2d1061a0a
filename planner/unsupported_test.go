package planner

import (
	"strings"
	"testing"
	"time"

	"pg_manage/schema"
)

// What the archive cannot keep of what is declared must stop it: WAL that was to be
// encrypted is never stored as it is.
func TestUnsupportedArchiveStopsTheCluster(t *testing.T) {
	for name, change := range map[string]func(*schema.Target){
		"s3": func(t *schema.Target) { t.URL = schema.URL{Scheme: "s3", Host: "bucket", Path: "/wal"} },
		"encryption": func(t *schema.Target) {
			t.Recipients = []string{"age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"}
		},
		"lz4": func(t *schema.Target) { t.Compression = "lz4" },
	} {
		t.Run(name, func(t *testing.T) {
			target := &schema.Target{Name: "nas", URL: schema.URL{Scheme: "ssh", Host: "nas", Path: "/b"}, ArchiveDir: "pg_archlog", Compression: "zstd"}
			change(target)
			cfg := &schema.Config{Clusters: []*schema.Cluster{{
				Name: "main", Version: 17, Archive: &schema.Archive{Target: target},
				Nodes: []*schema.Node{{Name: "node1", Host: "h", Address: "h", Role: schema.RolePrimary, Port: 5432}},
			}}}
			p := New(cfg, &Observed{}, Options{Now: time.Unix(0, 0)})
			if len(p.Steps) != 0 || !p.HasErrors() || !strings.Contains(p.Findings[0].Summary, "do not support") {
				t.Errorf("%d steps, findings %+v", len(p.Steps), p.Findings)
			}
		})
	}
}

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
