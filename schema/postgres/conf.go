package postgres

import (
	"fmt"
	"strings"
)

// ConfEntry is one line of postgresql.conf that says something.
type ConfEntry struct {
	Name  string // as written; the server ignores case
	Value string // without quotes and escapes
	Line  int    // from 1 up
}

// IncludeDirective says whether the entry is not a parameter but an include,
// include_if_exists or include_dir directive, whose value is the path.
func (e ConfEntry) IncludeDirective() bool {
	switch strings.ToLower(e.Name) {
	case "include", "include_if_exists", "include_dir":
		return true
	}
	return false
}

// ConfError is a line of postgresql.conf that the server would refuse.
type ConfError struct {
	Line    int
	Message string
}

func (e *ConfError) Error() string { return fmt.Sprintf("line %d: %s", e.Line, e.Message) }

// ParseConf reads the text of postgresql.conf, postgresql.auto.conf or a file that
// these include (PostgreSQL manual, "Parameter Interaction via the Configuration
// File"; guc-file.l). It follows no include directive. When a name comes twice the
// server takes the last one. The error is a *ConfError.
func ParseConf(text string) ([]ConfEntry, error) {
	var entries []ConfEntry
	for i, line := range strings.Split(text, "\n") {
		e, err := parseConfLine(line)
		if err != nil {
			return nil, &ConfError{Line: i + 1, Message: err.Error()}
		}
		if e.Name != "" {
			e.Line = i + 1
			entries = append(entries, e)
		}
	}
	return entries, nil
}

const confSpace = " \t\r"

func parseConfLine(line string) (ConfEntry, error) {
	rest := strings.TrimLeft(line, confSpace)
	if rest == "" || rest[0] == '#' {
		return ConfEntry{}, nil
	}
	n := confNameLen(rest)
	if n == 0 {
		return ConfEntry{}, fmt.Errorf("want a parameter name, have %q", firstWord(rest))
	}
	name, rest := rest[:n], strings.TrimLeft(rest[n:], confSpace)
	rest = strings.TrimLeft(strings.TrimPrefix(rest, "="), confSpace)
	var value string
	var err error
	if strings.HasPrefix(rest, "'") {
		value, rest, err = unquoteConf(rest)
		if err != nil {
			return ConfEntry{}, fmt.Errorf("%s: %w", name, err)
		}
	} else {
		n := confWordLen(rest)
		if n == 0 {
			return ConfEntry{}, fmt.Errorf("%s: want a value, have %q", name, firstWord(rest))
		}
		value, rest = rest[:n], rest[n:]
	}
	if rest = strings.TrimLeft(rest, confSpace); rest != "" && rest[0] != '#' {
		return ConfEntry{}, fmt.Errorf("%s: %q is left over after the value; a value with spaces stands in single quotes", name, firstWord(rest))
	}
	return ConfEntry{Name: name, Value: value}, nil
}

func confLetter(c byte) bool {
	return c == '_' || c >= 0x80 || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

func confDigit(c byte) bool { return c >= '0' && c <= '9' }

// confNameLen is the length of the name at the start of s: an identifier, or two with a dot between.
func confNameLen(s string) int {
	i, part := 0, 0
	for ; i < len(s); i++ {
		c := s[i]
		switch {
		case confLetter(c), i > part && (confDigit(c) || c == '$'):
		case c == '.' && i > part && part == 0 && i+1 < len(s) && confLetter(s[i+1]):
			part = i + 1
		default:
			return i
		}
	}
	return i
}

// confWordLen is the length of the unquoted value at the start of s: a number with a
// unit, or a word.
func confWordLen(s string) int {
	for i := range len(s) {
		c := s[i]
		switch {
		case confLetter(c), confDigit(c), strings.IndexByte("-._:/", c) >= 0:
		case c == '+' && (i == 0 || s[i-1] == 'e' || s[i-1] == 'E'), c == '$' && i > 0:
		default:
			return i
		}
	}
	return len(s)
}

// unquoteConf reads the quoted string at the start of s (guc-file.l, DeescapeQuotedString).
func unquoteConf(s string) (value, rest string, err error) {
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\'' && i+1 < len(s) && s[i+1] == '\'':
			b.WriteByte('\'')
			i++
		case c == '\'':
			return b.String(), s[i+1:], nil
		case c == '\\' && i+1 < len(s):
			i++
			switch e := s[i]; e {
			case 'b':
				b.WriteByte('\b')
			case 'f':
				b.WriteByte('\f')
			case 'n':
				b.WriteByte('\n')
			case 'r':
				b.WriteByte('\r')
			case 't':
				b.WriteByte('\t')
			case '0', '1', '2', '3', '4', '5', '6', '7':
				octal := 0
				for k := 0; k < 3 && i < len(s) && s[i] >= '0' && s[i] <= '7'; k++ {
					octal = octal*8 + int(s[i]-'0')
					i++
				}
				i--
				b.WriteByte(byte(octal))
			default:
				b.WriteByte(e)
			}
		default:
			b.WriteByte(c)
		}
	}
	return "", "", fmt.Errorf("the quoted value %s has no end on its line", firstWord(s))
}

func firstWord(s string) string {
	if i := strings.IndexAny(s, " \t\r\n"); i > 0 {
		s = s[:i]
	}
	if len(s) > 40 {
		s = s[:40] + "..."
	}
	return s
}
