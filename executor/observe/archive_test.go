package observe

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"pg_manage/executor/remote"
	"pg_manage/planner"
	"pg_manage/schema"
)

// archiving declares a required archive and one that nothing waits for.
func archiving(c *schema.Cluster) {
	for _, name := range []string{"offsite", "nas"} {
		c.Archives = append(c.Archives, &schema.Archive{
			Required: name == "nas",
			Target:   &schema.Target{Name: name, URL: schema.URL{Scheme: "ssh", Host: name, Path: "/b"}, ArchiveDir: "wal", Compression: "zstd"},
		})
	}
}

const idle = `{"version":2,"targets":[{"name":"nas","required":true,"state":""},{"name":"offsite","required":false,"state":"","queued":0,"queued_bytes":0,"queue_error":"","dropped":[]}],"archiver":{"running":false},"backlog":{"segments":0,"bytes":0}}`

func TestArchiveFacts(t *testing.T) {
	now := time.Now()
	proven := &planner.Archiver{LastTime: now, FailedTime: now.Add(-time.Hour)}
	failing := &planner.Archiver{LastTime: now.Add(-time.Hour), FailedTime: now}
	both := func(nas, offsite string) string {
		return `{"version":2,"targets":[{"name":"nas",` + nas + `},{"name":"offsite",` + offsite + `}],"archiver":{},"backlog":{}}`
	}
	ours := func(target, evidence string) planner.ArchiveFact {
		return planner.ArchiveFact{Target: target, State: "ours", SystemIdentifier: "7", Evidence: evidence}
	}
	asked := func(target string, state planner.ArchiveState, id, err string) planner.ArchiveFact {
		return planner.ArchiveFact{Target: target, State: state, SystemIdentifier: id, Error: err, Evidence: "asked"}
	}
	gone := func(a planner.ArchiveFact) planner.ArchiveFact { a.Took = failing.LastTime; return a }
	known := "known after the binaries and the archive configuration are on the node"
	unknown := func(target, why string) planner.ArchiveFact { return planner.ArchiveFact{Target: target, Error: why} }
	for name, c := range map[string]struct {
		archiver   *planner.Archiver
		ask        Ask
		inRecovery bool
		local      string
		changed    time.Time // hook.json; a day ago unless set
		change     func(h *planner.HookConfig)
		said       string
		err        error
		want       []planner.ArchiveFact
	}{
		"proven, and nothing waits": {archiver: proven, local: idle, want: []planner.ArchiveFact{ours("nas", "archiver"), ours("offsite", "queue")}},
		"proven, and nobody knows what waits": {
			archiver: proven, said: both(`"state":"absent"`, `"state":"ours","system_identifier":"8"`),
			want: []planner.ArchiveFact{ours("nas", "archiver"), asked("offsite", "ours", "8", "")},
		},
		"proven, and WAL waits": {
			archiver: proven, local: strings.Replace(idle, `"queued":0`, `"queued":3`, 1), said: both(`"state":"ours"`, `"state":"unreachable","error":"no route\nto host"`),
			want: []planner.ArchiveFact{ours("nas", "archiver"), asked("offsite", "unreachable", "", "no route to host")},
		},
		"proven, and WAL was dropped": {
			archiver: proven, local: strings.Replace(idle, `"dropped":[]`, `"dropped":[{"from":"a","to":"b","segments":2,"since":""}]`, 1), said: both(`"state":"ours"`, `"state":"ours","system_identifier":"7"`),
			want: []planner.ArchiveFact{ours("nas", "archiver"), asked("offsite", "ours", "7", "")},
		},
		"proven before the configuration changed": {
			archiver: proven, local: idle, changed: now, said: both(`"state":"absent"`, `"state":"absent"`),
			want: []planner.ArchiveFact{asked("nas", "absent", "", ""), asked("offsite", "absent", "", "")},
		},
		"asked all same": {
			archiver: proven, local: idle, ask: AskAlways, said: both(`"state":"ours","system_identifier":"8"`, `"state":"foreign","error":"junk"`),
			want: []planner.ArchiveFact{asked("nas", "ours", "8", ""), asked("offsite", "foreign", "", "junk")},
		},
		"failing": {archiver: failing, local: idle, said: both(`"state":"absent"`, `"state":"ours","system_identifier":"7"`), want: []planner.ArchiveFact{gone(asked("nas", "absent", "", "")), asked("offsite", "ours", "7", "")}},
		"failing, and WAL was dropped": {
			archiver: failing, local: strings.Replace(idle, `"state":""`, `"state":"","dropped":[{"from":"a","to":"b","segments":2,"since":""}]`, 1),
			said: both(`"state":"absent","dropped":[{"from":"a","to":"b","segments":2,"since":""}]`, `"state":"ours","system_identifier":"7"`),
			want: []planner.ArchiveFact{asked("nas", "absent", "", ""), asked("offsite", "ours", "7", "")},
		},
		"never archived": {archiver: &planner.Archiver{}, said: both(`"state":"foreign"`, `"state":"absent"`), want: []planner.ArchiveFact{asked("nas", "foreign", "", ""), asked("offsite", "absent", "", "")}},
		"slow": {
			err:  &remote.CommandError{Status: 124},
			want: []planner.ArchiveFact{asked("nas", "unreachable", "", "n (x@1.2.3.4:22): the target did not answer within 15 seconds"), asked("offsite", "unreachable", "", "n (x@1.2.3.4:22): the target did not answer within 15 seconds")},
		},
		"a configuration that is refused": {
			said: `{"version":2,"targets":[],"error":"hook.json must be 0600"}`, err: &remote.CommandError{Status: 1},
			want: []planner.ArchiveFact{asked("nas", "unreachable", "", "hook.json must be 0600"), asked("offsite", "unreachable", "", "hook.json must be 0600")},
		},
		"an answer of another version": {
			said: `{"state":"ours","system_identifier":"7"}`,
			want: []planner.ArchiveFact{asked("nas", "unreachable", "", "n (x@1.2.3.4:22): `pg_manage hook status` gave an answer that this version does not understand"), asked("offsite", "unreachable", "", "n (x@1.2.3.4:22): `pg_manage hook status` gave an answer that this version does not understand")},
		},
		"a state of another version": {
			said: both(`"state":"fine"`, `"state":"ours","system_identifier":"7"`),
			want: []planner.ArchiveFact{asked("nas", "unreachable", "", "n (x@1.2.3.4:22): `pg_manage hook status` gave an answer that this version does not understand"), asked("offsite", "ours", "7", "")},
		},
		"standby": {archiver: &planner.Archiver{}, inRecovery: true, want: []planner.ArchiveFact{unknown("nas", "not asked"), unknown("offsite", "not asked")}},
		"never":   {archiver: failing, ask: AskNever, want: []planner.ArchiveFact{unknown("nas", "not asked"), unknown("offsite", "not asked")}},
		"a target that the node has not": {
			archiver: proven, local: idle, change: func(h *planner.HookConfig) { h.Targets = h.Targets[:1] },
			want: []planner.ArchiveFact{ours("nas", "archiver"), unknown("offsite", known)},
		},
		"a target that was elsewhere": {
			archiver: proven, local: idle, change: func(h *planner.HookConfig) { h.Targets[0].Path = "/old" },
			want: []planner.ArchiveFact{unknown("nas", known), ours("offsite", "queue")},
		},
		"a target that was not required": {
			archiver: proven, local: strings.Replace(idle, `"state":""`, `"state":"","queued":2`, 1), change: func(h *planner.HookConfig) { h.Targets[0].Required = false },
			said: both(`"state":"unreachable","error":"down"`, `"state":"ours"`),
			want: []planner.ArchiveFact{asked("nas", "unreachable", "", "down"), ours("offsite", "queue")},
		},
		"a configuration of another version": {
			archiver: proven, local: idle, change: func(h *planner.HookConfig) { h.Version = 1 },
			want: []planner.ArchiveFact{unknown("nas", known), unknown("offsite", known)},
		},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := oneNode()
			cl := cfg.Clusters[0]
			archiving(cl)
			h := &scripted{login: "postgres", run: func(_ context.Context, cmd remote.Command) (remote.Result, error) {
				if got := strings.Join(cmd.Args, " "); got != "timeout 15 /h/bin/pg_manage hook --config /h/s/hook.json status" || cmd.As != "postgres" {
					t.Errorf("%s as %s", got, cmd.As)
				}
				if c.said == "" && c.err == nil {
					t.Error("the target was asked")
				}
				return remote.Result{Stdout: []byte(c.said)}, c.err
			}}
			f := &planner.NodeFacts{}
			f.Data.SystemIdentifier = "7"
			f.Paths.Tool, f.Paths.State = "/h/bin", "/h/s"
			hook := planner.NewHookConfig(cl, cl.Nodes[0].Name, f.Paths)
			hook.Targets = slices.Clone(hook.Targets)
			if c.change != nil {
				c.change(&hook)
			}
			f.Files.HookConfig, f.Host.Installed = hook.Encode(), map[string]string{"pg_manage": "x"}
			f.Server.Accepting, f.Server.InRecovery, f.Server.Archiver = true, c.inRecovery, c.archiver
			a := answer{Settings: []settingRow{{Name: "archive_mode", Value: "on"}, {Name: "archive_command", Value: "exec pg_manage-hook archive %p"}}}
			a.fillSettings(f)
			if c.changed.IsZero() {
				c.changed = now.Add(-24 * time.Hour)
			}
			s := &sections{values: map[string][]string{"archiver": {c.local}, "hook_changed": {strconv.FormatInt(c.changed.Unix(), 10)}}}
			p := &probe{h: h, c: cl, n: cl.Nodes[0], owner: "postgres"}
			p.archiveFacts(t.Context(), s, f, Options{AskArchive: c.ask})
			if diff := cmp.Diff(c.want, f.Archives); diff != "" {
				t.Errorf("want - got +:\n%s", diff)
			}
			if wantKnown := c.local != "" || strings.Contains(c.said, `"backlog"`); f.Archiving.Known != wantKnown {
				t.Errorf("what waits is known: %v", f.Archiving.Known)
			}
		})
	}
}

func TestHookStatusIsRead(t *testing.T) {
	const text = `{"version":2,"targets":[{"name":"nas","required":true,"state":"ours","system_identifier":"7","segment_size":16777216,"error":"","queued":0,"queued_bytes":0,"queue_error":"","dropped":[]},
 {"name":"offsite","required":false,"state":"unreachable","system_identifier":"","segment_size":0,"error":"no route","queued":12,"queued_bytes":201326592,"queue_error":"no\nroute",
  "dropped":[{"from":"000000010000000000000003","to":"000000010000000000000009","segments":7,"since":"2026-01-02T03:04:05Z"}]}],
 "archiver":{"running":true,"pid":42,"rate_bytes":1048576,"last":"00000001000000000000000A","last_time":"2026-01-02T03:05:06Z","error":"full","error_time":"2026-01-02T03:05:00Z","new":1},
 "backlog":{"segments":3,"bytes":50331648}}`
	s, err := parseHookStatus(text)
	if err != nil {
		t.Fatal(err)
	}
	var f planner.NodeFacts
	s.fill(&f)
	want := planner.ArchivingFacts{
		Known: true,
		Queues: []planner.QueueFact{{Target: "nas"}, {
			Target: "offsite", Segments: 12, Bytes: 12 << 24, Error: "no route",
			Dropped: []planner.DroppedWAL{{From: "000000010000000000000003", To: "000000010000000000000009", Segments: 7, Since: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}},
		}},
		Archiver: planner.ArchiverProcess{
			Running: true, PID: 42, RateBytes: 1 << 20, Last: "00000001000000000000000A", LastTime: time.Date(2026, 1, 2, 3, 5, 6, 0, time.UTC),
			Error: "full", ErrorTime: time.Date(2026, 1, 2, 3, 5, 0, 0, time.UTC),
		},
		Backlog: planner.Backlog{Segments: 3, Bytes: 3 << 24},
	}
	if diff := cmp.Diff(want, f.Archiving); diff != "" {
		t.Errorf("want - got +:\n%s", diff)
	}
	for _, bad := range []string{"", "{", `{"version":3}`, `{"state":"ours"}`, `{"version":2,"targets":{}}`, `{"version":2,"archiver":{"last_time":"yesterday"}}`} {
		if _, err := parseHookStatus(bad); err == nil {
			t.Errorf("%q is read", bad)
		}
	}
}
