package schema

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// block is one block of a file, its content checked against the language and
// ready to be read argument by argument.
type block struct {
	l       *loader
	kind    string
	labels  []string
	def     hcl.Range   // the header: kind and labels
	lrange  []hcl.Range // of the labels
	attrs   hcl.Attributes
	blocks  []*block
	unknown []string        // names of arguments and blocks that do not belong here
	bad     map[string]bool // arguments that were found wrong, so that nothing more is said about them
}

// contents reads a body by its schema. What does not belong there is reported.
func (l *loader) contents(body hcl.Body, s *hcl.BodySchema, b *block) *block {
	b.bad = map[string]bool{}
	content, hd := body.Content(s)
	l.hclDiags(l.labelWords(hd, s))
	b.attrs = content.Attributes
	if native, ok := body.(*hclsyntax.Body); ok {
		b.unknown = foreign(native, s)
	}
	for _, inner := range content.Blocks {
		child := &block{l: l, kind: inner.Type, labels: inner.Labels, def: inner.DefRange, lrange: inner.LabelRanges}
		if inner.Type == "locals" {
			attrs, ld := inner.Body.JustAttributes()
			l.hclDiags(ld)
			child.attrs = attrs
			child.bad = map[string]bool{}
		} else {
			l.contents(inner.Body, schemaOf(b.kind, inner.Type), child)
		}
		b.blocks = append(b.blocks, child)
	}
	return b
}

// labelWords says how a block's label is to be written, and names the nearest
// argument or block that HCL did not think of.
func (l *loader) labelWords(hd hcl.Diagnostics, s *hcl.BodySchema) hcl.Diagnostics {
	for _, d := range hd {
		switch {
		case strings.HasPrefix(d.Summary, "Missing NAME for "):
			kind := strings.TrimPrefix(d.Summary, "Missing NAME for ")
			d.Summary = "Missing name for " + kind
			d.Detail = fmt.Sprintf("Write %s \"NAME\" { ... }.", kind)
		case strings.HasPrefix(d.Summary, "Extraneous label for "):
			kind := strings.TrimPrefix(d.Summary, "Extraneous label for ")
			d.Summary = "Too many names for " + kind
			d.Detail = fmt.Sprintf("Write %s { ... }.", kind)
			for _, bs := range s.Blocks {
				if bs.Type == kind && len(bs.LabelNames) == 1 {
					d.Detail = fmt.Sprintf("It has one name: write %s \"NAME\" { ... }.", kind)
				}
			}
		case d.Summary == "Unsupported argument" || d.Summary == "Unsupported block type":
			if !strings.Contains(d.Detail, "Did you mean") {
				d.Detail = joinSentences(d.Detail, suggestIn(d.Detail, s, d.Summary == "Unsupported argument"))
			}
		}
	}
	return hd
}

// suggestIn finds what belongs in this place and is nearest to the quoted name.
func suggestIn(detail string, s *hcl.BodySchema, argument bool) string {
	_, rest, ok := strings.Cut(detail, `"`)
	name, _, ok2 := strings.Cut(rest, `"`)
	if !ok || !ok2 {
		return ""
	}
	var args, blocks []string
	for _, a := range s.Attributes {
		args = append(args, a.Name)
	}
	for _, b := range s.Blocks {
		blocks = append(blocks, b.Type)
	}
	if n := nearest(name, append(slices.Clone(args), blocks...)); n != "" {
		return fmt.Sprintf("Did you mean %q?", n)
	}
	switch {
	case argument && len(args) > 0:
		return "Arguments here: " + strings.Join(args, ", ") + "."
	case len(blocks) > 0:
		return "Blocks here: " + strings.Join(blocks, ", ") + "."
	}
	return ""
}

// foreign lists the names in a body that its schema does not have.
func foreign(body *hclsyntax.Body, s *hcl.BodySchema) []string {
	var out []string
	for name := range body.Attributes {
		if !slices.ContainsFunc(s.Attributes, func(a hcl.AttributeSchema) bool { return a.Name == name }) {
			out = append(out, name)
		}
	}
	for _, b := range body.Blocks {
		if !slices.ContainsFunc(s.Blocks, func(h hcl.BlockHeaderSchema) bool { return h.Type == b.Type }) {
			out = append(out, b.Type)
		}
	}
	return out
}

// meant says that a misspelt name in the block probably stands for this argument
// or block, so that it need not be called missing as well.
func (b *block) meant(name string) bool {
	return slices.ContainsFunc(b.unknown, func(u string) bool { return nearest(u, []string{name}) != "" }) ||
		slices.ContainsFunc(b.blocks, func(c *block) bool { return c.kind == name })
}

// label is the block's name, "" when it has none.
func (b *block) label() string {
	if len(b.labels) == 0 {
		return ""
	}
	return b.labels[0]
}

func (b *block) labelRange() hcl.Range {
	if len(b.lrange) == 0 {
		return b.def
	}
	return b.lrange[0]
}

// called is how messages speak of the block: cluster "main".
func (b *block) called() string {
	if b.label() == "" {
		return b.kind
	}
	return fmt.Sprintf("%s %q", b.kind, b.label())
}

// has says whether the argument is written; null counts as not written.
func (b *block) has(name string) bool {
	a := b.attrs[name]
	if a == nil {
		return false
	}
	if lit, ok := a.Expr.(*hclsyntax.LiteralValueExpr); ok && lit.Val.IsNull() {
		return false
	}
	return true
}

// place is where the argument's value stands, or the block's header without it.
func (b *block) place(name string) hcl.Range {
	if a := b.attrs[name]; a != nil {
		return a.Expr.Range()
	}
	return b.def
}

// wrong reports an error about an argument's value and remembers it.
func (b *block) wrong(name, summary, detail string) {
	b.bad[name] = true
	b.l.errorAt(b.place(name), summary, detail)
}

// wrongElement reports an error about one element of a list.
func (b *block) wrongElement(name string, i int, summary, detail string) {
	b.bad[name] = true
	place := b.place(name)
	if a := b.attrs[name]; a != nil {
		if list, ok := a.Expr.(*hclsyntax.TupleConsExpr); ok && i < len(list.Exprs) {
			place = list.Exprs[i].Range()
		}
	}
	b.l.errorAt(place, summary, detail)
}

// require reports an argument that is missing.
func (b *block) require(name, example string) bool {
	if b.has(name) {
		return true
	}
	b.bad[name] = true
	if b.meant(name) {
		return false
	}
	b.l.errorAt(b.def, fmt.Sprintf("Missing argument %q", name),
		fmt.Sprintf("%s needs it, for example: %s", capital(b.called()), example))
	return false
}

// inner gives the blocks of one kind; a second one where one is allowed is an error.
func (b *block) inner(kind string) []*block {
	var out []*block
	for _, c := range b.blocks {
		if c.kind == kind {
			out = append(out, c)
		}
	}
	return out
}

func (b *block) only(kind string) *block {
	all := b.inner(kind)
	for _, c := range all[min(1, len(all)):] {
		b.l.errorAt(c.def, fmt.Sprintf("Second %s block", kind),
			fmt.Sprintf("%s has one already at %s. Put everything into one.", capital(b.called()), rangeOf(all[0].def)))
	}
	if len(all) == 0 {
		return nil
	}
	return all[0]
}

// value evaluates an argument. ok is false when there is none, it is null, or it
// could not be evaluated, which has been reported.
func (b *block) value(name string) (v cty.Value, ok bool) {
	a := b.attrs[name]
	if a == nil {
		return cty.NilVal, false
	}
	v, ok = b.l.eval(a.Expr)
	if !ok || !v.IsWhollyKnown() {
		b.bad[name] = true
		return cty.NilVal, false
	}
	if v.IsNull() {
		return cty.NilVal, false
	}
	return v, true
}

// shown is value for arguments that plans and messages may show, so that nothing
// sensitive may stand there.
func (b *block) shown(name string) (cty.Value, bool) {
	v, ok := b.value(name)
	if !ok {
		return v, false
	}
	if _, marks := v.UnmarkDeep(); len(marks) > 0 {
		b.bad[name] = true
		b.l.sensitiveAt(b.place(name), name)
		return cty.NilVal, false
	}
	return v, true
}

func (l *loader) sensitiveAt(r hcl.Range, name string) {
	l.errorAt(r, fmt.Sprintf("A sensitive value cannot stand in %q", name),
		fmt.Sprintf("It is shown in plans and written to files of the nodes. What env() gives is sensitive; if this value is no secret, say so with nonsensitive(...) or pass it as a variable (-var, %sNAME).", EnvPrefix))
}

func sortedKeys[M ~map[string]V, V any](m M) []string {
	return slices.Sorted(maps.Keys(m))
}

func capital(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}
