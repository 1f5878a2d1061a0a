package schema

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
)

// scope holds what var.NAME and local.NAME stand for.
type scope struct {
	vars     map[string]cty.Value
	locals   map[string]cty.Value
	exprs    map[string]*hcl.Attribute // of locals
	visiting []string                  // locals under evaluation, outermost first
}

func newScope() scope {
	return scope{vars: map[string]cty.Value{}, locals: map[string]cty.Value{}, exprs: map[string]*hcl.Attribute{}}
}

// evaluateNames gives every variable and every local its value.
func (l *loader) evaluateNames(blocks []*block) {
	var vars []*block
	seen := map[string]hcl.Range{}
	for _, b := range blocks {
		switch b.kind {
		case "variable":
			if at, dup := seen[b.label()]; dup {
				l.errorAt(b.labelRange(), fmt.Sprintf("Variable %q is declared twice", b.label()),
					fmt.Sprintf("It is already declared at %s. Remove one of them or give it another name.", rangeOf(at)))
				continue
			}
			seen[b.label()] = b.labelRange()
			vars = append(vars, b)
		case "locals":
			for _, name := range sortedKeys(b.attrs) {
				if first, dup := l.names.exprs[name]; dup {
					l.errorAt(b.attrs[name].NameRange, fmt.Sprintf("Local value %q is set twice", name),
						fmt.Sprintf("It is already set at %s. Remove one of them or give it another name.", rangeOf(first.NameRange)))
					continue
				}
				l.names.exprs[name] = b.attrs[name]
			}
		}
	}
	l.evaluateVariables(vars)
	l.ctx.Variables["var"] = cty.ObjectVal(l.names.vars)
	for _, name := range sortedKeys(l.names.exprs) {
		l.local(name)
	}
	l.ctx.Variables["local"] = cty.ObjectVal(l.names.locals)
}

// local evaluates one local value, after those that it refers to.
func (l *loader) local(name string) {
	if _, done := l.names.locals[name]; done {
		return
	}
	attr := l.names.exprs[name]
	if i := slices.Index(l.names.visiting, name); i >= 0 {
		chain := append(slices.Clone(l.names.visiting[i:]), name)
		l.errorAt(attr.NameRange, "Local values refer to each other in a circle",
			"local."+strings.Join(chain, " -> local.")+". Give one of them a value of its own.")
		l.names.locals[name] = cty.DynamicVal
		return
	}
	l.names.visiting = append(l.names.visiting, name)
	needed := map[string]cty.Value{}
	for _, t := range attr.Expr.Variables() {
		if dep, ok := member(t); ok && t.RootName() == "local" && l.names.exprs[dep] != nil {
			l.local(dep)
			needed[dep] = l.names.locals[dep]
		}
	}
	l.names.visiting = l.names.visiting[:len(l.names.visiting)-1]
	if _, done := l.names.locals[name]; done { // it was part of a circle
		return
	}
	l.ctx.Variables["local"] = cty.ObjectVal(needed)
	l.names.locals[name], _ = l.eval(attr.Expr)
}

// member is the name after the first dot of var.NAME or local.NAME.
func member(t hcl.Traversal) (string, bool) {
	if len(t) < 2 {
		return "", false
	}
	switch step := t[1].(type) {
	case hcl.TraverseAttr:
		return step.Name, true
	case hcl.TraverseIndex:
		if k := step.Key; k.IsKnown() && !k.IsNull() && k.Type() == cty.String {
			return k.AsString(), true
		}
	}
	return "", false
}

// eval gives an expression its value. Where that fails the findings are reported
// and the value is unknown, so that nothing is said twice; ok is false then.
func (l *loader) eval(expr hcl.Expression) (v cty.Value, ok bool) {
	ok = true
	for _, t := range expr.Variables() {
		ok = l.checkReference(t) && ok
	}
	if !ok {
		return cty.DynamicVal, false
	}
	v, hd := expr.Value(l.ctx)
	l.hclDiags(hd)
	if hd.HasErrors() {
		return cty.DynamicVal, false
	}
	return v, true
}

// checkReference reports a name that stands for nothing.
func (l *loader) checkReference(t hcl.Traversal) bool {
	root := t.RootName()
	rng := t.SourceRange()
	var known []string
	switch root {
	case "var":
		known = sortedKeys(l.names.vars)
	case "local":
		known = sortedKeys(l.names.exprs)
	default:
		written := root
		if text := l.sources[rng.Filename]; rng.End.Byte <= len(text) && rng.CanSliceBytes(text) {
			written = string(rng.SliceBytes(text))
		}
		detail := fmt.Sprintf("Put text between quotes: %q. A variable is written var.NAME, a local value local.NAME.", written)
		switch root {
		case "on", "yes":
			detail = "Write true, or text between quotes."
		case "off", "no":
			detail = "Write false, or text between quotes."
		}
		l.errorAt(rng, fmt.Sprintf("Unknown name %q", root), detail)
		return false
	}
	name, ok := member(t)
	if !ok {
		l.errorAt(rng, fmt.Sprintf("%q needs a name after it", root), fmt.Sprintf("Write %s.NAME.", root))
		return false
	}
	if slices.Contains(known, name) {
		return true
	}
	if root == "var" {
		l.errorAt(rng, fmt.Sprintf("No variable %q is declared", name),
			didYouMean(name, known, fmt.Sprintf("Declare it with: variable %q {}", name)))
	} else {
		l.errorAt(rng, fmt.Sprintf("No local value %q is set", name),
			didYouMean(name, known, fmt.Sprintf("Set it with: locals { %s = ... }", name)))
	}
	return false
}
