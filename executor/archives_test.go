package executor_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pg_manage/executor"
	"pg_manage/executor/event"
	"pg_manage/executor/remote"
	"pg_manage/executor/wal"
	"pg_manage/planner"
	"pg_manage/schema"
)

// TestSeveralArchives: what is archived arrives at all targets; one that nothing waits
// for may be out of reach, is told of, and gets what it missed.
func TestSeveralArchives(t *testing.T) {
	w := newWorld(t, "n1", "n2")
	w.build()
	w.declare("archive { target = \"nas\" }\narchive {\n target = \"offsite\"\n required = false\n}", "n1", "n2")
	attic := w.cfg.Clusters[0].Archives[1].Target
	attic.URL = schema.URL{Scheme: "file", Path: w.dir + "/attic"}
	for dir, mode := range map[string]os.FileMode{"/nas": 0o700, "/attic": 0} {
		if err := os.Mkdir(w.dir+dir, mode); err != nil {
			t.Fatal(err)
		}
		w.own(w.dir + dir)
	}
	w.apply() // the attic cannot be looked into
	if p := w.plan(); len(p.Steps) != 0 || p.HasErrors() || len(p.Findings) != 1 || !strings.Contains(p.Findings[0].Summary, "n1 cannot reach the archive at file://"+w.dir+"/attic") {
		t.Errorf("%+v %+v", p.Steps, p.Findings)
	}
	if err := os.Chmod(w.dir+"/attic", 0o700); err != nil {
		t.Fatal(err)
	}
	w.apply()
	w.eventually("nothing left to do", func() bool { p := w.plan(); return p.Empty() && len(p.Findings) == 0 })
	stored := func(dir string) []string {
		files, err := filepath.Glob(w.dir + "/" + dir + "/*/" + w.name + "/*/*.zst")
		if err != nil {
			t.Fatal(err)
		}
		names := make([]string, len(files))
		for i, f := range files {
			names[i] = filepath.Base(f)
		}
		return names
	}
	w.eventually("all of it in the attic", func() bool { return len(stored("nas")) > 0 && slices.Equal(stored("nas"), stored("attic")) })
	f := w.observe(t.Context(), w.name, "n1")
	if q := f.Archiving.Queue("offsite"); q == nil || q.Segments != 0 || q.Error != "" {
		t.Errorf("%+v", f.Archiving)
	}
}

// hookHost is a host on which our program answers as the test says.
type hookHost struct {
	remote.Host
	says  map[string]hookAnswer // by command and target; nothing said is success
	asked []string
}

type hookAnswer struct {
	status int
	stderr string
}

func (h *hookHost) Run(ctx context.Context, cmd remote.Command) (remote.Result, error) {
	if filepath.Base(cmd.Args[0]) != "pg_manage" {
		return h.Host.Run(ctx, cmd)
	}
	call := strings.Join(cmd.Args[4:], " ") // behind hook --config FILE
	h.asked = append(h.asked, call)
	a := h.says[call]
	if a.status == 0 {
		return remote.Result{}, nil
	}
	return remote.Result{Stderr: []byte(a.stderr)}, &remote.CommandError{Host: h.Name(), Command: call, Status: a.status, Stderr: a.stderr}
}

// A target that nothing waits for is told of when it is out of reach, and stands in
// nobody's way. What a person has to mend is an error at any target.
func TestArchivesThatCannotBeUsed(t *testing.T) {
	w := newWorld(t, "n1")
	w.declare("", "n1")
	w.apply()
	h := &hookHost{Host: w.host}
	w.host = h
	w.declare("archive { target = \"nas\" }\narchive {\n target = \"offsite\"\n required = false\n}", "n1")
	f := w.observe(t.Context(), w.name, "n1")
	in := planner.Instance{
		Owner: f.Host.Owner, Major: w.major, Port: w.ports["n1"], BinDir: f.Paths.BinDir, DataDir: f.Paths.DataDir,
		ConfigDir: f.Paths.ConfigDir, SocketDir: f.Paths.SocketDir, Manager: f.Paths.Manager, Tool: f.Paths.Tool, State: f.Paths.State,
	}
	config := planner.HookConfigDetail{Config: planner.NewHookConfig(w.cfg.Clusters[0], "n1", f.Paths)}
	create := func(target string, required bool) planner.Detail {
		return planner.CreateArchiveDetail{Target: target, Required: required}
	}
	down := hookAnswer{wal.ExitFailed, "pg_manage-hook: no route to host\n"}
	refused := hookAnswer{wal.ExitRefused, "pg_manage-hook: /etc/s3 can be read by others: chmod 600 /etc/s3\n"}
	both := []string{"check --target nas", "check --target offsite"}
	for name, test := range map[string]struct {
		detail planner.Detail
		says   map[string]hookAnswer
		asked  []string
		fails  string // part of the step's error
		notice string
	}{
		"all well":                         {config, nil, both, "", ""},
		"offsite is down":                  {config, map[string]hookAnswer{"check --target offsite": down}, both, "", "target offsite cannot be used now"},
		"offsite is refused":               {config, map[string]hookAnswer{"check --target offsite": refused}, both, "chmod 600 /etc/s3", ""},
		"nas is down":                      {config, map[string]hookAnswer{"check --target nas": down}, both[:1], "no route to host", ""},
		"nas is created":                   {create("nas", true), nil, []string{"init --target nas"}, "", ""},
		"nas cannot be created":            {create("nas", true), map[string]hookAnswer{"init --target nas": down}, []string{"init --target nas"}, "no route to host", ""},
		"offsite cannot be created":        {create("offsite", false), map[string]hookAnswer{"init --target offsite": down}, []string{"init --target offsite"}, "", "the archive at target offsite is not created yet"},
		"offsite is somebody else's":       {create("offsite", false), map[string]hookAnswer{"init --target offsite": refused}, []string{"init --target offsite"}, "chmod 600 /etc/s3", ""},
		"the program is gone":              {config, map[string]hookAnswer{"check --target offsite": {127, "sh: pg_manage: not found"}}, both, "not found", ""},
		"the run was killed":               {create("offsite", false), map[string]hookAnswer{"init --target offsite": {-1, ""}}, []string{"init --target offsite"}, "init --target offsite", ""},
		"an older program knows no target": {create("offsite", false), map[string]hookAnswer{"init --target offsite": {wal.ExitUsage, "pg_manage-hook: flag provided but not defined: -target"}}, []string{"init --target offsite"}, "not defined: -target", ""},
	} {
		t.Run(name, func(t *testing.T) {
			kind := planner.KindHookConfig
			if _, ok := test.detail.(planner.CreateArchiveDetail); ok {
				kind = planner.KindCreateArchive
			} else if err := os.RemoveAll(w.state("n1") + "/hook.json"); err != nil {
				t.Fatal(err)
			}
			h.says, h.asked = test.says, nil
			w.log = &eventLog{}
			p := w.plan()
			p.Steps = []planner.Step{{ID: "x", Kind: kind, Cluster: w.name, Node: "n1", Instance: in, Detail: test.detail}}
			r, err := executor.Run(t.Context(), p, w.env())
			if err != nil {
				t.Fatal(err)
			}
			x := r.Results[0]
			if failed := x.Status == executor.StatusFailed; failed != (test.fails != "") || !strings.Contains(x.Error, test.fails) {
				t.Errorf("%s: %s", x.Status, x.Error)
			}
			var asked []string
			for _, call := range h.asked {
				if !strings.HasPrefix(call, "status") {
					asked = append(asked, call)
				}
			}
			if !slices.Equal(asked, test.asked) {
				t.Errorf("asked %q, want %q", asked, test.asked)
			}
			told := slices.ContainsFunc(w.log.events, func(e event.Event) bool {
				return e.Type == event.Notice && strings.Contains(e.Message, "no route to host") && strings.Contains(e.Message, test.notice)
			})
			if told != (test.notice != "") {
				t.Errorf("told: %v, events %+v", told, w.log.events)
			}
			if kind == planner.KindHookConfig {
				text, _ := os.ReadFile(w.state("n1") + "/hook.json")
				if written := string(text) == config.Config.Encode(); written != (test.fails == "") {
					t.Errorf("hook.json: %s", text)
				}
				if _, err := os.Stat(w.state("n1") + "/hook.json.new"); !os.IsNotExist(err) {
					t.Errorf("the new configuration stayed: %v", err)
				}
			}
		})
	}
}
