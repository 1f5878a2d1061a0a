package schema

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"

	"pg_manage/schema/postgres"
)

// LoadOptions are the inputs of a load besides the files themselves. The zero
// value reads the process's own environment and the file system.
type LoadOptions struct {
	// Vars are values of variables from the command line (-var name=value).
	Vars map[string]string
	// VarFiles are files of name = value lines (-var-file), later ones win.
	VarFiles []string
	// Getenv looks up an environment variable; nil means os.LookupEnv.
	Getenv func(name string) (string, bool)
	// ReadFile reads a whole file; nil means os.ReadFile.
	ReadFile func(path string) ([]byte, error)
}

// Load reads every *.hcl file of a folder, sorted by name and without going into
// folders below it. With an error among the diagnostics the Config is nil;
// warnings may come with a usable Config.
func Load(dir string, opts LoadOptions) (*Config, Diagnostics) {
	l := newLoader(dir, opts)
	entries, err := os.ReadDir(dir)
	if err != nil {
		l.report(SeverityError, nil, "Cannot read the folder "+dir, fileTrouble(err)+" Name the folder that holds the cluster files with -C.")
		return nil, l.finish()
	}
	found := false
	for _, e := range entries {
		name := e.Name()
		if filepath.Ext(name) != ".hcl" || strings.HasPrefix(name, ".") || e.IsDir() {
			continue
		}
		found = true
		path := filepath.Join(dir, name)
		text, err := l.opts.ReadFile(path)
		if err != nil {
			l.report(SeverityError, nil, "Cannot read "+path, fileTrouble(err))
			continue
		}
		l.sources[path] = text
	}
	if !found {
		l.report(SeverityError, nil, "No cluster file in "+dir,
			"The files of a folder whose names end in .hcl are read. Write one, or name another folder with -C.")
	}
	return l.load()
}

// LoadFiles is Load for texts that are already in memory, by file name. The
// function file() resolves relative paths against the current folder.
func LoadFiles(files map[string][]byte, opts LoadOptions) (*Config, Diagnostics) {
	l := newLoader("", opts)
	for name, text := range files {
		l.sources[name] = text
	}
	return l.load()
}

// loader carries one load from text to Config.
type loader struct {
	opts    LoadOptions
	dir     string
	sources map[string][]byte // by file name, for snippets
	diags   Diagnostics
	secrets []string // what must not appear in a message

	names  scope
	ctx    *hcl.EvalContext
	config *Config
	decls  declarations

	settings map[string]postgres.Setting // PostgreSQL's, read when first needed
}

func newLoader(dir string, opts LoadOptions) *loader {
	if opts.Getenv == nil {
		opts.Getenv = os.LookupEnv
	}
	if opts.ReadFile == nil {
		opts.ReadFile = os.ReadFile
	}
	return &loader{opts: opts, dir: dir, sources: map[string][]byte{}, config: &Config{}, decls: newDeclarations(), names: newScope()}
}

// load parses, evaluates, decodes and validates the sources.
func (l *loader) load() (*Config, Diagnostics) {
	files := slices.Sorted(maps.Keys(l.sources))
	var bodies []*hclsyntax.Body
	for _, name := range files {
		if body := l.parse(name, l.sources[name]); body != nil {
			bodies = append(bodies, body)
		}
	}
	// After a syntax error the rest would be complaints about what the parser
	// left out.
	if l.diags.HasErrors() {
		return nil, l.finish()
	}
	l.ctx = &hcl.EvalContext{Variables: map[string]cty.Value{}, Functions: l.functions()}
	var blocks []*block
	for _, body := range bodies {
		blocks = append(blocks, l.contents(body, fileSchema(), &block{kind: "file", l: l}).blocks...)
	}
	l.evaluateNames(blocks)
	l.decode(blocks)
	l.validate()
	if len(l.config.Clusters) == 0 && len(files) > 0 && !l.diags.HasErrors() {
		start := hcl.Range{Filename: files[0], Start: hcl.InitialPos, End: hcl.InitialPos}
		l.warnAt(start, "No cluster is declared", "Write one: cluster \"main\" { version = 17 ... }.")
	}
	ds := l.finish()
	if ds.HasErrors() {
		return nil, ds
	}
	return l.config, ds
}

// parse turns one file into its syntax tree; nil when it is not HCL.
func (l *loader) parse(name string, text []byte) *hclsyntax.Body {
	if d := checkShape(name, text); d != nil {
		l.diags = append(l.diags, *d)
		return nil
	}
	f, hd := hclsyntax.ParseConfig(text, name, hcl.InitialPos)
	l.hclDiags(hd)
	if f == nil {
		return nil
	}
	body, _ := f.Body.(*hclsyntax.Body)
	return body
}

// fileTrouble says in plain words why a file cannot be read.
func fileTrouble(err error) string {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "It does not exist."
	case errors.Is(err, fs.ErrPermission):
		return "You may not read it (permission denied)."
	}
	var pe *fs.PathError
	if errors.As(err, &pe) {
		err = pe.Err
	}
	return "Reading failed: " + err.Error() + "."
}
