package executor_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pg_manage/executor"
	"pg_manage/executor/event"
	"pg_manage/planner"
)

func TestPrimaryAndStandby(t *testing.T) {
	w := newWorld(t, "n1", "n2")
	w.declare("", "n1", "n2")
	p := w.plan()
	w.run(p)
	w.settled()

	w.sql("n1", "CREATE TABLE t AS SELECT 42 AS answer")
	w.eventually("the row on the standby", func() bool {
		return w.sql("n2", "SELECT count(*) FROM pg_class WHERE relname = 't'") == "1"
	})
	if got := w.sql("n2", "SELECT answer FROM t"); got != "42" {
		t.Errorf("the standby has %q", got)
	}
	if got := w.sql("n1", "SHOW data_checksums"); got != "on" {
		t.Errorf("data_checksums = %s", got)
	}
	if got := w.sql("n1", "SELECT active FROM pg_replication_slots"); got != "t" {
		t.Errorf("slot active: %q", got)
	}
	if w.log.count(event.Progress, w.name+"/n2/build-standby") == 0 {
		t.Error("the build gave no progress")
	}
	log, err := os.ReadFile(w.state("n1") + "/postgresql.log")
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{"secret", "SCRAM-SHA-256$"} {
		if strings.Contains(string(log), secret) {
			t.Errorf("the server's log has %q", secret)
		}
	}

	// The same plan once more finds everything as it should be.
	for _, x := range w.run(p).Results {
		if !x.Already && !strings.HasSuffix(x.Step, string(planner.KindReload)) {
			t.Errorf("%s was done again", x.Step)
		}
	}
	w.settled()

	// Settings: a reload where that does, restarts where those are needed.
	w.declare("", "n1", "n2")
	for _, n := range w.cfg.Clusters[0].Nodes {
		n.Parameters["work_mem"], n.Parameters["max_connections"] = "8MB", "123"
	}
	w.apply()
	w.settled()
	for n := range w.ports {
		if got := w.sql(n, "SELECT current_setting('work_mem') || current_setting('max_connections')"); got != "8MB123" {
			t.Errorf("%s: %s", n, got)
		}
	}
}

func TestSettingsUndo(t *testing.T) {
	w := newWorld(t, "n1")
	w.declare("", "n1")
	w.apply()
	p := w.plan()
	conf := w.data("n1") + "/pg_manage.conf"
	before, err := os.ReadFile(conf)
	if err != nil {
		t.Fatal(err)
	}
	f := w.observe(t.Context(), w.name, "n1")
	in := planner.Instance{
		Owner: f.Host.Owner, Major: w.major, Port: w.ports["n1"], BinDir: f.Paths.BinDir, DataDir: f.Paths.DataDir,
		ConfigDir: f.Paths.ConfigDir, SocketDir: f.Paths.SocketDir, Manager: f.Paths.Manager, State: f.Paths.State,
	}
	for _, wrong := range []string{"work_mem = 'banana'\n", "no_such_setting = 1\n", "work_mem = = =\n", "shared_buffers = '-5'\n"} {
		p.Steps = []planner.Step{{
			ID: "x", Kind: planner.KindSettings, Cluster: w.name, Node: "n1", Instance: in,
			Detail: planner.SettingsDetail{Content: string(before) + wrong},
		}}
		r, err := executor.Run(t.Context(), p, w.env())
		if err != nil {
			t.Fatal(err)
		}
		if r.Results[0].Status != executor.StatusFailed || !strings.Contains(r.Results[0].Error, "PostgreSQL refuses") {
			t.Errorf("%q: %s %s", wrong, r.Results[0].Status, r.Results[0].Error)
		}
		t.Log(r.Results[0].Error)
		if after, _ := os.ReadFile(conf); string(after) != string(before) {
			t.Errorf("%q: the file was not put back: %s", wrong, after)
		}
	}
	hba, _ := os.ReadFile(w.data("n1") + "/pg_hba.conf")
	p.Steps = []planner.Step{{
		ID: "x", Kind: planner.KindHBA, Cluster: w.name, Node: "n1", Instance: in,
		Detail: planner.HBADetail{Block: planner.HBABegin + "\nhost all all nonsense/99 frobnicate\n" + planner.HBAEnd + "\n"},
	}}
	r, err := executor.Run(t.Context(), p, w.env())
	if err != nil || r.Results[0].Status != executor.StatusFailed {
		t.Errorf("%v %+v", err, r.Results)
	}
	t.Log(r.Results[0].Error)
	if after, _ := os.ReadFile(w.data("n1") + "/pg_hba.conf"); string(after) != string(hba) {
		t.Errorf("pg_hba.conf was not put back: %s", after)
	}
	w.apply() // at most a reload, since the file has changed and changed back
	w.settled()
}

func TestArchive(t *testing.T) {
	w := newWorld(t, "n1", "n2")
	w.build()
	nas := w.dir + "/nas"
	if err := os.Mkdir(nas, 0o700); err != nil {
		t.Fatal(err)
	}
	w.own(nas)
	w.declare("archive { target = \"nas\" }", "n1", "n2")
	p := w.plan()
	w.run(p)
	w.settled()
	if got := w.sql("n1", "SELECT archived_count > 0 AND failed_count = 0 FROM pg_stat_archiver"); got != "t" {
		t.Errorf("archiver: %s", w.sql("n1", "SELECT pg_stat_archiver FROM pg_stat_archiver"))
	}
	files, err := filepath.Glob(nas + "/*/" + w.name + "/*/*.zst")
	if err != nil || len(files) == 0 {
		t.Errorf("the archive holds %v, %v", files, err)
	}

	// An archive that cannot be written: the step says so, with what the hook said.
	if err := os.Chmod(nas, 0); err != nil {
		t.Fatal(err)
	}
	defer os.Chmod(nas, 0o700)
	w.cfg.Clusters[0].Archives[0].Target.ArchiveDir = "elsewhere"
	p = w.plan()
	r, err := executor.Run(t.Context(), p, w.env())
	if err != nil {
		t.Fatal(err)
	}
	x := r.Result(w.name + "/n1/write-hook-config")
	if x == nil || x.Status != executor.StatusFailed || !strings.Contains(x.Error, "ermission denied") {
		t.Errorf("write-hook-config: %+v", x)
	} else {
		t.Log(x.Error)
	}
	if _, err := os.Stat(w.state("n1") + "/hook.json.new"); !os.IsNotExist(err) {
		t.Errorf("the refused configuration stayed: %v", err)
	}
}

// TestDebianLayout: configuration in /etc/postgresql, service through pg_ctlcluster.
func TestDebianLayout(t *testing.T) {
	w := newWorld(t, "n1", "n2")
	if _, err := os.Stat("/usr/bin/pg_createcluster"); err == nil {
		w.debian = true
	}
	w.declare("", "n1", "n2")
	w.apply()
	w.settled()
	for n := range w.ports {
		if got := w.sql(n, "SHOW data_directory"); got != w.data(n) {
			t.Errorf("%s: data_directory = %s", n, got)
		}
		if f := w.observe(t.Context(), w.name, n); w.debian && (f.Paths.Manager != planner.ManagerPgCtlcluster || !strings.HasPrefix(f.Paths.ConfigDir, "/etc/postgresql/")) {
			t.Errorf("%s: %+v", n, f.Paths)
		}
	}
	// A standby whose data is gone is built again, into the configuration that is there.
	w.asOwner(w.program("pg_ctl"), "-D", w.data("n2"), "-m", "immediate", "-w", "stop")
	if err := os.RemoveAll(w.data("n2")); err != nil {
		t.Fatal(err)
	}
	w.apply()
	w.settled()
	w.cfg.Clusters[0].Nodes[1].Parameters["max_connections"] = "150"
	w.apply()
	w.settled()
}
