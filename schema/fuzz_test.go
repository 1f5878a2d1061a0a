package schema

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"unicode/utf8"
)

// FuzzLoad holds every input against what a load promises: no panic, a Config
// exactly where there is no error, and findings that say where and what.
func FuzzLoad(f *testing.F) {
	for _, pattern := range []string{"testdata/diag/*.hcl", "testdata/good/*.hcl", "../examples/*/*.hcl"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			f.Fatal(err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(text)
		}
	}
	f.Add([]byte("locals {\n a = [for k, v in { x = env(\"PW\") } : try(k[v], can(v), sensitive(v))]\n b = merge(local.a...)\n}"))
	f.Add([]byte("locals {\n a = { for x in [env(\"PW\"), null] : x => x... }\n b = \"%{ if true }x%{ endif }\"\n c = local.a[*].b\n}"))
	f.Fuzz(func(t *testing.T, text []byte) {
		cfg, ds := LoadFiles(map[string][]byte{"main.hcl": text}, LoadOptions{
			Vars:     map[string]string{"size": "1GB", "hosts": `["a", "b", "c"]`},
			Getenv:   testEnv(),
			ReadFile: func(string) ([]byte, error) { return nil, errors.New("no files here") },
		})
		if (cfg == nil) != ds.HasErrors() {
			t.Errorf("config is nil: %v, errors: %v", cfg == nil, ds.HasErrors())
		}
		for _, d := range ds {
			if d.Summary == "" || !utf8.ValidString(d.Snippet) {
				t.Errorf("%+v", d)
			}
			if d.Range != nil && (d.Range.Start.Byte > len(text) || d.Range.End.Byte > len(text)+1) && d.Range.File == "main.hcl" {
				t.Errorf("place outside of the text of %d bytes: %+v", len(text), d.Range)
			}
		}
		if out, fd := Format("main.hcl", text); !fd.HasErrors() {
			if _, again := Format("main.hcl", out); again.HasErrors() {
				t.Errorf("formatting broke %q: %q", text, out)
			}
		}
	})
}
