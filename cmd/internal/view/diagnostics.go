package view

import (
	"fmt"
	"io"
	"strings"

	"pg_manage/schema"
)

// Diagnostics writes findings about the configuration for a person: what is
// wrong, the place with its source line, and what to do.
func Diagnostics(w io.Writer, st Style, ds schema.Diagnostics) {
	for _, d := range ds {
		diagnostic(w, st, d)
	}
}

func diagnostic(w io.Writer, st Style, d schema.Diagnostic) {
	color, word := red, "Error: "
	if d.Severity == schema.SeverityWarning {
		color, word = yellow, "Warning: "
	}
	var body strings.Builder
	narrow := Style{Width: st.width() - 2}
	summary := strings.TrimPrefix(narrow.wrap("", word+clean(d.Summary)), word)
	body.WriteString(st.paint(bold+";"+color, word) + summary)
	if d.Range != nil {
		body.WriteString("\n" + source(st, d))
	}
	if d.Detail != "" {
		body.WriteString("\n" + narrow.wrap("", clean(d.Detail)))
	}
	fmt.Fprintln(w, st.paint(color, "╷"))
	for line := range strings.SplitSeq(strings.TrimRight(body.String(), "\n"), "\n") {
		fmt.Fprintln(w, strings.TrimRight(st.paint(color, "│")+" "+line, " "))
	}
	fmt.Fprintln(w, st.paint(color, "╵"))
}

// source is the place of a finding: file, line, the line's text and a mark under the range.
func source(st Style, d schema.Diagnostic) string {
	var b strings.Builder
	fmt.Fprintf(&b, "  on %s line %d:\n", d.Range.File, d.Range.Start.Line)
	if d.Snippet == "" {
		return b.String()
	}
	number := fmt.Sprintf("  %d: ", d.Range.Start.Line)
	line := []rune(clean(d.Snippet))
	from := min(max(d.Range.Start.Column-1, 0), len(line))
	to := len(line)
	if d.Range.End.Line == d.Range.Start.Line {
		to = min(max(d.Range.End.Column-1, from), len(line))
	}
	b.WriteString(number + string(line[:from]) + st.paint("4", string(line[from:to])) + string(line[to:]) + "\n")
	// A tab stays a tab, so that the mark stands where the terminal puts the text.
	before := strings.Map(func(r rune) rune {
		if r == '\t' {
			return r
		}
		return ' '
	}, string(line[:from]))
	b.WriteString(strings.Repeat(" ", len(number)) + before + st.paint(bold, strings.Repeat("^", max(1, to-from))) + "\n")
	return b.String()
}

// Problem writes an error that has no place in a file.
func Problem(w io.Writer, st Style, summary, detail string) {
	diagnostic(w, st, schema.Diagnostic{Severity: schema.SeverityError, Summary: summary, Detail: detail})
}

// Validation is the JSON form of `validate`.
type Validation struct {
	FormatVersion string              `json:"format_version"`
	Valid         bool                `json:"valid"`
	ErrorCount    int                 `json:"error_count"`
	WarningCount  int                 `json:"warning_count"`
	Diagnostics   []schema.Diagnostic `json:"diagnostics"`
}

// NewValidation counts the findings.
func NewValidation(ds schema.Diagnostics) Validation {
	v := Validation{FormatVersion: FormatVersion, Valid: !ds.HasErrors(), Diagnostics: []schema.Diagnostic{}}
	for _, d := range ds {
		if d.Severity == schema.SeverityError {
			v.ErrorCount++
		} else {
			v.WarningCount++
		}
		v.Diagnostics = append(v.Diagnostics, d)
	}
	return v
}

// ValidationHuman writes the result of `validate` for a person.
func ValidationHuman(w io.Writer, st Style, ds schema.Diagnostics, cfg *schema.Config) {
	Diagnostics(w, st, ds)
	if ds.HasErrors() || cfg == nil {
		return
	}
	nodes := 0
	for _, c := range cfg.Clusters {
		nodes += len(c.Nodes)
	}
	fmt.Fprintf(w, "%s The configuration is valid: %s, %s, %s.\n", st.paint(bold+";"+green, "Success!"),
		plural(len(cfg.Clusters), "cluster", "clusters"), plural(nodes, "node", "nodes"), plural(len(cfg.Targets), "target", "targets"))
}

type diagnosticLine struct {
	Type string `json:"type"`
	schema.Diagnostic
}

// DiagnosticsJSON writes findings as lines of type "diagnostic".
func DiagnosticsJSON(l *Lines, ds schema.Diagnostics) {
	for _, d := range ds {
		l.Put(diagnosticLine{"diagnostic", d})
	}
}

// ProblemJSON writes an error that has no place in a file as a line of type "diagnostic".
func ProblemJSON(l *Lines, err error) {
	DiagnosticsJSON(l, schema.Diagnostics{{Severity: schema.SeverityError, Summary: err.Error()}})
}
