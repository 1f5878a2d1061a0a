package observe

import (
	"errors"
	"strings"
)

// sections is what probe.sh printed.
type sections struct {
	values map[string][]string // by name, in order
	files  map[string]string   // content by name; absent files have no entry
}

var errCutShort = errors.New("the probe script ended before its last line")

// parseSections reads the format that the head of probe.sh describes. Output without
// its last line is an error: facts that are missing there are not absent.
func parseSections(out string) (*sections, error) {
	s := &sections{values: map[string][]string{}, files: map[string]string{}}
	var file, value string // the name that a continuation belongs to
	for line := range strings.Lines(out) {
		line = strings.TrimSuffix(line, "\n")
		if more, ok := strings.CutPrefix(line, "|"); ok {
			switch {
			case file != "":
				s.files[file] += more + "\n"
			case value != "":
				v := s.values[value]
				v[len(v)-1] += "\n" + more
			default:
				return nil, errors.New("the probe script's output begins in the middle")
			}
			continue
		}
		file, value = "", ""
		if name, ok := strings.CutPrefix(line, "@"); ok && name != "" {
			file = name
			s.files[name] = ""
			continue
		}
		name, v, ok := strings.Cut(line, "=")
		if !ok || name == "" {
			return nil, errors.New("the probe script's output has a line that it does not write: does the login shell print something?")
		}
		value = name
		s.values[name] = append(s.values[name], v)
	}
	if s.get("end") != "1" {
		return nil, errCutShort
	}
	return s, nil
}

// get is the last value of a name; "" when there is none.
func (s *sections) get(name string) string {
	if v := s.values[name]; len(v) > 0 {
		return v[len(v)-1]
	}
	return ""
}

func (s *sections) is(name string) bool { return s.get(name) == "1" }
