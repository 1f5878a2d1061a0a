package main

import (
	"slices"
	"testing"
	"time"

	"pg_manage/cmd/internal/view"
	"pg_manage/planner"
	"pg_manage/schema"
)

func labelsOf(all []view.ExpireVerdict) []string {
	var out []string
	for _, v := range all {
		out = append(out, v.Label)
	}
	return out
}

// Two configurations may have a cluster "main" at one target: the rules of one say nothing
// of what the other has there.
func TestExpireLeavesTheBackupsOfAnotherClusterAlone(t *testing.T) {
	now := time.Date(2026, 11, 25, 0, 0, 0, 0, time.UTC)
	nas := &schema.Target{Name: "nas", URL: schema.URL{Scheme: "file", Path: "/nas"}, BackupDir: "backups"}
	c := &schema.Cluster{Name: "main", Backups: []*schema.Backup{{Name: "nightly", Target: nas, Keep: schema.Keep{Full: 1}}}}
	cat := planner.CatalogFact{Target: "nas", Cluster: "main", Known: true}
	for i, label := range []string{"theirs-1", "ours-1", "theirs-2", "ours-2"} {
		at := now.Add(time.Duration(i-10) * time.Hour)
		id := map[string]string{"t": "7000000000000000002", "o": "7000000000000000001"}[label[:1]]
		cat.Backups = append(cat.Backups, planner.BackupFact{Label: label, Kind: "full", SystemIdentifier: id, PostgreSQL: "17.2", Timeline: 1, StartTime: at, StopTime: at})
	}
	f := &planner.NodeFacts{}
	f.Data.SystemIdentifier = "7000000000000000001"
	got := retire(keeper{cluster: c, facts: f}, cat, nil, now)
	if gone := labelsOf(got.Remove); !slices.Equal(gone, []string{"ours-1"}) {
		t.Errorf("removes %v", gone)
	}
	if kept := labelsOf(got.Keep); !slices.Equal(kept, []string{"theirs-1", "theirs-2", "ours-2"}) {
		t.Errorf("keeps %v", kept)
	}
}
