package node

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"pg_manage/planner"
	"pg_manage/schema"
)

// TestPropertyNodesRemoveWhatRetentionLetsGo: else the plan would never be empty.
func TestPropertyNodesRemoveWhatRetentionLetsGo(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	rapid.Check(t, func(t *rapid.T) {
		hours := func(what string, most int) time.Duration {
			return time.Duration(rapid.IntRange(0, most).Draw(t, what)) * time.Hour
		}
		var all []planner.BackupFact
		for i := range rapid.IntRange(1, 10).Draw(t, "backups") {
			b := planner.BackupFact{
				Label: fmt.Sprintf("b%02d", rapid.IntRange(0, 9).Draw(t, "name")*10+i), Kind: "full", SystemIdentifier: "77", PostgreSQL: "17.6", Timeline: 1, WAL: "archive",
				StartTime: now.Add(-hours("age", 20)), Pinned: rapid.IntRange(0, 9).Draw(t, "pinned") == 0,
			}
			b.StopTime = b.StartTime.Add(hours("took", 20)) // they may overlap, and clocks be wrong
			if len(all) > 0 && rapid.Bool().Draw(t, "incremental") {
				p := rapid.SampledFrom(all).Draw(t, "parent")
				b.Kind, b.Parent, b.Broken = "incremental", p.Label, p.Broken
			}
			if rapid.IntRange(0, 5).Draw(t, "damaged") == 0 {
				b.Damaged = 1
			}
			if rapid.IntRange(0, 5).Draw(t, "broken") == 0 {
				b.Broken = "a part is missing"
			}
			all = append(all, b)
		}
		rule := func(what string) time.Duration {
			if rapid.Bool().Draw(t, "by "+what) {
				return hours(what, 20)
			}
			return 0
		}
		all = rapid.Permutation(all).Draw(t, "order")
		keep := schema.Keep{Full: rapid.IntRange(0, 3).Draw(t, "full"), Age: rule("young"), Window: rule("window")}
		gone := planner.Retain(planner.RetentionInput{Backups: all, Rules: []schema.Keep{keep}, Now: now}).Expired
		if err := expendable(all, gone); err != nil {
			t.Fatalf("%v would be removed: %v", gone, err)
		}
	})
}
