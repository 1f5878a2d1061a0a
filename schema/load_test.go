package schema

import (
	"os"
	"path/filepath"
	"testing"
)

// fakeEnv looks names up in a map instead of the process's environment.
func fakeEnv(m map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) { v, ok := m[name]; return v, ok }
}

func TestExamplesLoad(t *testing.T) {
	dirs, err := filepath.Glob("../examples/*/cluster.hcl")
	if err != nil || len(dirs) < 2 {
		t.Fatalf("found %v, %v", dirs, err)
	}
	for _, file := range dirs {
		t.Run(filepath.Base(filepath.Dir(file)), func(t *testing.T) {
			cfg, ds := Load(filepath.Dir(file), LoadOptions{Getenv: fakeEnv(map[string]string{"REPLICATION_PASSWORD": "s3cr3t-word"})})
			for _, d := range ds {
				t.Errorf("%s: %s: %s\n%s", d.Range, d.Severity, d.Summary, d.Detail)
			}
			if cfg == nil || len(cfg.Clusters) != 1 || len(cfg.Clusters[0].Nodes) < 2 {
				t.Fatalf("got %+v", cfg)
			}
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if formatted, _ := Format("main.hcl", text); string(formatted) != string(text) {
				t.Errorf("not in the canonical layout, which is:\n%s", formatted)
			}
		})
	}
}
