package planner

import (
	"fmt"
	"testing"

	"pg_manage/schema"
)

// fleet is many clusters of three nodes. One in ten has a changed parameter.
func fleet(b *testing.B, clusters int) (*schema.Config, *Observed) {
	facts := built(b, three()).observe(three()).Clusters["main"]
	cfg, seen := &schema.Config{}, &Observed{Clusters: map[string]*ClusterFacts{}}
	for i := range clusters {
		c := three()
		if i%10 == 0 {
			set("work_mem", "64MB")(c)
		}
		c.Name = fmt.Sprintf("cluster%d", i)
		cfg.Clusters = append(cfg.Clusters, c)
		seen.Clusters[c.Name] = facts
	}
	return cfg, seen
}

func benchmarkPlan(b *testing.B, clusters int) {
	cfg, seen := fleet(b, clusters)
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
