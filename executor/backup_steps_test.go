package executor_test

import (
	"context"
	"encoding/json"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"pg_manage/executor"
	"pg_manage/executor/event"
	"pg_manage/executor/node"
	"pg_manage/executor/remote"
	"pg_manage/planner"
	"pg_manage/schema"
)

// nodeHost is a host on which `pg_manage node` answers as the test says.
type nodeHost struct {
	remote.Host
	catalog []planner.BackupFact // that the target has
	does    func(command, request string) (result any, err error)
	events  []event.Event
	calls   []string // commands, but catalog
}

func (h *nodeHost) Run(ctx context.Context, cmd remote.Command) (remote.Result, error) {
	at := slices.IndexFunc(cmd.Args, func(s string) bool { return path.Base(s) == "pg_manage" })
	if at < 0 || len(cmd.Args) < at+3 || cmd.Args[at+1] != "node" {
		return h.Host.Run(ctx, cmd)
	}
	command := cmd.Args[at+2]
	if command == "catalog" {
		out, err := json.Marshal(node.CatalogResult{Version: node.Version, Catalogs: []planner.CatalogFact{{Known: true, Backups: h.catalog}}})
		return remote.Result{Stdout: out}, err
	}
	h.calls = append(h.calls, command)
	if cmd.Stderr != nil {
		w := event.NewLineWriter(cmd.Stderr)
		for _, e := range h.events {
			w.Emit(e)
		}
	}
	res, err := h.does(command, cmd.Args[len(cmd.Args)-1])
	out, jerr := json.Marshal(res)
	if jerr != nil {
		return remote.Result{}, jerr
	}
	return remote.Result{Stdout: out}, err
}

// oneStep runs a step of one server's plan, and gives what became of it.
func (w *world) oneStep(s planner.Step) executor.Result {
	w.t.Helper()
	f := w.observe(w.t.Context(), w.name, "n1")
	s.ID, s.Cluster, s.Node, s.Summary = "x", w.name, "n1", "the step"
	s.Instance = planner.Instance{
		Owner: f.Host.Owner, Major: w.major, Port: w.ports["n1"], BinDir: f.Paths.BinDir, DataDir: f.Paths.DataDir,
		ConfigDir: f.Paths.ConfigDir, SocketDir: f.Paths.SocketDir, Manager: f.Paths.Manager, Tool: f.Paths.Tool, State: f.Paths.State,
	}
	w.log = &eventLog{}
	p := &planner.Plan{Created: time.Now(), Steps: []planner.Step{s}}
	r, err := executor.Run(w.t.Context(), p, w.env())
	if err != nil {
		w.t.Fatal(err)
	}
	return r.Results[0]
}

func TestBackupSteps(t *testing.T) {
	w := newWorld(t, "n1")
	w.declare("", "n1")
	w.apply()
	h := &nodeHost{Host: w.host}
	w.host = h
	place := planner.BackupPlace{Target: planner.HookTarget{Name: "nas", Scheme: "file", Path: "/nas", ArchiveDir: "wal", Compression: "zstd"}, BackupDir: "backups", Cluster: w.name}
	name := w.name + "@nas"
	fact := func(label string, begun int) planner.BackupFact {
		return planner.BackupFact{Label: label, Kind: "full", StartTime: time.Unix(int64(begun), 0).UTC()}
	}

	// A backup: progress is shown, and the primary begins a new segment when asked.
	h.catalog = []planner.BackupFact{fact("old", 1)}
	h.events = []event.Event{{Type: event.Progress, Done: 3, Total: 7}, {Type: event.NeedWALSwitch, Message: "0/3000060"}, {Type: event.Notice, Message: "half way"}}
	var req node.BackupRequest
	h.does = func(_, request string) (any, error) {
		h.catalog = append(h.catalog, fact("new", 2))
		return node.BackupResult{Version: node.Version, Backup: fact("new", 2)}, json.Unmarshal([]byte(request), &req)
	}
	const segment = "SELECT ((pg_current_wal_insert_lsn() - '0/0') / 16777216)::int"
	before := w.sql("n1", segment)
	take := planner.Step{
		Kind: planner.KindBackup, Detail: planner.BackupDetail{Place: place, Standby: true, Primary: "n1", Workers: 2, Rate: 5 << 20},
		Post: []planner.Condition{{Node: "n1", Fact: planner.FactBackup, Arg: name + " old", Want: "present"}},
	}
	if x := w.oneStep(take); x.Status != executor.StatusDone || x.Already {
		t.Fatalf("%+v", x)
	}
	if req.Place.Cluster != w.name || req.Place.BackupDir != "backups" || req.Place.Target.Name != "nas" || !req.Incremental || req.Workers != 2 || req.Rate != 5<<20 || req.SystemIdentifier == "" || req.Server.Port != w.ports["n1"] {
		t.Errorf("asked for %+v", req)
	}
	if after := w.sql("n1", segment); after == before {
		t.Errorf("the primary still writes to segment %s", after)
	}
	if w.log.count(event.Progress, "x") != 1 || w.log.count(event.Notice, "x") != 2 {
		t.Errorf("events: %+v", w.log.events)
	}
	h.calls = nil
	if x := w.oneStep(take); !x.Already || len(h.calls) > 0 {
		t.Errorf("it was taken again: %+v, %v", x, h.calls)
	}

	// One that is not listed afterwards was none.
	h.does = func(string, string) (any, error) { return node.BackupResult{Version: node.Version}, nil }
	h.catalog = h.catalog[:1]
	env := w.oneStep(take)
	if env.Status != executor.StatusFailed || !strings.Contains(env.Error, "backup after") {
		t.Errorf("%+v", env)
	}

	// Expiry: exactly the labels of the plan, of these that are still there.
	h.catalog = []planner.BackupFact{fact("b", 2), fact("c", 3)}
	sound := h.catalog
	var gone node.ExpireRequest
	h.does = func(_, request string) (any, error) {
		h.catalog = h.catalog[1:]
		return node.ExpireResult{Version: node.Version, Removed: []string{"b"}}, json.Unmarshal([]byte(request), &gone)
	}
	expire := planner.Step{Kind: planner.KindExpire, Detail: planner.ExpireDetail{Place: place, Labels: []string{"a", "b"}, WAL: true, Rules: []schema.Keep{{Full: 1}}}}
	for _, label := range []string{"a", "b"} {
		expire.Post = append(expire.Post, planner.Condition{Node: "n1", Fact: planner.FactListed, Arg: name + " " + label, Want: "absent"})
	}
	if x := w.oneStep(expire); x.Status != executor.StatusDone || !slices.Equal(gone.Labels, []string{"b"}) || !gone.WAL {
		t.Errorf("%+v, asked for %+v", x, gone)
	}

	// The backup that was to take the place of the old one has damaged pages: that one stays.
	h.calls, h.catalog = nil, slices.Clone(sound)
	h.catalog[1].Damaged = 3
	if x := w.oneStep(expire); x.Status != executor.StatusFailed || !strings.Contains(x.Error, "b stays") || len(h.calls) > 0 {
		t.Errorf("%+v, %v", x, h.calls)
	}
	h.catalog = sound[1:]

	// A drill that finds something wrong fails, and says what.
	h.does = func(string, string) (any, error) {
		return node.DrillResult{Version: node.Version, Label: "c", Problems: []string{"pg_amcheck: index t_pkey is damaged"}}, &remote.CommandError{Host: "here", Status: 1}
	}
	prove := planner.Step{
		Kind: planner.KindProve, Detail: planner.ProveDetail{Place: place, Label: "c"},
		Post: []planner.Condition{{Node: "n1", Fact: planner.FactProven, Arg: name, Want: "true"}},
	}
	if x := w.oneStep(prove); x.Status != executor.StatusFailed || !strings.Contains(x.Error, "t_pkey is damaged") {
		t.Errorf("%+v", x)
	}
	h.does = func(string, string) (any, error) {
		h.catalog[0].Proven = time.Now()
		return node.DrillResult{Version: node.Version, Label: "c"}, nil
	}
	if x := w.oneStep(prove); x.Status != executor.StatusDone {
		t.Errorf("%+v", x)
	}

	// The target is out of reach: nothing is done on what is not known.
	h.calls = nil
	w.host = &muteCatalog{h}
	if x := w.oneStep(planner.Step{Kind: planner.KindExpire, Detail: expire.Detail, Pre: expire.Post}); x.Status != executor.StatusFailed || len(h.calls) > 0 {
		t.Errorf("%+v, %v", x, h.calls)
	}
}

// muteCatalog is a host that cannot ask for the backups.
type muteCatalog struct{ *nodeHost }

func (h *muteCatalog) Run(ctx context.Context, cmd remote.Command) (remote.Result, error) {
	if slices.Contains(cmd.Args, "catalog") {
		return remote.Result{}, &remote.CommandError{Host: "here", Status: 124}
	}
	return h.nodeHost.Run(ctx, cmd)
}
