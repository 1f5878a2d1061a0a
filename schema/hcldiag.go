package schema

import (
	"bytes"
	"cmp"
	"regexp"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// rangeOf keeps a place of HCL's as a plain value.
func rangeOf(r hcl.Range) Range {
	return Range{
		File:  r.Filename,
		Start: Pos{Line: r.Start.Line, Column: r.Start.Column, Byte: r.Start.Byte},
		End:   Pos{Line: r.End.Line, Column: r.End.Column, Byte: r.End.Byte},
	}
}

// errorAt reports an error at a place.
func (l *loader) errorAt(r hcl.Range, summary, detail string) {
	l.report(SeverityError, &r, summary, detail)
}

// warnAt reports a warning at a place.
func (l *loader) warnAt(r hcl.Range, summary, detail string) {
	l.report(SeverityWarning, &r, summary, detail)
}

func (l *loader) report(s Severity, r *hcl.Range, summary, detail string) {
	d := Diagnostic{Severity: s, Summary: summary, Detail: detail}
	if r != nil && r.Filename != "" {
		place := rangeOf(*r)
		d.Range = &place
	}
	l.diags = append(l.diags, d)
}

// hclDiags takes over HCL's own findings, with their places, in words that do
// not need knowledge of HCL's parser.
func (l *loader) hclDiags(hd hcl.Diagnostics) {
	for _, d := range hd {
		l.diags = append(l.diags, fromHCL(d))
		// What follows a quote that is not closed is read as text, and text as
		// what it is not.
		if d.Summary == "Invalid multi-line string" {
			return
		}
	}
}

func fromHCL(d *hcl.Diagnostic) Diagnostic {
	out := Diagnostic{Severity: SeverityError, Summary: d.Summary, Detail: d.Detail}
	if d.Severity == hcl.DiagWarning {
		out.Severity = SeverityWarning
	}
	if d.Subject != nil {
		r := rangeOf(*d.Subject)
		out.Range = &r
	}
	if extra, ok := hcl.DiagnosticExtra[hclsyntax.FunctionCallDiagExtra](d); ok {
		if err := extra.FunctionCallError(); err != nil && sensitiveCall(d) {
			out.Summary, out.Detail = "Error in "+extra.CalledFunctionName()+"()", "The reason is not shown, since a value in it is sensitive."
		} else if err != nil {
			out.Summary, out.Detail = functionTrouble(extra.CalledFunctionName(), err)
		}
	}
	if say, ok := plainWords(d.Summary); ok {
		out.Summary = say.summary
		if say.detail != "" {
			out.Detail = say.detail
		}
	}
	return out
}

// sensitiveCall says that an argument of the call that failed is sensitive, so
// that the function's own words may quote it.
func sensitiveCall(d *hcl.Diagnostic) bool {
	call, ok := d.Expression.(*hclsyntax.FunctionCallExpr)
	if !ok {
		return true
	}
	for _, arg := range call.Args {
		v, _ := arg.Value(d.EvalContext)
		if _, marks := v.UnmarkDeep(); len(marks) > 0 {
			return true
		}
	}
	return false
}

type wording struct{ summary, detail string }

// plainWords replaces the texts of HCL that say what the parser met instead of
// what the writer should do.
func plainWords(summary string) (wording, bool) {
	switch summary {
	case "Unsupported argument":
		return wording{"Unknown argument", ""}, true
	case "Unsupported block type":
		return wording{"Unknown block", ""}, true
	case "Missing newline after argument":
		return wording{"Missing line break after an argument", "Each argument stands on a line of its own; a value ends where its line ends."}, true
	case "Invalid multi-line string":
		return wording{"Quote is not closed on its line", `Close the text with " before the end of the line; for text of several lines write <<EOT, the lines, and EOT.`}, true
	case "Unclosed configuration block":
		return wording{"Block is not closed", "No } was found for the { of this block before the end of the file."}, true
	case "Argument or block definition required":
		return wording{"Argument or block expected", `Write an argument as name = value, or a block as name "LABEL" { ... }.`}, true
	case "Invalid single-argument block definition":
		return wording{"Several arguments on one line", "A block on one line holds one argument. Write each argument on a line of its own."}, true
	case "Invalid number literal":
		return wording{"Not a number", "Put text, such as an address, between quotes."}, true
	case "Invalid argument name":
		return wording{"Quoted name", "Names of arguments and kinds of blocks are written without quotes."}, true
	case "Invalid type specification":
		return wording{"Unknown type", "Types are string, number, bool, any, list(...), set(...), map(...) and object({...})."}, true
	case "Attribute redefined":
		return wording{"Argument set twice", ""}, true
	case "Unsupported attribute":
		return wording{"No such element", ""}, true
	}
	return wording{}, false
}

// passwordText matches a password that is written into the file itself.
var passwordText = regexp.MustCompile(`(?i)((?:password|secret)[\w-]*\s*=\s*)(?:"[^"]*"?|[^\s"({\[][^\s({\[]*$)`)

// finish puts the findings into the order of their places, drops repetitions,
// adds the source lines and takes out what is secret.
func (l *loader) finish() Diagnostics {
	slices.SortStableFunc(l.diags, func(a, b Diagnostic) int {
		if a.Range == nil || b.Range == nil {
			return cmp.Compare(btoi(a.Range != nil), btoi(b.Range != nil))
		}
		return cmp.Or(
			strings.Compare(a.Range.File, b.Range.File),
			cmp.Compare(a.Range.Start.Line, b.Range.Start.Line),
			cmp.Compare(a.Range.Start.Column, b.Range.Start.Column),
		)
	})
	type key struct {
		summary, detail string
		at              Range
	}
	seen := map[key]bool{}
	var out Diagnostics
	for _, d := range l.diags {
		k := key{summary: d.Summary, detail: d.Detail}
		if d.Range != nil {
			k.at = *d.Range
			d.Snippet = l.redact(sourceLine(l.sources[d.Range.File], d.Range.Start.Byte))
			d.Snippet = passwordText.ReplaceAllString(d.Snippet, `$1"`+Redacted+`"`)
		}
		d.Summary, d.Detail = l.redact(d.Summary), l.redact(d.Detail)
		if !seen[k] {
			seen[k] = true
			out = append(out, d)
		}
	}
	l.diags = out
	return out
}

// minSecret is the length from which a sensitive text is searched for in
// messages, in bytes: single letters would blot out everything.
const minSecret = 4

// keepSecret makes sure that a sensitive text does not show up in a message,
// also where a library quotes its arguments.
func (l *loader) keepSecret(s string) {
	if s = strings.TrimSpace(s); len(s) >= minSecret && !slices.Contains(l.secrets, s) {
		l.secrets = append(l.secrets, s)
	}
}

func (l *loader) redact(text string) string {
	for _, s := range l.secrets {
		text = strings.ReplaceAll(text, s, Redacted)
	}
	return text
}

// sourceLine is the line of the text that holds the byte at pos.
func sourceLine(text []byte, pos int) string {
	if pos < 0 || pos > len(text) {
		return ""
	}
	start := bytes.LastIndexByte(text[:pos], '\n') + 1
	line := text[start:]
	if end := bytes.IndexByte(line, '\n'); end >= 0 {
		line = line[:end]
	}
	return strings.ToValidUTF8(strings.TrimSuffix(string(line), "\r"), "\uFFFD")
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// forgetSecret takes back keepSecret for what the writer declares to be no secret.
func (l *loader) forgetSecret(s string) {
	l.secrets = slices.DeleteFunc(l.secrets, func(secret string) bool { return strings.Contains(s, secret) })
}
