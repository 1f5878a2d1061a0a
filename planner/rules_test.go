package planner

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"pg_manage/schema"
	"pg_manage/schema/postgres"
)

func TestShellQuote(t *testing.T) {
	for in, want := range map[string]string{
		"plain/path-1.2_x:=@,+": "plain/path-1.2_x:=@,+",
		"":                      "''", "two words": "'two words'", "it's": `'it'\''s'`, "$HOME": "'$HOME'", "a;b": "'a;b'",
		"line\nbreak": "'line\nbreak'", "*": "'*'", "~": "'~'", "ä": "'ä'", "%p": "'%p'", "\\": `'\'`,
	} {
		if got := shellQuote(in); got != want {
			t.Errorf("%q: %s, want %s", in, got, want)
		}
	}
}

func TestHBAWords(t *testing.T) {
	for in, want := range map[string]string{
		"10.0.0.1": "10.0.0.1/32", "2001:db8::1": "2001:db8::1/128", "::FFFF": "::ffff/128", "db1.example.net": "db1.example.net", "localhost": "localhost",
	} {
		if got := hbaAddress(in); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
	for in, want := range map[string]string{
		"replicator": "replicator", "all": `"all"`, "replication": `"replication"`, "a b": `"a b"`, `a"b`: `"a""b"`,
		"+group": `"+group"`, "/pattern": `"/pattern"`, "@file": `"@file"`, "a#b": `"a#b"`, "Rep-1": "Rep-1",
	} {
		if got := hbaWord(in); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}

func TestHBABlock(t *testing.T) {
	c := two()
	c.Node("node2").Address, c.Node("node1").HBA = "10.0.0.11", []string{"hostssl all all 10.0.0.0/8 scram-sha-256"}
	b := newBuilder(nil, c, &ClusterFacts{}, testOptions())
	want := HBABegin + "\n# Change the cluster file instead: what is changed here is gone with the next apply.\n" +
		"host replication replicator 10.0.0.11/32 scram-sha-256\nhostssl all all 10.0.0.0/8 scram-sha-256\n" + HBAEnd + "\n"
	if got := b.hbaBlock(c.Node("node1")); got != want {
		t.Errorf("got %s", got)
	}
	c.Replication, c.Node("node1").HBA = nil, nil
	if got := b.hbaBlock(c.Node("node1")); got != "" {
		t.Errorf("got %s", got)
	}
}

func TestConninfo(t *testing.T) {
	c := two()
	c.Replication.User, c.Node("node1").Address = `o'neil \ x`, "2001:db8::1"
	f := newWorld(c).observe(c).Clusters["main"]
	f.Nodes["node2"].Paths.State = "/home/pg admin/state"
	b := newBuilder(nil, c, f, testOptions())
	want := `host=2001:db8::1 port=5432 user='o\'neil \\ x' passfile='/home/pg admin/state/passfile' application_name=node2`
	if got := b.conninfo(c.Node("node2"), c.Node("node1")); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestCommandsDoublePercent(t *testing.T) {
	c := two()
	f := newWorld(c).observe(c).Clusters["main"]
	f.Nodes["node1"].Paths.Tool, f.Nodes["node1"].Paths.State = "/srv/100%/bin", "/srv/it's"
	b := newBuilder(nil, c, f, testOptions())
	b.primary = c.Node("node1")
	v := b.nodeSettings(c.Node("node1"))
	if want := `exec '/srv/100%%/bin/pg_manage-hook' --config '/srv/it'\''s/hook.json' archive %p`; v["archive_command"] != want {
		t.Errorf("got %s", v["archive_command"])
	}
	if want := `'/srv/100%%/bin/pg_manage-hook' --config '/srv/it'\''s/hook.json' restore %f %p; s=$?; [ $s -ne 2 ] || [ -e standby.signal ] || s=200; exit $s`; v["restore_command"] != want {
		t.Errorf("got %s", v["restore_command"])
	}
	c.Archiving.Log = true
	v = b.nodeSettings(c.Node("node1"))
	if !strings.HasSuffix(v["archive_command"], " archive --log %p") || !strings.Contains(v["restore_command"], " restore --log %f %p; ") {
		t.Errorf("with a log: %s, %s", v["archive_command"], v["restore_command"])
	}
}

// TestTwoIsNoAnswerOutsideStandbyMode: Go's runtime ends with it too.
func TestTwoIsNoAnswerOutsideStandbyMode(t *testing.T) {
	dir := t.TempDir()
	c := two()
	f := newWorld(c).observe(c).Clusters["main"]
	f.Nodes["node1"].Paths.Tool = dir
	b := newBuilder(nil, c, f, testOptions())
	b.primary = c.Node("node1")
	command := b.nodeSettings(c.Node("node1"))["restore_command"]
	for _, standby := range []bool{false, true} {
		if standby {
			if err := os.WriteFile(dir+"/standby.signal", nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		for ends, want := range map[string]int{"exit 0": 0, "exit 1": 1, "exit 2": 200, "exit 127": 127, "exit 200": 200, "kill -TERM $$": 143, "kill -QUIT $$": 131} {
			if ends == "exit 2" && standby {
				want = 2
			}
			if err := os.WriteFile(dir+"/pg_manage-hook", []byte("#!/bin/sh\n"+ends+"\n"), 0o700); err != nil {
				t.Fatal(err)
			}
			sh := exec.CommandContext(t.Context(), "sh", "-c", command)
			sh.Dir = dir
			sh.Run() //nolint:errcheck // its status tells
			if got := sh.ProcessState.ExitCode(); got != want {
				t.Errorf("%s, standby %v: %d", ends, standby, got)
			}
		}
	}
}

func TestSettingsText(t *testing.T) {
	c := two()
	c.Archiving.Timeout, c.Node("node2").Delay = 5*time.Minute, 90*time.Minute
	c.Node("node2").Parameters["myapp.motd"] = `it's a \ day`
	w := built(t, c)
	text := w.on(c, "node2").conf
	for _, line := range []string{
		`myapp.motd = 'it''s a \\ day'`, `archive_timeout = '300s'`, `recovery_min_apply_delay = '5400000ms'`, `primary_slot_name = 'pg_manage_node2'`, `listen_addresses = '*'`,
		`primary_conninfo = 'host=10.0.0.11 port=5432 user=replicator passfile=/var/lib/postgresql/.pg_manage/main/node2/passfile application_name=node2'`,
	} {
		if !strings.Contains(text, line+"\n") {
			t.Errorf("no line %s in\n%s", line, text)
		}
	}
	if p := w.on(c, "node1").conf; strings.Contains(p, "primary_conninfo") || strings.Contains(p, "recovery_min_apply_delay") {
		t.Errorf("the primary is set up as a standby:\n%s", p)
	}
}

func TestSettingsDiff(t *testing.T) {
	for name, test := range map[string]struct {
		from, to []string
		want     []string
	}{
		"same in another unit":      {[]string{"shared_buffers", "256MB"}, []string{"shared_buffers", "262144kB"}, []string{"node1/write-settings", "node1/reload"}},
		"unknown parameter":         {nil, []string{"shard_buffers", "1GB"}, []string{}},
		"a value of the wrong kind": {nil, []string{"work_mem", "a lot"}, []string{}},
		"a unit that it lacks":      {nil, []string{"max_connections", "10MB"}, []string{}},
		"real":                      {nil, []string{"random_page_cost", "1.1"}, []string{"node1/write-settings", "node1/reload"}},
		"of an extension":           {nil, []string{"myapp.mode", "x"}, []string{"node1/write-settings", "node1/reload"}},
	} {
		alone := func() *schema.Cluster { return set(test.from...)(cluster(primaryNode("node1"))) }
		c, w := after(alone, nil, set(test.to...))(t)
		p := w.plan(c)
		if got := steps(p); !slices.Equal(got, test.want) {
			t.Errorf("%s: got %v, want %v", name, got, test.want)
		}
		if (len(test.want) == 0) != p.HasErrors() {
			t.Errorf("%s: %+v", name, p.Findings)
		}
	}
}

// What postgresql.auto.conf has waiting for a restart must not come at ours.
func TestAutoConfThatWaits(t *testing.T) {
	c, w := after(twoWith("max_connections", "200"), func(w *world, c *schema.Cluster) {
		m := w.on(c, "node1")
		m.inst.auto["max_connections"] = "500"
		m.load(false)
	}, nil)(t)
	p := w.plan(c)
	wantSteps(t, p, "node1/write-settings", "node1/reload")
	if d := p.Steps[0].Detail.(SettingsDetail); !slices.Equal(d.ResetAuto, []string{"max_connections"}) {
		t.Errorf("%+v", d)
	}
	w.converge(t, c)
}

func TestRemovedLimitMayRise(t *testing.T) {
	c, w := after(twoWith("max_connections", "50"), nil, set("max_connections", ""))(t)
	wantSteps(t, w.plan(c), "node1/write-settings", "node2/write-settings", "node2/restart", "node1/restart")
}

func TestStandbyBelowThePrimary(t *testing.T) {
	c, w := after(two, nil, func(c *schema.Cluster) *schema.Cluster {
		c.Node("node1").Parameters["max_connections"] = "200"
		return c
	})(t)
	p := w.plan(c)
	wantSteps(t, p, "node1/write-settings!", "node1/restart!")
	wantError(t, p, "max_connections = 100 on node2 would be below the 200")
}

func TestRedact(t *testing.T) {
	for _, v := range []string{"host=a password=hunter2", "host=a PassWord = 'hunter2'", "postgresql://repl:hunter2@a/", "host=a sslpassword=hunter2"} {
		if got := redact("primary_conninfo", v); got != schema.Redacted {
			t.Errorf("%s", got)
		}
		f := &NodeFacts{Server: ServerFacts{Accepting: true, Settings: map[string]postgres.Setting{"primary_conninfo": {Name: "primary_conninfo", VarType: "string", Value: v}}}}
		if err := (Condition{Node: "n", Fact: FactSetting, Arg: "primary_conninfo", Want: "x"}).Check(f); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%v", err)
		}
	}
	if got := redact("primary_conninfo", "host=a passfile=/x"); got != "host=a passfile=/x" {
		t.Error(got)
	}
}

func TestUpstreamAfterFailover(t *testing.T) {
	c := cluster(primaryNode("node1"), standbyNode("node2", "node1"), standbyNode("node3", "node2"), standbyNode("node4", "node3"), standbyNode("node5", "node1"))
	want := map[string]map[string]string{
		"node1": {"node2": "node1", "node3": "node2", "node4": "node3", "node5": "node1"},
		"node2": {"node1": "node2", "node3": "node2", "node4": "node3", "node5": "node2"},
		"node3": {"node1": "node3", "node2": "node3", "node4": "node3", "node5": "node3"},
		"node4": {"node1": "node4", "node2": "node4", "node3": "node2", "node5": "node4"},
	}
	for primary, ups := range want {
		b := newBuilder(nil, c, &ClusterFacts{}, testOptions())
		b.primary = c.Node(primary)
		for node, up := range ups {
			if got := b.upstream(c.Node(node)); got.Name != up {
				t.Errorf("with primary %s, %s streams from %s, want %s", primary, node, got.Name, up)
			}
		}
	}
}

func TestNodeWithoutBinariesIsLeftAlone(t *testing.T) {
	c := two()
	opts := testOptions()
	delete(opts.Binaries, "amd64")
	if p := New(config(c), newWorld(c).observe(c), opts); len(p.Steps) > 0 || !p.HasErrors() {
		t.Errorf("%v", steps(p))
	}
}

func TestRenames(t *testing.T) {
	renamed := func(c *schema.Cluster) *schema.Cluster { c.Node("node2").Name = "db2"; return c }
	c, w := after(two, nil, renamed)(t)
	p := w.plan(c)
	wantSteps(t, p, "db2/write-passfile", "db2/write-hook-config", "node1/create-slot", "db2/write-settings", "db2/reload")
	w.converge(t, c)

	c, w = after(two, nil, func(c *schema.Cluster) *schema.Cluster { c.Name = "prime"; return c })(t)
	for _, s := range w.plan(c).Steps {
		if s.Kind == KindInit || s.Kind == KindBuild || s.Kind == KindRestart || s.Effect == EffectDataLoss {
			t.Errorf("renaming a cluster does %s", s.ID)
		}
	}
	w.converge(t, c)

	c, w = after(two, nil, func(c *schema.Cluster) *schema.Cluster { c.Replication.User = "streamer"; return c })(t)
	w.converge(t, c)
	if !strings.Contains(w.on(c, "node2").inst.live["primary_conninfo"], "user=streamer") {
		t.Error("the standby does not use the new user")
	}
}

func TestVersionChanged(t *testing.T) {
	c, w := after(two, nil, func(c *schema.Cluster) *schema.Cluster { c.Version = 18; return c })(t)
	p := w.plan(c) // by convention the directory is another one, and the old server has the port
	for _, s := range p.Steps {
		if s.Blocked == "" {
			t.Errorf("%s", s.ID)
		}
	}
	if !p.HasErrors() {
		t.Error("nothing is said")
	}
}

func TestDecodeRefusesWhatIsNoPlan(t *testing.T) {
	for _, bad := range []string{"", "{}", "[]", `{"format_version":"2.0"}`, `{"format_version":"1.0","steps":7}`} {
		if _, err := Decode([]byte(bad)); err == nil {
			t.Errorf("%q is read as a plan", bad)
		}
	}
	if p, err := Decode([]byte(`{"format_version":"1.9","news":true}`)); err != nil || p == nil {
		t.Error(err)
	}
}
