package observe

import (
	"testing"

	"pg_manage/planner"
)

// FuzzHookStatus reads what a node may say: what is understood has its targets, and
// nothing makes it panic.
func FuzzHookStatus(f *testing.F) {
	for _, s := range []string{
		idle, "", "{}", `{"version":2}`, `{"version":2,"targets":[{"name":"a","dropped":[{"since":""},{"since":"2026-01-02T03:04:05Z"}]}]}`,
		`{"version":2,"archiver":{"last_time":null,"pid":-1}}`, `{"version":2,"targets":[{"state":7}]}`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := parseHookStatus(text)
		if (s == nil) == (err == nil) {
			t.Fatalf("%v, %v", s, err)
		}
		if err != nil {
			return
		}
		var facts planner.NodeFacts
		s.fill(&facts)
		if !facts.Archiving.Known || len(facts.Archiving.Queues) != len(s.Targets) {
			t.Fatalf("%+v of %q", facts.Archiving, text)
		}
	})
}
