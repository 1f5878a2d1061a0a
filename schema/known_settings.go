package schema

import (
	_ "embed"
	"fmt"
	"strings"

	"github.com/hashicorp/hcl/v2"

	"pg_manage/schema/postgres"
)

//go:embed settings.tsv
var settingsText string

// knownSettings are the parameters of the PostgreSQL versions that are supported, by name.
func knownSettings() map[string]postgres.Setting {
	out := map[string]postgres.Setting{}
	for line := range strings.Lines(settingsText) {
		f := append(strings.Split(strings.TrimRight(line, "\n"), "\t"), "", "", "")
		if strings.HasPrefix(f[0], "#") || f[0] == "" {
			continue
		}
		s := postgres.Setting{Name: f[0], VarType: f[1], Unit: f[2]}
		if f[3] != "" {
			s.EnumVals = strings.Split(f[3], ",")
		}
		out[s.Name] = s
	}
	return out
}

// checkKnown holds a parameter against the ones that PostgreSQL has: with a wrong
// name or value the server would not start.
func (l *loader) checkKnown(place hcl.Range, name, value string) {
	if strings.Contains(name, ".") { // an extension's
		return
	}
	if l.settings == nil {
		l.settings = knownSettings()
	}
	s, ok := l.settings[name]
	if !ok {
		if hint := suggestion(name, sortedKeys(l.settings)); hint != "" {
			l.warnAt(place, fmt.Sprintf("No parameter %q is known", name), hint+" PostgreSQL does not start with a parameter that it does not have.")
		}
		return
	}
	if s.VarType == "" {
		return
	}
	_, err := postgres.NormalizeSetting(value, s)
	switch {
	case err == nil:
	case s.VarType == "enum": // a later version may have more words
		l.warnAt(place, fmt.Sprintf("%q is no value of %s that is known", value, name),
			joinSentences(suggestion(value, s.EnumVals), "Write "+listed(s.EnumVals, "or")+"."))
	default:
		l.errorAt(place, fmt.Sprintf("PostgreSQL cannot read %s = %q", name, value), settingHelp(s))
	}
}

// settingHelp says how a parameter's value is written.
func settingHelp(s postgres.Setting) string {
	switch {
	case s.VarType == "bool":
		return "Write true or false."
	case strings.HasSuffix(s.Unit, "B"):
		return fmt.Sprintf("Write a whole number with B, kB, MB, GB or TB, for example %s = \"64MB\"; a bare number counts units of %s.", s.Name, s.Unit)
	case s.Unit != "":
		return fmt.Sprintf("Write a number with us, ms, s, min, h or d, for example %s = \"30s\"; a bare number counts %s.", s.Name, s.Unit)
	case s.VarType == "integer":
		return "Write a whole number."
	}
	return "Write a number."
}
