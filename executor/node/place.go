package node

import (
	"pg_manage/executor/repo"
	"pg_manage/planner"
	"pg_manage/schema"
)

// TargetOf is a declared target as a node opens it.
func TargetOf(t *schema.Target) repo.Target {
	return repo.Target(planner.NewHookConfig(&schema.Cluster{Archives: []*schema.Archive{{Target: t}}}, "", planner.Paths{}).Targets[0])
}

// PlaceOf is where the backups of a cluster lie at a target.
func PlaceOf(cluster string, t *schema.Target) Place {
	return Place{Target: TargetOf(t), BackupDir: t.BackupDir, Cluster: cluster}
}

// ArchivesOf are the archives of a cluster in the order in which they are asked.
func ArchivesOf(c *schema.Cluster) []repo.Target {
	var out []repo.Target
	for _, t := range planner.NewHookConfig(c, "", planner.Paths{}).Targets {
		out = append(out, repo.Target(t))
	}
	return out
}
