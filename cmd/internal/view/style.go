package view

import (
	"strings"

	"github.com/mitchellh/go-wordwrap"
)

// minWidth is the narrowest page that is laid out, in columns.
const minWidth = 80

// Style says how text may look: with colours or without, and how wide the page
// is. The zero value is plain text of 80 columns.
type Style struct {
	Color  bool
	Width  int // columns; less than 80 is taken for 80
	Height int // lines of the terminal; 0 when not known
}

const (
	bold   = "1"
	dim    = "2"
	red    = "31"
	green  = "32"
	yellow = "33"
	cyan   = "36"
)

// paint puts text into a colour where colours are wanted.
func (s Style) paint(code, text string) string {
	if !s.Color || text == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

func (s Style) width() int { return max(s.Width, minWidth) }

// wrap breaks text at words, puts the indent before every line, and keeps
// the line breaks that are there.
func (s Style) wrap(indent, text string) string {
	room := max(s.width()-len(indent), 40)
	var b strings.Builder
	for line := range strings.SplitSeq(strings.TrimRight(text, "\n"), "\n") {
		// What is indented already is an example: it stays as it is.
		if !strings.HasPrefix(line, " ") {
			line = wordwrap.WrapString(line, uint(room))
		}
		for part := range strings.SplitSeq(line, "\n") {
			b.WriteString(strings.TrimRight(indent+part, " "))
			b.WriteByte('\n')
		}
	}
	return b.String()
}

// clean makes text that comes from a host safe to show: control characters,
// which could move the cursor or recolour the page, become visible.
func clean(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return r
		case r < 0x20 || r == 0x7f || (r >= 0x80 && r < 0xa0):
			return '\uFFFD'
		}
		return r
	}, text)
}

// pad fills text up with spaces to n columns.
func pad(text string, n int) string {
	return text + strings.Repeat(" ", max(0, n-columns(text)))
}

func columns(text string) int { return len([]rune(text)) }

// plural is a number with its noun.
func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return itoa(n) + " " + many
}
