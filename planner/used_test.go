package planner

import (
	"slices"
	"strings"
	"testing"
	"time"

	"pg_manage/schema"
)

// TestGuard_AnEmptyTargetThatWasInUseIsNotNew: a disk that is not mounted leaves an empty
// directory. Which traces say so, and which do not.
func TestGuard_AnEmptyTargetThatWasInUseIsNotNew(t *testing.T) {
	since := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	note := func(c *schema.Cluster, kind, id string) UsedPlace {
		return NewBackupPlace(c.Archives[0].Target, c.Name).UsedFor(kind, id, since)
	}
	for what, test := range map[string]struct {
		trace func(c *schema.Cluster, o *ClusterFacts, id string)
		lost  bool // the archive
		gone  bool // the backups
	}{
		"nothing": {trace: func(*schema.Cluster, *ClusterFacts, string) {}},
		"its archive": {lost: true, trace: func(c *schema.Cluster, o *ClusterFacts, id string) {
			o.Nodes["node1"].Used = []UsedPlace{note(c, UsedForArchive, id)}
		}},
		"its backups, from the other node": {gone: true, trace: func(c *schema.Cluster, o *ClusterFacts, id string) {
			o.Nodes["node2"].Used = []UsedPlace{note(c, UsedForBackups, id)}
		}},
		"WAL that was archived": {lost: true, trace: func(_ *schema.Cluster, o *ClusterFacts, _ string) {
			o.Nodes["node1"].Archives[0].Took = since
		}},
		"those of a cluster that was here before": {trace: func(c *schema.Cluster, o *ClusterFacts, _ string) {
			o.Nodes["node1"].Used = []UsedPlace{note(c, UsedForArchive, "7"), note(c, UsedForBackups, "7")}
		}},
		"another place": {trace: func(c *schema.Cluster, o *ClusterFacts, id string) {
			a, b := note(c, UsedForArchive, id), note(c, UsedForBackups, id)
			a.Place, b.Place = a.Place+"-old", b.Place+"-old"
			o.Nodes["node1"].Used = []UsedPlace{a, b}
		}},
	} {
		t.Run(what, func(t *testing.T) {
			c, w := after(twoBackedUp, nil, nil)(t)
			seen := w.observe(c)
			o := seen.Clusters[c.Name]
			for _, n := range o.Nodes {
				for i := range n.Catalogs {
					n.Catalogs[i].Backups = nil
				}
			}
			f := o.Nodes["node1"]
			f.Archives[0] = ArchiveFact{Target: f.Archives[0].Target, State: ArchiveAbsent, Evidence: "asked"}
			test.trace(c, o, f.Data.SystemIdentifier)
			opts := testOptions()
			opts.Now = w.clock
			p := New(config(c), seen, opts)
			says := func(text string) bool {
				return slices.ContainsFunc(p.Findings, func(f Finding) bool {
					return f.Severity == schema.SeverityError && strings.Contains(f.Summary, text) && strings.Contains(f.Detail, "Mount it")
				})
			}
			if got := says("the archive of main"); got != test.lost {
				t.Errorf("the archive is missed: %v\n%+v", got, p.Findings)
			}
			if got := says("the base backups of main"); got != test.gone {
				t.Errorf("the backups are missed: %v\n%+v", got, p.Findings)
			}
			if s := p.Step("main/node1/create-archive/" + c.Archives[0].Target.Name); (s == nil) != test.lost {
				t.Errorf("create-archive: %+v, %v", s, steps(p))
			}
			backs := slices.ContainsFunc(p.Steps, func(s Step) bool { return s.Kind == KindBackup && s.Blocked == "" })
			if backs == (test.gone || test.lost) {
				t.Errorf("a backup is planned: %v: %v", backs, steps(p))
			}
			for _, s := range p.Steps {
				if (s.Kind == KindExpire || s.Kind == KindProve) && (test.gone || test.lost) {
					t.Errorf("planned: %s", s.ID)
				}
			}
		})
	}
}

func TestANoteOfUseIsReadAsItWasWritten(t *testing.T) {
	c := twoBackedUp()
	u := NewBackupPlace(c.Archives[0].Target, c.Name).UsedFor(UsedForBackups, "7000000000000000001", time.Now())
	got, err := DecodeUsed(u.Encode())
	if err != nil || got != u {
		t.Errorf("%+v, %v", got, err)
	}
	if a := NewBackupPlace(c.Archives[0].Target, c.Name).UsedFor(UsedForArchive, "7000000000000000001", time.Now()); a.File() == u.File() || a.Place == u.Place {
		t.Errorf("%+v %+v", a, u)
	}
	for _, text := range []string{"", "{}", "{\"place\":\"x\"}", "garbage"} {
		if _, err := DecodeUsed([]byte(text)); err == nil {
			t.Errorf("%q is taken for a note", text)
		}
	}
}
