package schema

import "fmt"

// Severity tells whether a Diagnostic stops the work.
type Severity string

// Severities of a Diagnostic.
const (
	SeverityError   Severity = "error"
	SeverityWarning Severity = "warning"
)

// Pos is a place in a file. Line and Column count from 1, in characters as a
// person sees them; Byte counts from 0.
type Pos struct {
	Line   int `json:"line"`
	Column int `json:"column"`
	Byte   int `json:"byte"`
}

// Range is a piece of a source file; the zero Range means "no place known".
type Range struct {
	File  string `json:"filename"`
	Start Pos    `json:"start"`
	End   Pos    `json:"end"`
}

// String is file:line,column.
func (r Range) String() string {
	if r.File == "" {
		return ""
	}
	return fmt.Sprintf("%s:%d,%d", r.File, r.Start.Line, r.Start.Column)
}

// Diagnostic is one finding about the configuration: what is wrong, where, and
// what to write instead.
type Diagnostic struct {
	Severity Severity `json:"severity"`
	Summary  string   `json:"summary"`          // one line, no full stop
	Detail   string   `json:"detail,omitempty"` // what to do about it
	Range    *Range   `json:"range,omitempty"`
	Snippet  string   `json:"snippet,omitempty"` // the source line that holds the range's start
}

// Diagnostics are findings in the order in which they were made.
type Diagnostics []Diagnostic

// HasErrors says whether any finding stops the work.
func (ds Diagnostics) HasErrors() bool {
	for _, d := range ds {
		if d.Severity == SeverityError {
			return true
		}
	}
	return false
}

// Error makes a failed load an ordinary error: the first error, and how many more.
func (ds Diagnostics) Error() string {
	var first string
	n := 0
	for _, d := range ds {
		if d.Severity != SeverityError {
			continue
		}
		if n == 0 {
			first = d.Summary
			if d.Range != nil {
				first = d.Range.String() + ": " + first
			}
		}
		n++
	}
	if n > 1 {
		return fmt.Sprintf("%s (and %d more)", first, n-1)
	}
	return first
}
