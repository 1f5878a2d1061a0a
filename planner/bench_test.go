package planner

import (
	"fmt"
	"strings"
	"testing"

	"pg_manage/schema"
)

// fleet is many clusters of three nodes. One in ten has a changed parameter.
func fleet(b *testing.B, clusters int) (*schema.Config, *Observed) {
	w := built(b, three())
	cfg, seen := &schema.Config{}, &Observed{Clusters: map[string]*ClusterFacts{}}
	for i := range clusters {
		c := three()
		if i%10 == 0 {
			set("work_mem", "64MB")(c)
		}
		c.Name = fmt.Sprintf("cluster%d", i)
		cfg.Clusters = append(cfg.Clusters, c)
		seen.Clusters[c.Name] = w.named(c.Name)
	}
	return cfg, seen
}

// named gives the facts as if the cluster had this name.
func (w *world) named(name string) *ClusterFacts {
	facts := w.observe(three()).Clusters["main"]
	for _, f := range facts.Nodes {
		for _, text := range []*string{&f.Paths.State, &f.Files.Settings, &f.Files.HookConfig} {
			*text = strings.NewReplacer("/main/", "/"+name+"/", "cluster main.", "cluster "+name+".", `"main"`, `"`+name+`"`).Replace(*text)
			*text = strings.ReplaceAll(*text, "/17/"+name, "/17/main")
		}
		for _, s := range []string{"archive_command", "restore_command", "primary_conninfo"} {
			live := f.Server.Settings[s]
			live.Value = strings.ReplaceAll(live.Value, "/main/", "/"+name+"/")
			f.Server.Settings[s] = live
		}
	}
	return facts
}

func benchmarkPlan(b *testing.B, clusters int) {
	cfg, seen := fleet(b, clusters)
	if p := New(cfg, seen, testOptions()); len(p.Steps) != clusters/10*6 || p.HasErrors() {
		b.Fatalf("%d steps, want 6 for every tenth cluster: %v", len(p.Steps), steps(p)[:min(12, len(p.Steps))])
	}
	b.ReportAllocs()
	for b.Loop() {
		if p := New(cfg, seen, testOptions()); len(p.Clusters) != clusters {
			b.Fatal("clusters are missing")
		}
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/float64(clusters), "µs/cluster")
}

func BenchmarkPlan1000(b *testing.B) { benchmarkPlan(b, 1000) }
func BenchmarkPlan2000(b *testing.B) { benchmarkPlan(b, 2000) }
func BenchmarkPlan4000(b *testing.B) { benchmarkPlan(b, 4000) }
