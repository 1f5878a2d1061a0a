package layering

import (
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestBrokenImports breaks each rule in a module of its own and reads it back through the go command.
func TestBrokenImports(t *testing.T) {
	tests := map[string]struct {
		files map[string]string // package directory to what its file imports
		want  string            // part of the only complaint; "" for none
	}{
		"a sound module": {map[string]string{
			"schema/postgres": "strings", "schema": "pg_manage/schema/postgres github.com/hashicorp/hcl/v2 os net/url",
			"planner": "pg_manage/schema time", "executor/remote": "os/exec net",
			"executor/wal": "pg_manage/executor/remote pg_manage/schema/postgres",
			"executor":     "pg_manage/planner pg_manage/executor/wal", "cmd/pg_manage": "pg_manage/executor pg_manage/cmd/internal/view",
			"cmd/internal/view": "pg_manage/planner", "cmd/pg_manage-hook": "pg_manage/executor/wal/call", "executor/wal/call": "syscall strings path",
		}, ""},
		"postgres imports schema's peer":   {map[string]string{"schema/postgres": "pg_manage/executor/event", "executor/event": ""}, "against the order"},
		"postgres needs a library":         {map[string]string{"schema/postgres": "github.com/jackc/pgx/v5"}, "standard library alone"},
		"schema imports planner":           {map[string]string{"schema": "pg_manage/planner", "planner": ""}, "against the order"},
		"planner imports executor":         {map[string]string{"planner": "pg_manage/executor/event", "executor/event": ""}, "against the order"},
		"executor/x imports executor":      {map[string]string{"executor/wal": "pg_manage/executor", "executor": ""}, "against the order"},
		"executor imports cmd":             {map[string]string{"executor": "pg_manage/cmd/internal/view", "cmd/internal/view": ""}, "against the order"},
		"planner runs programs":            {map[string]string{"planner": "os/exec"}, "planning touches no network"},
		"planner dials through schema":     {map[string]string{"planner": "pg_manage/schema", "schema": "net"}, "planning touches no network"},
		"planner links pgx":                {map[string]string{"planner": "github.com/jackc/pgx/v5"}, "planning touches no network"},
		"planner throws dice":              {map[string]string{"planner": "math/rand/v2"}, "nothing to chance"},
		"planner opens files":              {map[string]string{"planner": "os"}, "does no I/O"},
		"cmd knows hcl":                    {map[string]string{"cmd/pg_manage": "github.com/hashicorp/hcl/v2"}, "only schema knows"},
		"executor knows cty":               {map[string]string{"executor/observe": "github.com/zclconf/go-cty/cty"}, "only schema knows"},
		"hook parses flags with cobra":     {map[string]string{"cmd/pg_manage-hook": "github.com/spf13/cobra"}, "must stay lean"},
		"hook links pgx from below":        {map[string]string{"cmd/pg_manage-hook": "pg_manage/executor/wal/call", "executor/wal/call": "github.com/jackc/pgx/v5"}, "must stay lean"},
		"hook links an S3 client":          {map[string]string{"cmd/pg_manage-hook": "github.com/minio/minio-go/v7"}, "must stay lean"},
		"hook links schema":                {map[string]string{"cmd/pg_manage-hook": "pg_manage/executor/repo", "executor/repo": "pg_manage/schema", "schema": ""}, "must stay lean"},
		"hook links what it stands before": {map[string]string{"cmd/pg_manage-hook": "pg_manage/executor/wal", "executor/wal": ""}, "must stay lean"},
		"hook reads arguments with os":     {map[string]string{"cmd/pg_manage-hook": "os"}, "must stay lean"},
		"hook joins paths with filepath":   {map[string]string{"cmd/pg_manage-hook": "path/filepath"}, "must stay lean"},
		"hook waits for signals":           {map[string]string{"cmd/pg_manage-hook": "pg_manage/executor/wal/call", "executor/wal/call": "os/signal"}, "must stay lean"},
		"hook links the patient way":       {map[string]string{"cmd/pg_manage-hook": "pg_manage/executor/wal/call/patient", "executor/wal/call/patient": ""}, "must stay lean"},
		"hook opens sockets with net":      {map[string]string{"cmd/pg_manage-hook": "net"}, "must stay lean"},
		"a package named for nothing":      {map[string]string{"executor/util": ""}, "named for what it does"},
		"a package outside of the layers":  {map[string]string{"tools/x": ""}, "in no layer"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			write(t, filepath.Join(dir, "go.mod"), "module pg_manage\n\ngo 1.26\n")
			for pkgDir, imports := range tt.files {
				text := "package " + strings.NewReplacer("-", "_", "/", "_").Replace(pkgDir) + "\n"
				for _, imp := range strings.Fields(imports) {
					text += "import _ \"" + imp + "\"\n"
				}
				write(t, filepath.Join(dir, pkgDir, "x.go"), text)
			}
			pkgs, err := list(dir)
			if err != nil {
				t.Fatal(err)
			}
			expect(t, checkImports(pkgs), tt.want)
		})
	}
}

func TestBrokenSource(t *testing.T) {
	tests := map[string]struct{ name, text, want string }{
		"sound":                  {"executor/x.go", "package x\nimport \"time\"\nvar _ = time.Now\nfunc (x) init() {}\ntype x int\n", ""},
		"exit in main":           {"cmd/pg_manage/main.go", "package main\nimport \"os\"\nfunc main() { os.Exit(1) }\n", ""},
		"exit beside main":       {"cmd/pg_manage/x.go", "package main\nimport \"os\"\nfunc fail() { os.Exit(1) }\n", "os.Exit outside main"},
		"exit elsewhere":         {"executor/x.go", "package x\nimport \"os\"\nfunc main() { os.Exit(1) }\n", "os.Exit outside main"},
		"exit under a new name":  {"executor/x.go", "package x\nimport sys \"os\"\nvar f = func() { sys.Exit(1) }\n", "os.Exit outside main"},
		"exit by the kernel":     {"executor/x.go", "package x\nimport \"syscall\"\nfunc f() { syscall.Exit(1) }\n", "syscall.Exit outside main"},
		"kernel's exit in main":  {"cmd/pg_manage-hook/main.go", "package main\nimport \"syscall\"\nfunc main() { syscall.Exit(1) }\n", ""},
		"exit in TestMain":       {"executor/x_test.go", "package x\nimport \"os\"\nfunc TestMain() { os.Exit(1) }\n", ""},
		"exit in a test":         {"executor/x_test.go", "package x\nimport \"os\"\nfunc TestX() { os.Exit(1) }\n", "os.Exit outside main"},
		"TestMain outside tests": {"executor/x.go", "package x\nimport \"os\"\nfunc TestMain() { os.Exit(1) }\n", "os.Exit outside main"},
		"fatal log":              {"executor/x.go", "package x\nimport \"log\"\nfunc f() { log.Fatalf(\"\") }\n", "log.Fatalf outside main"},
		"init":                   {"executor/x.go", "package x\nfunc init() {}\n", "init function"},
		"skip":                   {"executor/x_test.go", "package x\nimport \"testing\"\nfunc TestX(t *testing.T) { t.Skip(\"no root\") }\n", "t.Skip"},
		"skip in a subtest":      {"executor/x_test.go", "package x\nimport \"testing\"\nfunc f(tb testing.TB) { func() { tb.SkipNow() }() }\n", "tb.SkipNow"},
		"short":                  {"executor/x_test.go", "package x\nimport \"testing\"\nfunc f() bool { return testing.Short() }\n", "testing.Short"},
		"another Skip":           {"executor/x.go", "package x\nfunc f(dec interface{ Skip() }) { dec.Skip() }\n", ""},
		"clock in planner":       {"planner/x.go", "package planner\nimport \"time\"\nvar now = time.Now\n", "no clock"},
		"age in planner":         {"planner/x.go", "package planner\nimport t \"time\"\nfunc f(x t.Time) any { return t.Since(x) }\n", "no clock"},
		"time zone in planner":   {"planner/x.go", "package planner\nimport \"time\"\nvar z = time.Local\n", "no clock"},
		"clock in planner tests": {"planner/x_test.go", "package planner\nimport \"time\"\nvar now = time.Now\n", ""},
		"a time in planner":      {"planner/x.go", "package planner\nimport \"time\"\nfunc f(now, then time.Time) any { return now.Sub(then) }\n", ""},
		"chance in planner":      {"planner/x.go", "package planner\nimport \"math/rand/v2\"\nvar n = rand.Int()\n", "chance"},
		"a hidden import":        {"planner/x.go", "package planner\nimport \"time\"\nvar _ time.Time\ntype c struct{}\nfunc (c) Now() {}\nfunc f() { time := c{}; time.Now() }\n", ""},
		"too long":               {"executor/x.go", "package x\n" + strings.Repeat("\n", maxLines), "more than 450"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			fset := token.NewFileSet()
			file, err := parser.ParseFile(fset, tt.name, tt.text, 0)
			if err != nil {
				t.Fatal(err)
			}
			expect(t, checkSource(fset, tt.name, file), tt.want)
		})
	}
}

func TestBrokenTopLevel(t *testing.T) {
	expect(t, checkTopLevel([]string{".git", ".ci", "cmd", "bin", "cpu.prof", "README.md"}, "/bin/\n*.prof\n"), "")
	expect(t, checkTopLevel([]string{"internal"}, "/bin/\n"), "internal: not one of")
	expect(t, checkTopLevel([]string{"Makefile", "cmd"}, ""), "Makefile: not one of")
}

// expect wants exactly one complaint with the text, or none for "".
func expect(t *testing.T, got []string, want string) {
	t.Helper()
	if want == "" && len(got) > 0 || want != "" && (len(got) != 1 || !strings.Contains(got[0], want)) {
		t.Errorf("complaints %q, want one with %q", got, want)
	}
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
