package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"pg_manage/cmd/internal/view"
	"pg_manage/schema"
)

// variables are the flags that give values to the variables of the cluster files.
type variables struct {
	vars  []string
	files []string
}

func (v *variables) flags(f *pflag.FlagSet) {
	f.StringArrayVar(&v.vars, "var", nil, "value of a variable, as `NAME=VALUE`; may be given several times")
	f.StringArrayVar(&v.files, "var-file", nil, "`FILE` with values of variables; may be given several times")
}

// again repeats the flags for a command line that is shown. Values are left out:
// they may be secret.
func (v *variables) again() string {
	var out string
	for _, text := range v.vars {
		name, _, _ := strings.Cut(text, "=")
		out += " --var " + quote(name) + "=..."
	}
	for _, file := range v.files {
		out += " --var-file " + quote(file)
	}
	return out
}

func (v *variables) options() (schema.LoadOptions, error) {
	opts := schema.LoadOptions{VarFiles: v.files, Vars: map[string]string{}}
	for _, text := range v.vars {
		name, value, ok := strings.Cut(text, "=")
		if !ok || name == "" {
			// The text is not repeated: it may be a secret.
			return opts, &hintedError{"--var needs a name and a value", "Write --var NAME=VALUE."}
		}
		opts.Vars[name] = value
	}
	return opts, nil
}

// load reads the cluster files. Warnings go to the user at once.
func (a *app) load(cmd *cobra.Command) (*schema.Config, error) {
	opts, err := a.vars.options()
	if err != nil {
		return nil, err
	}
	cfg, ds := schema.Load(a.dir, opts)
	if ds.HasErrors() {
		return nil, ds
	}
	switch {
	case len(ds) == 0:
	case a.json && cmd.Name() != "status":
		view.DiagnosticsJSON(a.out(cmd), ds)
	default:
		view.Diagnostics(a.stderr, a.style(a.stderr), ds)
	}
	return only(cfg, a.clusters)
}

// only leaves the named clusters in; none named means all.
func only(cfg *schema.Config, names []string) (*schema.Config, error) {
	if len(names) == 0 {
		return cfg, nil
	}
	var all []string
	for _, c := range cfg.Clusters {
		all = append(all, c.Name)
	}
	out := *cfg
	out.Clusters = nil
	for _, name := range names {
		if !slices.Contains(all, name) {
			return nil, unknownName("cluster", name, all)
		}
	}
	for _, c := range cfg.Clusters {
		if slices.Contains(names, c.Name) {
			out.Clusters = append(out.Clusters, c)
		}
	}
	return &out, nil
}

func unknownName(what, name string, all []string) error {
	hint := suggest(name, all, "")
	if hint == "" {
		hint = fmt.Sprintf("Declared are: %s. ", strings.Join(all, ", "))
	}
	return &hintedError{fmt.Sprintf("the cluster files declare no %s %q", what, name), strings.TrimSpace(hint)}
}

// knownName says whether a name of --target or --exclude means something:
// "cluster", "cluster/node", or a node's name alone.
func knownName(cfg *schema.Config, name string) bool {
	cluster, node, both := strings.Cut(name, "/")
	for _, c := range cfg.Clusters {
		switch {
		case both && c.Name == cluster && c.Node(node) != nil,
			!both && (c.Name == name || c.Node(name) != nil):
			return true
		}
	}
	return false
}

// names are all the clusters and nodes, as --target takes them.
func names(cfg *schema.Config) []string {
	var out []string
	for _, c := range cfg.Clusters {
		out = append(out, c.Name)
		for _, n := range c.Nodes {
			out = append(out, c.Name+"/"+n.Name)
		}
	}
	return out
}
