package schema

import (
	"fmt"
	"math/big"
	"slices"
	"strings"
	"time"

	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
)

// text reads an argument that is a text, "" when there is none.
func (b *block) text(name string) string {
	v, ok := b.shown(name)
	if !ok {
		return ""
	}
	s, ok := b.oneLine(name, v)
	if !ok {
		return ""
	}
	if s == "" {
		b.wrong(name, fmt.Sprintf("%q is empty", name), "Write a value, or leave the argument out.")
	}
	return s
}

// oneLine converts a value to a text and refuses what no argument may hold.
func (b *block) oneLine(name string, v cty.Value) (string, bool) {
	s, err := convert.Convert(v, cty.String)
	if err != nil || s.IsNull() {
		b.wrong(name, fmt.Sprintf("%q must be a text", name), fmt.Sprintf("It is %s. Write one text between quotes.", kindOf(v)))
		return "", false
	}
	if t := s.AsString(); !strings.ContainsAny(t, "\x00\n\r") {
		return t, true
	}
	b.wrong(name, fmt.Sprintf("%q holds a line break or zero byte", name),
		"Write it on one line; trimspace(file(...)) takes the line break off a file's text.")
	return "", false
}

// kindOf names the type of a value with its article.
func kindOf(v cty.Value) string {
	ty := v.Type()
	switch {
	case v.IsNull():
		return "null"
	case ty == cty.String:
		return "a text"
	case ty.IsPrimitiveType():
		return "a " + ty.FriendlyName()
	case ty.IsTupleType() || ty.IsListType():
		return "a list"
	case ty.IsSetType():
		return "a set"
	default:
		return "a map"
	}
}

// number reads a whole number between lo and hi, 0 when there is none.
func (b *block) number(name string, lo, hi int64) int {
	v, ok := b.shown(name)
	if !ok {
		return 0
	}
	n, err := convert.Convert(v, cty.Number)
	if err != nil || n.IsNull() {
		b.wrong(name, fmt.Sprintf("%q must be a number", name), fmt.Sprintf("It is %s. Write a whole number from %d to %d, without quotes.", kindOf(v), lo, hi))
		return 0
	}
	i, acc := n.AsBigFloat().Int64()
	if acc != big.Exact || i < lo || i > hi {
		b.wrong(name, fmt.Sprintf("%q is out of range", name), fmt.Sprintf("Write a whole number from %d to %d.", lo, hi))
		return 0
	}
	return int(i)
}

// flag reads a truth value.
func (b *block) flag(name string, otherwise bool) bool {
	v, ok := b.shown(name)
	if !ok {
		return otherwise
	}
	t, err := convert.Convert(v, cty.Bool)
	if err != nil || t.IsNull() {
		b.wrong(name, fmt.Sprintf("%q must be true or false", name), fmt.Sprintf("It is %s. Write true or false, without quotes.", kindOf(v)))
		return otherwise
	}
	return t.True()
}

// duration reads a length of time, 0 when there is none.
func (b *block) duration(name string) time.Duration {
	v, ok := b.shown(name)
	if !ok {
		return 0
	}
	if v.Type() != cty.String {
		b.wrong(name, fmt.Sprintf("%q must be a length of time", name),
			fmt.Sprintf(`It is %s. Write a number with its unit between quotes, for example "90s", "1h30m", "7d" or "2w".`, kindOf(v)))
		return 0
	}
	d, err := ParseDuration(v.AsString())
	if err != nil {
		b.wrong(name, fmt.Sprintf("%q is not a length of time", name), capital(err.Error())+".")
		return 0
	}
	return d
}

// texts reads a list of texts.
func (b *block) texts(name string) []string {
	v, ok := b.shown(name)
	if !ok {
		return nil
	}
	ty := v.Type()
	if !ty.IsTupleType() && !ty.IsListType() && !ty.IsSetType() {
		b.wrong(name, fmt.Sprintf("%q must be a list", name), fmt.Sprintf(`It is %s. Write texts between brackets: %s = ["...", "..."].`, kindOf(v), name))
		return nil
	}
	var out []string
	for it := v.ElementIterator(); it.Next(); {
		_, e := it.Element()
		s, ok := b.oneLine(name, e)
		if !ok {
			return nil
		}
		out = append(out, s)
	}
	return out
}

// oneOf reads a text that is one of a few words.
func (b *block) oneOf(name string, words ...string) string {
	s := b.text(name)
	if s == "" || slices.Contains(words, s) {
		return s
	}
	b.wrong(name, fmt.Sprintf("%q cannot be %q", name, s),
		joinSentences(suggestion(or(synonym(s), s), words), "Write "+listed(words, "or")+"."))
	return ""
}

// synonym is PostgreSQL's own word for what other systems say.
func synonym(word string) string {
	switch strings.ToLower(word) {
	case "master", "leader", "main":
		return "primary"
	case "slave", "replica", "secondary", "follower":
		return "standby"
	case "gz":
		return "gzip"
	case "zst":
		return "zstd"
	}
	return ""
}

// absPath reads an absolute path on a node.
func (b *block) absPath(name string) string {
	s := b.text(name)
	switch {
	case s == "":
		return ""
	case !strings.HasPrefix(s, "/"):
		b.wrong(name, fmt.Sprintf("%q is not an absolute path", name), fmt.Sprintf("It is a path on the node and starts with a slash: write for example %q.", examplePath(name)))
		return ""
	case hasDotDot(s):
		b.wrong(name, fmt.Sprintf("%q has \"..\" in it", name), "Write the path as it really is.")
		return ""
	}
	return cleanPath(s)
}

func examplePath(argument string) string {
	p := DefaultPaths("debian", NewestVersion)
	switch argument {
	case "data_dir":
		return p.DataDir
	case "config_dir":
		return p.ConfigDir
	case "bin_dir":
		return p.BinDir
	case "ca_file":
		return "/etc/ssl/certs/minio-ca.pem"
	case "credentials_file":
		return "/var/lib/postgresql/.aws/credentials"
	case "age_identity_file":
		return "/var/lib/postgresql/.config/age/key.txt"
	}
	return "/var/lib/postgresql/.ssh/id_ed25519"
}

// secret reads a sensitive text. Its value is kept out of every message.
func (b *block) secret(name string) Secret {
	v, ok := b.value(name)
	if !ok {
		return Secret{}
	}
	v, _ = v.UnmarkDeep()
	s, err := convert.Convert(v, cty.String)
	if err != nil || s.IsNull() {
		b.wrong(name, fmt.Sprintf("%q must be a text", name), fmt.Sprintf("It is %s. Write one text, best %s = env(\"NAME\").", kindOf(v), name))
		return Secret{}
	}
	t := s.AsString()
	b.l.keepSecret(t)
	switch {
	case t == "":
		b.wrong(name, fmt.Sprintf("%q is empty", name), "Give it a value; where it comes from env(\"NAME\"), set that environment variable.")
	case strings.ContainsAny(t, "\x00\n\r"):
		b.wrong(name, fmt.Sprintf("%q holds a line break or zero byte", name), "Use trimspace(file(...)) to take the line break off a file's text.")
		return Secret{}
	}
	return NewSecret(t)
}

// textsIn collects every text inside a value.
func textsIn(v cty.Value) []string {
	v, _ = v.UnmarkDeep()
	var out []string
	_ = cty.Walk(v, func(_ cty.Path, e cty.Value) (bool, error) {
		if e.IsKnown() && !e.IsNull() && e.Type() == cty.String {
			out = append(out, e.AsString())
		}
		return true, nil
	})
	return out
}
