package postgres

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Setting is a configuration parameter as the view pg_settings shows it
// (PostgreSQL manual, "pg_settings").
type Setting struct {
	Name     string
	Value    string // pg_settings.setting: in base units, booleans as on and off
	Unit     string // such as "8kB", "ms"; "" when the parameter has none
	VarType  string // bool, enum, integer, real or string
	Context  string // internal, postmaster, sighup, superuser-backend, backend, superuser, user
	EnumVals []string
}

// RestartNeeded says whether a parameter of this pg_settings.context takes a new
// value only at a restart of the server.
func RestartNeeded(context string) bool { return context == "postmaster" }

// EqualSetting says whether the value declared, as it would stand unquoted in
// postgresql.conf, is the one that the server has: units, roundings and spellings
// are those of the server's guc.c. A declared value that the server would refuse
// is an error.
//
// Some parameters accept "choose for me" (wal_buffers = -1) and then show what was
// chosen; such a declaration is equal to any value.
func EqualSetting(declared string, s Setting) (bool, error) {
	want, err := NormalizeSetting(declared, s)
	if err != nil {
		return false, err
	}
	if s.Value == want || automatic(s.Name, want) {
		return true, nil
	}
	switch s.VarType {
	case "integer", "real":
		// The server shows some integers in octal (unix_socket_permissions).
		have, err := NormalizeSetting(s.Value, s)
		return err == nil && have == want, nil
	case "enum":
		return strings.EqualFold(s.Value, want), nil
	case "string":
		have := strings.TrimSpace(s.Value)
		switch strings.ToLower(s.Name) {
		case "timezone", "log_timezone", "client_encoding": // shown in a spelling of the server's own
			return strings.EqualFold(have, want), nil
		case "datestyle": // shown with both of its parts, also when one was given
			return subsetOf(want, have), nil
		}
		return have == want, nil
	}
	return false, nil
}

// NormalizeSetting gives the declared value in the form in which pg_settings.setting
// shows it: a number in base units, on or off, an enum's own spelling.
func NormalizeSetting(declared string, s Setting) (string, error) {
	switch s.VarType {
	case "bool":
		v, ok := ParseBool(declared)
		if !ok {
			return "", fmt.Errorf("%s = %q: want a boolean: on or off", s.Name, declared)
		}
		if v {
			return "on", nil
		}
		return "off", nil
	case "integer":
		v, err := parseSettingInt(declared, s.Unit)
		if err != nil {
			return "", fmt.Errorf("%s = %q: %w", s.Name, declared, err)
		}
		return strconv.FormatInt(int64(v), 10), nil
	case "real":
		v, err := parseSettingReal(declared, s.Unit)
		if err != nil {
			return "", fmt.Errorf("%s = %q: %w", s.Name, declared, err)
		}
		return formatReal(v), nil
	case "enum":
		return normalizeEnum(declared, s)
	case "string":
		return strings.TrimSpace(declared), nil
	}
	return "", fmt.Errorf("%s: unknown type of parameter %q", s.Name, s.VarType)
}

// ParseBool reads a boolean as the server does: on, off, true, false, yes, no and
// their unique beginnings, 1 and 0, in any case (bool.c, parse_bool).
func ParseBool(s string) (value, ok bool) {
	w := strings.ToLower(s)
	switch {
	case w == "":
		return false, false
	case w == "on", w == "1", strings.HasPrefix("true", w), strings.HasPrefix("yes", w):
		return true, true
	case w == "of", w == "off", w == "0", strings.HasPrefix("false", w), strings.HasPrefix("no", w):
		return false, true
	}
	return false, false
}

func normalizeEnum(declared string, s Setting) (string, error) {
	find := func(w string) (string, bool) {
		i := slices.IndexFunc(s.EnumVals, func(v string) bool { return strings.EqualFold(v, w) })
		if i < 0 {
			return "", false
		}
		return s.EnumVals[i], true
	}
	word := declared
	// Spellings that the server accepts and pg_settings.enumvals doesn't list.
	switch strings.ToLower(declared) {
	case "true", "yes", "1":
		word = "on"
	case "false", "no", "0":
		word = "off"
	case "archive", "hot_standby":
		if s.Name == "wal_level" {
			word = "replica"
		}
	case "debug":
		word = "debug2"
	}
	if s.Name == "wal_compression" && strings.EqualFold(word, "on") {
		if v, ok := find("pglz"); ok { // the server shows the first name of the value
			return v, nil
		}
	}
	if v, ok := find(declared); ok {
		return v, nil
	}
	if v, ok := find(word); ok {
		return v, nil
	}
	if len(s.EnumVals) == 0 {
		return strings.ToLower(word), nil
	}
	return "", fmt.Errorf("%s = %q: want one of %s", s.Name, declared, strings.Join(s.EnumVals, ", "))
}

// automatic lists what the server replaces by a value of its own choice and shows as that.
func automatic(name, want string) bool {
	switch name {
	case "wal_buffers", "io_max_concurrency":
		return want == "-1"
	case "commit_timestamp_buffers", "subtransaction_buffers", "transaction_buffers":
		return want == "0"
	}
	return false
}

// subsetOf says whether every word of the list a comes in the list b.
func subsetOf(a, b string) bool {
	words := func(s string) []string {
		return strings.FieldsFunc(strings.ToLower(s), func(r rune) bool { return r == ',' || r == ' ' })
	}
	have := words(b)
	return !slices.ContainsFunc(words(a), func(w string) bool { return !slices.Contains(have, w) })
}
