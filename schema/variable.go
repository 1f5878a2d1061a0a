package schema

import (
	"fmt"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/ext/typeexpr"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
)

// EnvPrefix stands before a variable's name in the environment variable that
// gives it a value.
const EnvPrefix = "PG_MANAGE_VAR_"

// given is a value for a variable from outside the cluster files.
type given struct {
	text  string    // as typed; used when value is not set
	value cty.Value // from a file of variables
	from  string
	at    *hcl.Range
}

// evaluateVariables gives each declared variable its value: from -var, else the
// last -var-file that has it, else the environment, else its default.
func (l *loader) evaluateVariables(blocks []*block) {
	fromFiles := l.readVarFiles()
	declared := map[string]bool{}
	for _, b := range blocks {
		name := b.label()
		declared[name] = true
		if !hclsyntax.ValidIdentifier(name) {
			l.errorAt(b.labelRange(), fmt.Sprintf("%q cannot be the name of a variable", name),
				"A name starts with a letter and has letters, digits, underscores and hyphens.")
		}
		l.names.vars[name] = l.variable(b, fromFiles[name])
	}
	names := sortedKeys(declared)
	for _, name := range sortedKeys(l.opts.Vars) {
		if !declared[name] {
			l.report(SeverityError, nil, fmt.Sprintf("-var sets %q, which no file declares", name),
				didYouMean(name, names, fmt.Sprintf("Declare it with: variable %q {}", name)))
		}
	}
	for _, name := range sortedKeys(fromFiles) {
		if !declared[name] {
			l.report(SeverityWarning, fromFiles[name].at, fmt.Sprintf("No variable %q is declared", name),
				joinSentences(suggestion(name, names), "The value is not used."))
		}
	}
}

func (l *loader) readVarFiles() map[string]given {
	out := map[string]given{}
	for _, path := range l.opts.VarFiles {
		text, err := l.opts.ReadFile(path)
		if err != nil {
			l.report(SeverityError, nil, "Cannot read the variable file "+path, fileTrouble(err))
			continue
		}
		l.sources[path] = text
		body := l.parse(path, text)
		if body == nil {
			continue
		}
		attrs, hd := body.JustAttributes()
		l.hclDiags(hd)
		for name, a := range attrs {
			v, vd := a.Expr.Value(nil)
			l.hclDiags(vd)
			if vd.HasErrors() {
				v = cty.DynamicVal
			}
			out[name] = given{value: v, from: path, at: a.Expr.Range().Ptr()}
		}
	}
	return out
}

// variable evaluates one variable block.
func (l *loader) variable(b *block, fromFile given) cty.Value {
	name := b.label()
	want := cty.DynamicPseudoType
	var defaults *typeexpr.Defaults
	if a := b.attrs["type"]; a != nil {
		t, d, hd := typeexpr.TypeConstraintWithDefaults(a.Expr)
		l.hclDiags(hd)
		if !hd.HasErrors() {
			want, defaults = t, d
		}
	}
	secret := b.flag("sensitive", false)
	b.text("description")

	v, place, ok := l.givenValue(b, fromFile, want)
	if !ok {
		return cty.DynamicVal
	}
	if secret {
		for _, s := range textsIn(v) {
			l.keepSecret(s)
		}
	}
	if defaults != nil && v.IsKnown() && !v.IsNull() && !v.IsMarked() {
		v = defaults.Apply(v)
	}
	converted, err := convert.Convert(v, want)
	if err != nil {
		l.report(SeverityError, place, fmt.Sprintf("Wrong type of value for variable %q", name),
			fmt.Sprintf("Its type is %s: %s.", typeexpr.TypeString(want), err))
		return cty.DynamicVal
	}
	if secret {
		converted = converted.Mark(sensitive)
	}
	return converted
}

// givenValue finds the value that comes first in precedence.
func (l *loader) givenValue(b *block, fromFile given, want cty.Type) (v cty.Value, place *hcl.Range, ok bool) {
	name := b.label()
	place = b.labelRange().Ptr()
	g := given{}
	if s, has := l.opts.Vars[name]; has {
		g = given{text: s, from: "-var"}
	} else if fromFile.from != "" {
		return fromFile.value, fromFile.at, fromFile.value.IsKnown()
	} else if s, has := l.opts.Getenv(EnvPrefix + name); has {
		g = given{text: s, from: EnvPrefix + name}
	}
	if g.from != "" {
		v, ok = l.typed(b, g, want)
		return v, place, ok
	}
	if a := b.attrs["default"]; a != nil {
		v, ok = l.eval(a.Expr)
		return v, a.Expr.Range().Ptr(), ok
	}
	if b.meant("default") {
		return cty.DynamicVal, place, false
	}
	l.errorAt(b.labelRange(), fmt.Sprintf("Variable %q has no value", name),
		fmt.Sprintf("Give one with -var %s=VALUE, in a file named by -var-file, in the environment variable %s%s, or write a default.", name, EnvPrefix, name))
	return cty.DynamicVal, place, false
}

// typed reads a value that was typed as text: as it stands for a text or number,
// as an HCL expression for a list or map.
func (l *loader) typed(b *block, g given, want cty.Type) (cty.Value, bool) {
	if want.IsPrimitiveType() || want == cty.DynamicPseudoType {
		return cty.StringVal(g.text), true
	}
	bad := func(why string) (cty.Value, bool) {
		l.errorAt(b.labelRange(), fmt.Sprintf("The value of variable %q from %s cannot be read", b.label(), g.from),
			fmt.Sprintf("Its type is %s, to be written as in a cluster file. %s", typeexpr.TypeString(want), why))
		return cty.DynamicVal, false
	}
	if checkShape(g.from, []byte(g.text)) != nil {
		return bad("The value is too large or too deeply nested.")
	}
	expr, hd := hclsyntax.ParseExpression([]byte(g.text), g.from, hcl.InitialPos)
	if !hd.HasErrors() {
		v, vd := expr.Value(nil)
		if !vd.HasErrors() {
			return v, true
		}
		hd = vd
	}
	// The parser's text could quote a sensitive value; its summary cannot.
	return bad(hd[0].Summary + ".")
}

// isLiteral says that an expression is text written out, without any call.
func isLiteral(e hcl.Expression) bool {
	switch e := e.(type) {
	case *hclsyntax.LiteralValueExpr:
		return true
	case *hclsyntax.TemplateExpr:
		return e.IsStringLiteral()
	}
	return false
}
