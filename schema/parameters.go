package schema

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
)

// parameterText is the form of a setting's name, an extension's with its prefix.
var parameterText = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_$]*(\.[A-Za-z_][A-Za-z0-9_$]*)*$`)

// parameter is one element of a map, such as parameters.
type parameter struct {
	key   string
	place hcl.Range
	value cty.Value
}

// parameters reads PostgreSQL settings. The map is never nil.
func (l *loader) parameters(b *block) map[string]string {
	out := map[string]string{}
	written := map[string]string{}
	words := mapWords{
		name: "parameters", example: `parameters = { shared_buffers = "2GB" }`,
		badKey: "A parameter's name must be a text", keyHint: "Write the name as in postgresql.conf, such as shared_buffers.",
	}
	for _, p := range l.mapElements(b, words) {
		name := strings.ToLower(p.key)
		if other, dup := written[name]; dup {
			detail := "Only the last one would count. Remove one."
			if other != p.key {
				detail = fmt.Sprintf("It stands as %q and as %q, which are the same to PostgreSQL.", other, p.key)
			}
			l.errorAt(p.place, fmt.Sprintf("Parameter %q is set twice", name), detail)
			continue
		}
		written[name] = p.key
		if p.value == cty.NilVal || !l.checkParameter(p.place, name) {
			continue
		}
		if s, ok := l.parameterValue(p.place, name, p.value); ok {
			out[name] = s
			l.checkKnown(p.place, name, s)
		}
	}
	return out
}

// mapWords are the words in which messages speak of an argument that is a map.
type mapWords struct{ name, example, badKey, keyHint string }

// mapElements evaluates an argument that is a map. Where the map is written out
// each element is evaluated alone, so that a wrong one does not hide the others.
func (l *loader) mapElements(b *block, words mapWords) []parameter {
	name := words.name
	a := b.attrs[name]
	if a == nil {
		return nil
	}
	var out []parameter
	written, ok := a.Expr.(*hclsyntax.ObjectConsExpr)
	if !ok {
		v, ok := b.shown(name)
		if !ok {
			return nil
		}
		if ty := v.Type(); !ty.IsObjectType() && !ty.IsMapType() {
			b.wrong(name, fmt.Sprintf("%q must be a map", name), fmt.Sprintf("It is %s. Write %s.", kindOf(v), words.example))
			return nil
		}
		for it := v.ElementIterator(); it.Next(); {
			k, e := it.Element()
			out = append(out, parameter{k.AsString(), b.place(name), e})
		}
		return out
	}
	for _, item := range written.Items {
		k, ok := l.eval(item.KeyExpr)
		if !ok || !k.IsKnown() {
			continue
		}
		text, err := convert.Convert(k, cty.String)
		if err != nil || text.IsNull() || text.IsMarked() {
			l.errorAt(item.KeyExpr.Range(), words.badKey, words.keyHint)
			continue
		}
		p := parameter{text.AsString(), item.KeyExpr.Range(), cty.NilVal}
		v, ok := l.eval(item.ValueExpr)
		switch _, marks := v.UnmarkDeep(); {
		case !ok || !v.IsWhollyKnown():
		case len(marks) > 0:
			l.sensitiveAt(item.ValueExpr.Range(), p.key)
		default:
			p.value = v
		}
		out = append(out, p)
	}
	return out
}

// keyPlaces finds where the names in a map of parameters stand, in lower case.
func (b *block) keyPlaces(name string) map[string]hcl.Range {
	out := map[string]hcl.Range{}
	a := b.attrs[name]
	if a == nil {
		return out
	}
	m, ok := a.Expr.(*hclsyntax.ObjectConsExpr)
	if !ok {
		return out
	}
	for _, item := range m.Items {
		v, hd := item.KeyExpr.Value(nil)
		if v, _ = v.Unmark(); hd.HasErrors() || !v.IsKnown() || v.IsNull() || v.Type() != cty.String {
			continue
		}
		out[strings.ToLower(v.AsString())] = item.KeyExpr.Range()
	}
	return out
}

// parameterValue gives a value as it would stand unquoted in postgresql.conf.
func (l *loader) parameterValue(place hcl.Range, name string, v cty.Value) (string, bool) {
	switch {
	case v.IsNull():
		return "", false
	case v.Type() == cty.Bool:
		if v.True() {
			return "on", true
		}
		return "off", true
	case v.Type() == cty.String || v.Type() == cty.Number:
		s, err := convert.Convert(v, cty.String)
		if err == nil && !strings.ContainsAny(s.AsString(), "\x00\n\r") {
			return s.AsString(), true
		}
		l.errorAt(place, fmt.Sprintf("The value of %s holds a line break or zero byte", name), "Write it on one line.")
		return "", false
	}
	detail := "Write a text, a number, true or false."
	if ty := v.Type(); ty.IsTupleType() || ty.IsListType() || ty.IsSetType() {
		detail = fmt.Sprintf("Write one text, its parts separated by commas: %s = \"a, b\", or join(\", \", [...]).", name)
	}
	l.errorAt(place, fmt.Sprintf("Parameter %s is %s", name, kindOf(v)), detail)
	return "", false
}

// checkParameter refuses settings that are governed by arguments of the language.
func (l *loader) checkParameter(place hcl.Range, name string) bool {
	if !parameterText.MatchString(name) {
		l.errorAt(place, fmt.Sprintf("%q cannot be the name of a parameter", name), "Write the name as in postgresql.conf, such as shared_buffers.")
		return false
	}
	instead := governed(name)
	if instead == "" {
		return true
	}
	l.errorAt(place, fmt.Sprintf("Parameter %q is governed by pg_manage", name), instead)
	return false
}

// governed says what to write instead of a setting that pg_manage itself makes,
// "" for all others.
func governed(name string) string {
	switch name {
	case "port":
		return "Write the argument port of the cluster or node."
	case "data_directory":
		return "Write the argument data_dir of the cluster or node."
	case "config_file":
		return "Write the argument config_dir of the cluster or node."
	case "hba_file":
		return "Write rules in the argument hba of the cluster; the file stays where the instance has it."
	case "ident_file":
		return "It stays where the instance has it: edit pg_ident.conf there."
	case "external_pid_file":
		return "It stays as the instance's packages have it."
	case "primary_conninfo":
		return "It is made from the node's upstream and the replication block. Write the argument upstream of the node."
	case "primary_slot_name":
		return "Each standby gets a slot of its own at its upstream. Write the argument upstream of the node."
	case "restore_command", "archive_mode", "archive_command", "archive_library", "archive_cleanup_command":
		return "Write archive { target = \"NAME\" } in the cluster."
	case "archive_timeout":
		return "Write archive { timeout = \"5m\" } in the cluster."
	case "recovery_min_apply_delay":
		return "Write the argument delay of the node, for example delay = \"1h\"."
	case "cluster_name":
		return "It is the node's name, by which its upstream knows it. Rename the node instead."
	case "promote_trigger_file", "trigger_file":
		return "Promotion is done with pg_manage promote."
	case "standby_mode":
		return "Write role = \"standby\" in the node."
	case "include", "include_dir", "include_if_exists":
		return "Write the parameters here; file() and jsondecode() read them from elsewhere."
	}
	if strings.HasPrefix(name, "recovery_target") {
		return "Write bootstrap { restore { ... } } with time, lsn, xid, name, immediate or timeline."
	}
	return ""
}
