package planner

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"pg_manage/schema"
)

// The form of hook.json, which package wal reads.
func TestHookConfigForm(t *testing.T) {
	c := withOffsite()
	nas := c.Archives[1].Target
	nas.URL.Port, nas.HostKeys, nas.IdentityFile = 2222, []string{"ssh-ed25519 AAAA"}, "/var/lib/postgresql/.ssh/id"
	c.Archiving = schema.Archiving{Workers: 4, SpoolLimit: 512 << 20, Log: true}
	h := NewHookConfig(c, "node1", Paths{DataDir: "/data", State: "/state"})
	got := h.Encode()
	const file = "testdata/hook.json"
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("want - got +, or run with -update:\n%s", diff)
	}
	back, ok := DecodeHookConfig(got)
	if diff := cmp.Diff(h, back); !ok || diff != "" {
		t.Errorf("read again: %s", diff)
	}
	for _, bad := range []string{"", "{", "[]", `{"version":1}`, `{"version":3,"targets":[]}`} {
		if _, ok := DecodeHookConfig(bad); ok {
			t.Errorf("%q is read", bad)
		}
	}
}

// Restore asks the archives that surely have everything before those that may not.
func TestRequiredArchivesComeFirst(t *testing.T) {
	c := offsite(archived(cluster(primaryNode("node1"))))
	c.Archives = append(c.Archives, &schema.Archive{Target: sshTarget("attic")}, &schema.Archive{Target: sshTarget("tape"), Required: true})
	var got []string
	for _, t := range NewHookConfig(c, "node1", Paths{}).Targets {
		got = append(got, t.Name)
	}
	if want := []string{"nas", "tape", "offsite", "attic"}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if c.Archives[0].Target.Name != "offsite" {
		t.Error("the declaration was put into another order")
	}
}

func TestHookChanges(t *testing.T) {
	base := func() HookConfig {
		return NewHookConfig(withOffsite(), "node1", Paths{DataDir: "/data", State: "/state"})
	}
	change := func(f func(*HookConfig)) HookConfig {
		h := base()
		f(&h)
		return h
	}
	for name, test := range map[string]struct {
		have, want HookConfig
		changes    []string
	}{
		"none":        {base(), base(), nil},
		"new":         {HookConfig{}, base(), []string{"target nas:  -> ssh://backup@nas.example.net/backup/pg_archlog/main", "target offsite:  -> s3://bucket/wal/pg_archlog/main at https://minio.example.net:9000 (encrypted, not required, WAL beyond 50GB is dropped)"}},
		"moved":       {base(), change(func(h *HookConfig) { h.Targets[0].Path = "/new" }), []string{"target nas: ssh://backup@nas.example.net/backup/pg_archlog/main -> ssh://backup@nas.example.net/new/pg_archlog/main"}},
		"keys":        {base(), change(func(h *HookConfig) { h.Targets[0].HostKeys = []string{"a", "b"} }), []string{"nas.host_keys:  -> a, b"}},
		"limit":       {base(), change(func(h *HookConfig) { h.Targets[1].QueueLimit = 1<<30 + 1 }), []string{"offsite.queue_limit: 50GB -> 1073741825B"}},
		"endpoint":    {base(), change(func(h *HookConfig) { h.Targets[1].Endpoint = "" }), []string{"offsite.endpoint: https://minio.example.net:9000 -> "}},
		"data":        {base(), change(func(h *HookConfig) { h.DataDir = "/srv" }), []string{"data_dir: /data -> /srv"}},
		"only order":  {base(), change(func(h *HookConfig) { slices.Reverse(h.Targets) }), []string{"order: targets nas, offsite -> targets offsite, nas"}},
		"a target":    {base(), change(func(h *HookConfig) { h.Targets = h.Targets[:1] }), []string{"target offsite: s3://bucket/wal/pg_archlog/main -> "}},
		"how it runs": {base(), change(func(h *HookConfig) { h.Workers, h.SpoolLimit, h.LogDir = 2, 256<<20, "/log" }), []string{"log_dir:  -> /log", "spool_limit:  -> 256MB", "workers:  -> 2"}},
	} {
		var got []string
		for _, c := range hookChanges(test.have, test.want) {
			got = append(got, c.Name+": "+c.Before+" -> "+c.After)
		}
		if !slices.Equal(got, test.changes) {
			t.Errorf("%s:\n got %q\nwant %q", name, got, test.changes)
		}
	}
}

// What was observed of a target that is not required never stands in the way of the rest.
func TestArchivesThatAreNotRequired(t *testing.T) {
	c := withOffsite()
	w := newWorld(c)
	w.down[places(c)[1]] = true
	p := w.plan(c)
	for _, s := range p.Steps {
		if slices.Contains(s.Needs, "main/node1/create-archive/offsite") {
			t.Errorf("%s waits for a target that is not required", s.ID)
		}
	}
	w.apply(t, c, p, len(p.Steps))
	p = w.plan(c)
	if !p.Empty() || !saysOf(p, "node1 cannot reach the archive at s3://bucket/wal") {
		t.Errorf("%v %+v", steps(p), p.Findings)
	}
	clear(w.down)
	wantSteps(t, w.plan(c), "node1/create-archive")
	w.converge(t, c)
	if w.archives[places(c)[1]] != w.on(c, "node1").inst.id {
		t.Error("the archive was not created")
	}
}

func saysOf(p *Plan, text string) bool {
	return slices.ContainsFunc(p.Findings, func(f Finding) bool {
		return f.Severity == schema.SeverityWarning && strings.Contains(f.Summary+"\n"+f.Detail, text)
	})
}

func TestQueuesAreToldOf(t *testing.T) {
	c := withOffsite()
	w := built(t, c)
	o := w.observe(c)
	before := New(config(c), o, testOptions())
	for name, test := range map[string]struct {
		node  string
		queue QueueFact
		other func(*NodeFacts)
		want  []string // parts of the only finding; none for no finding
	}{
		"on their way": {"node1", QueueFact{Target: "offsite", Segments: 12, Bytes: 12 << 24}, nil, nil},
		"failing": {
			"node1",
			QueueFact{Target: "offsite", Segments: 12, Error: "no route to host"},
			nil,
			[]string{"12 segments of WAL on node1 waiting for the archive at s3://bucket/wal, which fails", "no route to host. They are stored as soon as"},
		},
		"failing, and unreachable": {
			"node1",
			QueueFact{Target: "offsite", Segments: 12, Error: "no route to host"},
			func(f *NodeFacts) { f.Archives[1].State, f.Archives[1].Error = ArchiveUnreachable, "no route to host" },
			[]string{"node1 cannot reach the archive at s3://bucket/wal", "no route to host. WAL for it waits on the node"},
		},
		"dropped": {
			"node1",
			QueueFact{Target: "offsite", Dropped: []DroppedWAL{{From: "000000010000000000000003", To: "000000010000000000000009", Segments: 7, Since: testTime}}},
			nil,
			[]string{
				"WAL on node1 was dropped for the archive at s3://bucket/wal, from 000000010000000000000003 to 000000010000000000000009 (7 segments, since 2026-01-02 03:04:05 UTC)",
				"No recovery at that target gets past 000000010000000000000003", "`pg_manage archive push-missing main/node1`", "take a new base backup",
			},
		},
		"dropped on a former primary": {
			"node2", QueueFact{Target: "offsite", Dropped: []DroppedWAL{{From: "a", To: "b", Segments: 1}}}, nil, []string{"WAL on node2 was dropped", "(1 segment)"},
		},
		"of a required one": {"node1", QueueFact{Target: "nas", Segments: 3, Error: "full"}, nil, nil},
		"of a former one":   {"node1", QueueFact{Target: "attic", Segments: 3, Error: "full"}, nil, nil},
	} {
		o := w.observe(c)
		f := o.Node("main", test.node)
		f.Archiving = ArchivingFacts{Known: true, Queues: []QueueFact{test.queue}}
		if test.other != nil {
			test.other(f)
		}
		p := New(config(c), o, testOptions())
		if !p.Empty() || len(p.Findings) != min(1, len(test.want)) {
			t.Errorf("%s: %v %+v", name, steps(p), p.Findings)
		}
		for _, text := range test.want {
			if !saysOf(p, text) {
				t.Errorf("%s: nothing says %q: %+v", name, text, p.Findings)
			}
		}
		if test.other == nil && p.Fingerprint != before.Fingerprint {
			t.Errorf("%s: what waits makes plans stale", name)
		}
	}
}

// A disk that is not mounted after a reboot leaves an empty directory. A new archive there
// would take WAL on the disk below, and the old one would have a hole.
func TestAnArchiveThatTookWALIsNotCreatedAgain(t *testing.T) {
	c := withOffsite()
	w := built(t, c)
	for state, want := range map[ArchiveState][]string{
		ArchiveAbsent:  {"is not there any more", "Mount it", "pg_stat_reset_shared('archiver') on node1"},
		ArchiveForeign: {"holds files that are not ours", "its archive.json was lost: put it back", `"cluster": "main", "system_identifier": "` + w.on(c, "node1").inst.id + `"`},
	} {
		o := w.observe(c)
		o.Node("main", "node1").Archives[0] = ArchiveFact{Target: "nas", State: state, Took: time.Unix(1_700_000_000, 0)}
		p := New(config(c), o, testOptions())
		for _, s := range p.Steps {
			if s.Node == "node1" && s.Blocked == "" {
				t.Errorf("%s: %s is to be done", state, s.ID)
			}
		}
		for _, text := range want {
			if !slices.ContainsFunc(p.Findings, func(f Finding) bool {
				return f.Severity == schema.SeverityError && strings.Contains(f.Summary+"\n"+f.Detail, text)
			}) {
				t.Errorf("%s: no error says %q: %+v", state, text, p.Findings)
			}
		}
	}
}

// What waits for a target that is renamed or taken out of the file would never be sent.
func TestWALThatWaitsForAForgottenTargetIsToldOf(t *testing.T) {
	c := withOffsite()
	w := built(t, c)
	o := w.observe(c)
	o.Node("main", "node1").Archiving = ArchivingFacts{Known: true, Queues: []QueueFact{{Target: "offsite", Segments: 12}}}
	c = clone(c)
	c.Archives = slices.DeleteFunc(c.Archives, func(a *schema.Archive) bool { return !a.Required })
	p := New(config(c), o, testOptions())
	for _, text := range []string{"12 segments of WAL on node1 waiting for the archive at target offsite, which is not declared any more", "/queue/offsite on node1"} {
		if !saysOf(p, text) {
			t.Errorf("nothing says %q: %+v", text, p.Findings)
		}
	}
}
