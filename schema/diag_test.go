package schema

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files anew")

// testEnv is the environment of the tests that load files.
func testEnv() func(string) (string, bool) {
	return fakeEnv(map[string]string{"PW": "s3cr3t-word", "REPLICATION_PASSWORD_2": "x"})
}

// render writes diagnostics down with everything that a view could show.
func render(ds Diagnostics) string {
	var b strings.Builder
	for _, d := range ds {
		fmt.Fprintf(&b, "%s: %s\n", d.Severity, d.Summary)
		if d.Range != nil {
			fmt.Fprintf(&b, "  at %s to %d,%d\n", d.Range, d.Range.End.Line, d.Range.End.Column)
			fmt.Fprintf(&b, "  | %s\n", d.Snippet)
		}
		for line := range strings.SplitSeq(d.Detail, "\n") {
			fmt.Fprintf(&b, "  %s\n", line)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func TestDiagnostics(t *testing.T) {
	files, err := filepath.Glob("testdata/diag/*.hcl")
	if err != nil || len(files) < 50 {
		t.Fatalf("found %d files, %v", len(files), err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".hcl")
		t.Run(name, func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			cfg, ds := LoadFiles(map[string][]byte{"main.hcl": text}, LoadOptions{Getenv: testEnv()})
			if (cfg == nil) != ds.HasErrors() {
				t.Errorf("config is nil: %v, errors: %v", cfg == nil, ds.HasErrors())
			}
			for _, d := range ds {
				checkDiagnostic(t, d)
			}
			got := render(ds)
			for _, secret := range []string{"hunter2", "s3cr3t-word"} {
				if strings.Contains(got, secret) {
					t.Errorf("a secret shows:\n%s", got)
				}
			}
			golden := strings.TrimSuffix(file, ".hcl") + ".golden"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("want - got +, or run with -update:\n%s", diff)
			}
		})
	}
}

// checkDiagnostic holds one finding against what every finding owes its reader.
func checkDiagnostic(t *testing.T, d Diagnostic) {
	t.Helper()
	if d.Detail == "" {
		t.Errorf("%q does not say what to do", d.Summary)
	}
	if strings.HasSuffix(d.Summary, ".") || strings.Contains(d.Summary, "\n") {
		t.Errorf("summary %q is not one line without a full stop", d.Summary)
	}
	if d.Range == nil || d.Range.File != "main.hcl" || d.Range.Start.Line < 1 || d.Range.Start.Column < 1 || d.Range.End.Byte < d.Range.Start.Byte {
		t.Errorf("%q has no place: %+v", d.Summary, d.Range)
	}
	if d.Snippet == "" && d.Range != nil && d.Range.Start.Byte > 0 {
		t.Errorf("%q at %s has no source line", d.Summary, d.Range)
	}
}
