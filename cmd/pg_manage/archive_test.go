package main

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"pg_manage/cmd/internal/view"
	"pg_manage/planner"
	"pg_manage/schema"
)

func archivingCluster() *schema.Cluster {
	c := &schema.Cluster{Name: "main", Nodes: []*schema.Node{{Name: "node1", Role: schema.RolePrimary}, {Name: "node2", Role: schema.RoleStandby}}}
	for _, name := range []string{"nas", "offsite"} {
		c.Archives = append(c.Archives, &schema.Archive{Required: name == "nas", Target: &schema.Target{Name: name, URL: schema.URL{Scheme: "file", Path: "/" + name}, ArchiveDir: "wal"}})
	}
	return c
}

func reader() archiveReader {
	c := archivingCluster()
	f := &planner.NodeFacts{}
	f.Files.HookConfig = planner.NewHookConfig(c, "node1", f.Paths).Encode()
	return archiveReader{cluster: c, node: c.Nodes[0], facts: f}
}

const wholeAudit = `{"version":1,"target":"nas","system_identifier":"7","segment_size":16777216,"quick":false,"segments":3,"bytes_stored":1000,
"timelines":[{"timeline":2,"parent":1,"fork_lsn":"0/3000028","ranges":[{"from":"000000020000000000000003","to":"000000020000000000000005","from_lsn":"0/3000000","to_lsn":"0/6000000","segments":3}],"missing":[]}],
"problems":[],"recoverable":[{"timeline":2,"from_lsn":"0/3000000","to_lsn":"0/6000000","through":[2]}],"error":"","later":true}`

func oneLine(s string) string { return strings.ReplaceAll(s, "\n", "") + "\n" }

func TestAudits(t *testing.T) {
	whole := view.ArchiveAudit{
		Cluster: "main", Node: "node1", Target: "nas", SystemIdentifier: "7", SegmentSize: 16 << 20, Segments: 3, StoredBytes: 1000,
		Timelines: []view.AuditTimeline{{
			Timeline: 2, Parent: 1, ForkLSN: "0/3000028", Missing: []view.AuditRange{},
			Ranges: []view.AuditRange{{From: "000000020000000000000003", To: "000000020000000000000005", FromLSN: "0/3000000", ToLSN: "0/6000000", Segments: 3}},
		}},
		Problems: []view.AuditProblem{}, Recoverable: []view.AuditSpan{{Timeline: 2, FromLSN: "0/3000000", ToLSN: "0/6000000", Through: []uint32{2}}},
	}
	none := func(target, err string) view.ArchiveAudit {
		return view.ArchiveAudit{
			Cluster: "main", Node: "node1", Target: target, Error: err,
			Timelines: []view.AuditTimeline{}, Problems: []view.AuditProblem{}, Recoverable: []view.AuditSpan{},
		}
	}
	odd := misunderstood("audit").Error()
	for name, c := range map[string]struct {
		text string
		err  error
		want []view.ArchiveAudit
	}{
		"both": {
			oneLine(wholeAudit) + `{"version":1,"target":"offsite","error":"no route"}`, errors.New("status 2"),
			[]view.ArchiveAudit{whole, none("offsite", "no route")},
		},
		"one was cut off": {
			oneLine(wholeAudit), errors.New("the connection was lost"),
			[]view.ArchiveAudit{whole, none("offsite", "the connection was lost")},
		},
		"one is silent":              {oneLine(wholeAudit), nil, []view.ArchiveAudit{whole, none("offsite", odd)}},
		"nothing":                    {"", errors.New("no such program"), []view.ArchiveAudit{none("nas", "no such program"), none("offsite", "no such program")}},
		"another version":            {`{"version":2,"target":"nas"}`, nil, []view.ArchiveAudit{none("nas", odd), none("offsite", odd)}},
		"half a line":                {oneLine(wholeAudit)[:100], nil, []view.ArchiveAudit{none("nas", odd), none("offsite", odd)}},
		"no target":                  {`{"version":1}`, nil, []view.ArchiveAudit{none("nas", odd), none("offsite", odd)}},
		"the node cannot be reached": {"", errors.New("unreachable: refused"), []view.ArchiveAudit{none("nas", "unreachable: refused"), none("offsite", "unreachable: refused")}},
	} {
		if diff := cmp.Diff(c.want, audits(reader(), c.text, c.err)); diff != "" {
			t.Errorf("%s: want - got +:\n%s", name, diff)
		}
	}
}

func TestPushes(t *testing.T) {
	empty := view.NodePush{Cluster: "main", Node: "node1", Pushed: []string{}, Unpushable: []view.AuditRange{}, Failed: []view.PushFailure{}}
	with := func(change func(*view.NodePush)) view.NodePush {
		p := empty
		change(&p)
		return p
	}
	for name, c := range map[string]struct {
		text string
		err  error
		want []view.NodePush
	}{
		"done": {`{"version":1,"pushed":["a","b"],"present":4,"unpushable":[],"failed":[],"dry_run":false}`, nil, []view.NodePush{
			with(func(p *view.NodePush) { p.Pushed, p.Present = []string{"a", "b"}, 4 }),
		}},
		"a hole is left": {`{"version":1,"target":"nas","pushed":[],"present":0,"unpushable":[{"from":"x","to":"y","segments":2}]}`, errors.New("status 1"), []view.NodePush{
			with(func(p *view.NodePush) {
				p.Target, p.Unpushable = "nas", []view.AuditRange{{From: "x", To: "y", Segments: 2}}
			}),
		}},
		"it failed":             {"", errors.New("no route"), []view.NodePush{with(func(p *view.NodePush) { p.Error = "no route" })}},
		"it failed afterwards":  {`{"version":1,"target":"nas","present":1}`, errors.New("no route"), []view.NodePush{with(func(p *view.NodePush) { p.Target, p.Present = "nas", 1 }), with(func(p *view.NodePush) { p.Error = "no route" })}},
		"it said nothing":       {"", nil, []view.NodePush{with(func(p *view.NodePush) { p.Error = misunderstood("push-missing").Error() })}},
		"it is another version": {`{"version":9}`, nil, []view.NodePush{with(func(p *view.NodePush) { p.Error = misunderstood("push-missing").Error() })}},
	} {
		if diff := cmp.Diff(c.want, pushes(reader(), c.text, c.err)); diff != "" {
			t.Errorf("%s: want - got +:\n%s", name, diff)
		}
	}
}

func TestWhoReadsTheArchives(t *testing.T) {
	c := archivingCluster()
	with := func(primary bool) *planner.NodeFacts {
		f := reader().facts
		f.Host.Installed = map[string]string{"pg_manage": "x"}
		f.Server = planner.ServerFacts{Running: true, Accepting: true, InRecovery: !primary}
		return f
	}
	bare := with(true)
	bare.Files.HookConfig = ""
	for name, test := range map[string]struct {
		named        *schema.Node
		node1, node2 *planner.NodeFacts
		want, err    string
	}{
		"the primary":              {nil, with(true), with(false), "node1", ""},
		"after a failover":         {nil, &planner.NodeFacts{Unreachable: "refused"}, with(true), "node2", ""},
		"no primary":               {nil, with(false), with(false), "", "0 of its nodes answer as primary"},
		"two primaries":            {nil, with(true), with(true), "", "2 of its nodes answer as primary"},
		"a standby by name":        {c.Nodes[1], with(true), with(false), "node2", ""},
		"unreachable":              {c.Nodes[1], with(true), &planner.NodeFacts{Unreachable: "refused"}, "node2", "unreachable: refused"},
		"not looked at":            {c.Nodes[1], with(true), nil, "node2", "not looked at"},
		"without the hook's files": {nil, bare, with(false), "node1", "run `pg_manage apply`"},
	} {
		obs := &planner.Observed{Clusters: map[string]*planner.ClusterFacts{"main": {Nodes: map[string]*planner.NodeFacts{"node1": test.node1, "node2": test.node2}}}}
		r := chooseReader(c, test.named, obs)
		if r.nodeName() != test.want || (r.err == nil) != (test.err == "") || !strings.Contains(r.problem(), test.err) {
			t.Errorf("%s: %q, %v", name, r.nodeName(), r.err)
		}
	}
}

// FuzzReports reads what a node may print: every target gets an entry, and one that no
// report tells of is never called whole without an error.
func FuzzReports(f *testing.F) {
	for _, s := range []string{"", oneLine(wholeAudit), oneLine(wholeAudit) + oneLine(wholeAudit), `{"version":1,"target":"offsite"}`, "null", `{"version":1,"pushed":["a"]}`, "{"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r := reader()
		found := map[string]bool{}
		for _, a := range audits(r, text, nil) {
			found[a.Target] = true
			if a.Error == "" && !strings.Contains(text, "target") {
				t.Errorf("%q: %+v", text, a)
			}
		}
		if !found["nas"] || !found["offsite"] {
			t.Errorf("%q: only %v", text, found)
		}
		if len(pushes(r, text, nil)) == 0 {
			t.Errorf("%q: nothing is told", text)
		}
	})
}
