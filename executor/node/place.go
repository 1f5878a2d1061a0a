package node

import (
	"strings"

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

// NewLocateRequest asks for the point that a restore leads to, where the WAL of its source
// lies: at what the source declares, where it is in the same files, else at the target of
// the backup.
func NewLocateRequest(cfg *schema.Config, want *schema.Restore, stateDir string) (LocateRequest, error) {
	p, err := planner.PointOf(want.RecoveryTarget)
	if err != nil {
		return LocateRequest{}, err
	}
	r := LocateRequest{
		Version: Version, Place: PlaceOf(want.Cluster, want.Target), Archives: []repo.Target{TargetOf(want.Target)}, Backup: want.Backup,
		Recovery: Recovery{Time: p.Time, LSN: p.LSN, XID: p.XID, Name: p.Name, Immediate: p.Immediate, Exclusive: p.Exclusive, Timeline: want.Timeline},
		StateDir: stateDir,
	}
	for _, c := range cfg.Clusters {
		if c.Name == want.Cluster {
			r.Archives = ArchivesOf(c)
		}
	}
	return r, nil
}

// Preload are the libraries that a server loads when it starts, which a copy of it needs too.
func Preload(f *planner.NodeFacts) []string {
	if f == nil {
		return nil
	}
	var out []string
	for name := range strings.SplitSeq(f.Server.Settings["shared_preload_libraries"].Value, ",") {
		if name = strings.Trim(strings.TrimSpace(name), `"`); name != "" {
			out = append(out, name)
		}
	}
	return out
}
