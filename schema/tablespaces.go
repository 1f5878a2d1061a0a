package schema

import (
	"fmt"
	"strings"

	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
)

// MapTablespace adds to m that the tablespace which a backup has at one location is
// restored to another. The error says which of the two is wrong, and why.
func MapTablespace(m map[string]string, from, to string) error {
	for _, s := range []string{from, to} {
		switch {
		case !strings.HasPrefix(s, "/"):
			return fmt.Errorf("%q is not an absolute path", s)
		case hasDotDot(s):
			return fmt.Errorf("%q has \"..\" in it", s)
		case cleanPath(s) == "/":
			return fmt.Errorf("%q is no directory of a tablespace", s)
		case strings.ContainsAny(s, "\x00\n\r"):
			return fmt.Errorf("%q holds a line break or zero byte", s)
		}
	}
	from, to = cleanPath(from), cleanPath(to)
	if _, twice := m[from]; twice {
		return fmt.Errorf("the tablespace at %q is mapped twice", from)
	}
	for other, at := range m {
		if at == to {
			return fmt.Errorf("the tablespaces at %q and %q cannot both go to %q", other, from, to)
		}
	}
	m[from] = to
	return nil
}

// tablespaces reads where the tablespaces of a backup are restored to.
func (l *loader) tablespaces(b *block) map[string]string {
	words := mapWords{
		name: "tablespaces", example: `tablespaces = { "/old/location" = "/new/location" }`,
		badKey: "A tablespace's location must be a text", keyHint: "Write the absolute path that the backup has it at.",
	}
	var out map[string]string
	for _, p := range l.mapElements(b, words) {
		if p.value == cty.NilVal {
			continue
		}
		to, err := convert.Convert(p.value, cty.String)
		if err != nil || to.IsNull() {
			l.errorAt(p.place, fmt.Sprintf("The new location of tablespace %q must be a text", p.key), fmt.Sprintf("It is %s. Write %s.", kindOf(p.value), words.example))
			continue
		}
		if out == nil {
			out = map[string]string{}
		}
		if err := MapTablespace(out, p.key, to.AsString()); err != nil {
			l.errorAt(p.place, capital(err.Error()), "Write "+words.example+", absolute paths on the node, each once.")
		}
	}
	return out
}
