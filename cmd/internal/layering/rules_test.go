package layering

import (
	"fmt"
	"slices"
	"strings"
)

// pkg is what the rules read of one package in the output of `go list -deps -json`.
type pkg struct {
	ImportPath string
	Standard   bool
	Imports    []string
	Deps       []string // transitive
	Module     *struct{ Path string }
}

const module = "pg_manage"

// layers is the import order, lowest first: a package imports only packages of lower layers. Only within `siblings` may
// packages of one layer import each other.
var layers = []struct {
	path     string
	below    bool // the packages below path, not path itself
	siblings bool
}{
	{path: "schema/postgres"},
	{path: "schema"},
	{path: "planner"},
	{path: "executor", below: true, siblings: true},
	{path: "executor"},
	{path: "cmd", below: true, siblings: true},
}

// pure lists what a package without I/O, clock and chance must not link. net/url and net/netip only take text apart.
var pure = []string{"net", "net/...", "os/exec", "os/signal", "syscall/js", "github.com/jackc/...", "golang.org/x/crypto/ssh/...", "github.com/pkg/sftp/..."}

// lean lists what the hook binary links of ours, and heavy what it must not link of the standard library: it starts once
// per WAL file, and has no need of anybody else's packages. Package os alone makes a call a tenth slower.
var (
	lean  = []string{module + "/cmd/pg_manage-hook", module + "/executor/wal/call"}
	heavy = []string{"os", "os/...", "path/filepath", "context", "time", "reflect", "fmt", "net", "net/...", "encoding/json", "log/...", "crypto/...", "text/...", "regexp"}
)

// language lists what only the schema package imports.
var language = []string{"github.com/hashicorp/hcl/...", "github.com/zclconf/..."}

// matches tells whether an import path is one of the patterns; "p/..." is p and all below it, as the go command has it.
func matches(path string, patterns []string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		if prefix, ok := strings.CutSuffix(p, "/..."); ok {
			return path == prefix || strings.HasPrefix(path, prefix+"/")
		}
		return path == p
	})
}

// layerOf returns the index of a package's layer, -1 for a package that has none.
func layerOf(path string) int {
	rel, ok := strings.CutPrefix(path, module+"/")
	if !ok {
		return -1
	}
	for i, l := range layers {
		if l.below && strings.HasPrefix(rel, l.path+"/") || !l.below && rel == l.path {
			return i
		}
	}
	return -1
}

// checkImports holds packages to the import order and to the rules on what may be linked where.
func checkImports(pkgs []pkg) []string {
	var bad []string
	report := func(format string, args ...any) { bad = append(bad, fmt.Sprintf(format, args...)) }
	for _, p := range pkgs {
		rel, own := strings.CutPrefix(p.ImportPath, module+"/")
		if !own {
			continue
		}
		layer := layerOf(p.ImportPath)
		if layer < 0 {
			report("%s is in no layer: packages live in schema, schema/postgres, planner, executor and cmd", p.ImportPath)
			continue
		}
		if base := rel[strings.LastIndex(rel, "/")+1:]; slices.Contains([]string{"util", "utils", "common", "helper", "helpers", "misc"}, base) {
			report("%s: a package is named for what it does", p.ImportPath)
		}
		for _, imp := range p.Imports {
			if matches(imp, language) && rel != "schema" {
				report("%s imports %s: only schema knows the language's libraries", p.ImportPath, imp)
			}
			if !strings.HasPrefix(imp, module+"/") {
				continue
			}
			if to := layerOf(imp); to > layer || to == layer && !layers[layer].siblings {
				report("%s imports %s: against the order schema/postgres, schema, planner, executor/*, executor, cmd", p.ImportPath, imp)
			}
		}
		switch {
		case rel == "schema/postgres":
			for _, imp := range p.Deps {
				if strings.Contains(strings.SplitN(imp, "/", 2)[0], ".") && !strings.HasPrefix(imp, "vendor/") {
					report("%s depends on %s: it is made of the standard library alone", p.ImportPath, imp)
				}
			}
		case rel == "planner" || strings.HasPrefix(rel, "planner/"):
			for _, d := range p.Deps {
				if matches(d, pure) && d != "net/url" && d != "net/netip" {
					report("%s depends on %s: planning touches no network and runs nothing", p.ImportPath, d)
				}
			}
			for _, imp := range p.Imports {
				if matches(imp, []string{"math/rand/...", "crypto/rand", "os", "os/user", "io/ioutil", "syscall", "golang.org/x/sys/..."}) {
					report("%s imports %s: planning does no I/O and leaves nothing to chance", p.ImportPath, imp)
				}
			}
		case rel == "cmd/pg_manage-hook":
			for _, d := range p.Deps {
				if matches(d, heavy) || strings.Contains(strings.SplitN(d, "/", 2)[0], ".") || strings.HasPrefix(d, module+"/") && !matches(d, lean) {
					report("%s links %s: it starts once per WAL file and must stay lean", p.ImportPath, d)
					break // what that one links is its own affair
				}
			}
		}
	}
	return bad
}
