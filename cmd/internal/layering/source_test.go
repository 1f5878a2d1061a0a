package layering

import (
	"fmt"
	"go/ast"
	"go/token"
	"path"
	"slices"
	"strconv"
	"strings"
)

// maxLines is the longest a Go file may be before it must be split by concern.
const maxLines = 450

// checkSource holds one file to the rules on its text. Its name is relative to the module's root, with slashes.
func checkSource(fset *token.FileSet, name string, file *ast.File) []string {
	var bad []string
	report := func(n ast.Node, format string, args ...any) {
		bad = append(bad, fmt.Sprintf("%s:%d: %s", name, fset.Position(n.Pos()).Line, fmt.Sprintf(format, args...)))
	}
	if lines := fset.File(file.FileStart).LineCount(); lines > maxLines {
		bad = append(bad, fmt.Sprintf("%s: %d lines, more than %d: split it by concern", name, lines, maxLines))
	}
	imports := importNames(file)
	pureFile := strings.HasPrefix(name, "planner/") && !strings.HasSuffix(name, "_test.go")

	for _, decl := range file.Decls {
		fn, isFunc := decl.(*ast.FuncDecl)
		inMain := isFunc && fn.Recv == nil && (file.Name.Name == "main" && fn.Name.Name == "main" ||
			strings.HasSuffix(name, "_test.go") && fn.Name.Name == "TestMain") // the main of a test binary
		if isFunc && fn.Recv == nil && fn.Name.Name == "init" {
			report(fn, "init function: what it does has no caller to read it from")
		}
		ast.Inspect(decl, func(n ast.Node) bool {
			sel, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			x, ok := sel.X.(*ast.Ident)
			if !ok {
				return true
			}
			from := imports[x.Name]
			if x.Obj != nil { // a local name hides the import
				from = ""
			}
			call := from + "." + sel.Sel.Name
			switch {
			case !inMain && slices.Contains([]string{"os.Exit", "log.Fatal", "log.Fatalf", "log.Fatalln", "syscall.Exit"}, call):
				report(n, "%s outside main: return an error", call)
			case call == "testing.Short":
				report(n, "testing.Short: a test that needs something fails without it")
			case from == "" && slices.Contains([]string{"Skip", "Skipf", "SkipNow"}, sel.Sel.Name) &&
				slices.Contains([]string{"t", "b", "tb", "f", "rt", "ts"}, x.Name):
				report(n, "%s.%s: a test that needs something fails without it", x.Name, sel.Sel.Name)
			case pureFile && from == "time" && slices.Contains([]string{
				"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTicker", "NewTimer", "Local",
			}, sel.Sel.Name):
				report(n, "%s: the planner has no clock, time is an input", call)
			case pureFile && (from == "math/rand" || from == "math/rand/v2" || from == "crypto/rand"):
				report(n, "%s: the planner leaves nothing to chance", call)
			}
			return true
		})
	}
	return bad
}

// importNames maps the name under which a file uses an import to the import's path.
func importNames(file *ast.File) map[string]string {
	names := make(map[string]string)
	for _, imp := range file.Imports {
		p, err := strconv.Unquote(imp.Path.Value)
		if err != nil {
			continue
		}
		name := path.Base(p)
		if name == "v2" {
			name = path.Base(path.Dir(p))
		}
		if imp.Name != nil {
			name = imp.Name.Name
		}
		names[name] = p
	}
	return names
}

// topLevel is what the root of the repository holds, dot-files aside.
var topLevel = []string{
	"cmd", "planner", "executor", "schema", "examples", "testdata", "go.mod", "go.sum", "README.md", "LICENSE",
}

// checkTopLevel reports names in the root that are neither agreed nor ignored by .gitignore.
func checkTopLevel(names []string, gitignore string) []string {
	var ignored []string
	for line := range strings.Lines(gitignore) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			ignored = append(ignored, strings.Trim(line, "/"))
		}
	}
	var bad []string
	for _, name := range names {
		known := strings.HasPrefix(name, ".") || slices.Contains(topLevel, name) ||
			slices.ContainsFunc(ignored, func(pattern string) bool {
				match, err := path.Match(pattern, name)
				return err == nil && match
			})
		if !known {
			bad = append(bad, name+": not one of "+strings.Join(topLevel, " "))
		}
	}
	return bad
}
