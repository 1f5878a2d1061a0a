package recovery

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"pg_manage/executor/repo/catalog"
	"pg_manage/executor/wal"
	"pg_manage/schema/postgres"
)

func TestADrillProvesABackupAndLeavesNothing(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	before := b.archived()
	a := b.drill(nil)
	if a.Error != "" || len(a.Result.Problems) > 0 || a.Result.Proven.IsZero() || a.Result.Label != b.label || a.Result.Scratch != "" {
		t.Fatalf("%+v %+v", a, a.Result)
	}
	if got := fmt.Sprint(a.Result.Checked); got != "[restore recovery pg_amcheck pg_checksums]" {
		t.Error(got)
	}
	if got := fmt.Sprint(a.Notices); !strings.Contains(got, "preloads nowhere") || strings.Contains(got, "auto_explain") {
		t.Error(got)
	}
	b.gone()
	if after := b.archived(); after != before {
		t.Errorf("the archive has changed: %s\n%s", before, after)
	}
	if b.proofs() != 1 {
		t.Errorf("%d proofs", b.proofs())
	}
	// What is kept can be looked at, by its owner alone; the next drill clears it away.
	deep := strings.Repeat("/a-directory-with-a-long-name", 4)
	b.Run("mkdir", "-p", b.Root+deep)
	change := func(o *Options) {
		o.Scratch, o.Keep, o.Deep, o.Latest, o.Label = b.Root+deep, true, true, true, b.label
	}
	for range 2 {
		time.Sleep(time.Until(a.Result.Proven.Truncate(time.Second).Add(time.Second))) // a proof has the second in its name
		a = b.drill(change)
		if a.Error != "" || len(a.Result.Problems) > 0 || a.Result.Scratch != b.Root+deep+"/pg_manage-drill-main" {
			t.Fatalf("%+v %+v", a, a.Result)
		}
		st, err := os.Stat(a.Result.Scratch)
		if err != nil || st.Mode().Perm() != 0o700 {
			t.Errorf("%v %v", st, err)
		}
		conf := read(t, a.Result.Scratch, "config/postgresql.conf")
		for _, want := range []string{"max_connections = '130'", "max_prepared_transactions = '3'", "archive_mode = 'off'", "listen_addresses = ''", "shared_preload_libraries = 'auto_explain'"} {
			if !strings.Contains(conf, want+"\n") {
				t.Errorf("no %s in %s", want, conf)
			}
		}
		var c wal.Config
		if err := json.Unmarshal([]byte(read(t, a.Result.Scratch, "config/hook.json")), &c); err != nil || !c.ReadOnly {
			t.Errorf("%+v, %v", c, err)
		}
		cmd := b.Command(b.binary, "hook", "--config", a.Result.Scratch+"/config/hook.json", "archive", "pg_wal/000000010000000000000001")
		cmd.Dir = a.Result.Scratch + "/data"
		if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "changes nothing in the archive") {
			t.Errorf("%v: %s", err, out)
		}
	}
	if b.proofs() != 3 {
		t.Errorf("%d proofs", b.proofs())
	}
}

// TestWhatIsWrongWithABackupIsAProblem turns round the order by which an index was built.
func TestWhatIsWrongWithABackupIsAProblem(t *testing.T) {
	t.Parallel()
	order := func(a, b string) string {
		return "create or replace function cmp(int, int) returns int language sql immutable as 'select case when $1 " + a + " $2 then -1 when $1 " + b + " $2 then 1 else 0 end'"
	}
	b := newBench(t, order("<", ">"), "create operator class odd for type int using btree as operator 1 <, operator 2 <=, operator 3 =, operator 4 >=, operator 5 >, function 1 cmp(int, int)",
		"create index turned on t (i odd)", order(">", "<"))
	a := b.drill(nil)
	if a.Error != "" || len(a.Result.Problems) == 0 || !a.Result.Proven.IsZero() || !strings.Contains(strings.Join(a.Result.Problems, "\n"), "turned") {
		t.Fatalf("%+v %+v", a, a.Result)
	}
	b.gone()
	a = b.drill(func(o *Options) { o.Major = 99 })
	if !strings.Contains(a.Error, "the programs in "+b.Bin+" are of 99") {
		t.Errorf("%+v", a)
	}
	b.thirteen()
	// WAL that the archive lacks; then an archive that is away.
	start := b.Run("sh", "-c", "ls "+b.req.Target.Path+"/pg_archlog/main/*/*.backup")
	segment := start[:strings.Index(start, ".")]
	if err := os.Rename(segment, segment+".away"); err != nil {
		t.Fatal(err)
	}
	a = b.drill(nil)
	if a.Error != "" || len(a.Result.Problems) != 1 || !strings.Contains(a.Result.Problems[0], "PostgreSQL did not come up") {
		t.Errorf("%+v %+v", a, a.Result)
	}
	b.gone()
	if err := os.Remove(filepath.Join(b.req.Target.Path, "pg_archlog/main/archive.json")); err != nil {
		t.Fatal(err)
	}
	a = b.drill(func(o *Options) { o.Hook = b.binary + " hook" })
	if !strings.Contains(a.Error, "could not restore file") {
		t.Errorf("%+v %+v", a, a.Result)
	}
	b.gone()
	if b.proofs() != 0 {
		t.Errorf("%d proofs", b.proofs())
	}
}

// thirteen checks as is done where there is no pg_amcheck, with the programs that there are.
func (b *bench) thirteen() {
	t := b.t
	a := b.drill(func(o *Options) { o.Keep = true })
	s := &scratch{dir: a.Result.Scratch, marker: marker{Version: 1, Cluster: "main", SocketDir: a.Result.Scratch}}
	if a.Error != "" {
		t.Fatal(a.Error)
	}
	if err := os.WriteFile(s.dir+"/config/pg_hba.conf", []byte("local all all trust\n"), 0o600); err != nil { // we are not its owner
		t.Fatal(err)
	}
	port := ""
	entries, err := postgres.ParseConf(read(t, s.dir, "config/postgresql.conf"))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name == "port" {
			port = e.Value
		}
	}
	b.Run(b.Bin+"/pg_ctl", "-D", s.data(), "-w", "-l", s.dir+"/log", "-o", "-c config_file="+s.dir+"/config/postgresql.conf", "start")
	defer b.Run(b.Bin+"/pg_ctl", "-D", s.data(), "-w", "-m", "immediate", "stop")
	d := &drill{Options: b.req.Options, scratch: s, res: &Result{}}
	d.Major = 13
	d.server = &server{drill: d, port: port}
	if err := d.check(t.Context()); err != nil || len(d.res.Problems) != 1 || !strings.Contains(d.res.Problems[0], "index turned: item order invariant violated") {
		t.Errorf("%v %+v", err, d.res)
	}
}

func TestAfterAKillTheNextDrillClearsAwayServerAndFiles(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	hang := b.Root + "/hang"
	if err := os.WriteFile(hang, []byte("#!/bin/sh\nexec sleep 600\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := b.command(func(o *Options) { o.Hook = hang })
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pidFile := b.Root + "/pg_manage-drill-main/data/postmaster.pid"
	for end := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		if text, err := os.ReadFile(pidFile); err == nil && strings.Count(string(text), "\n") > 3 {
			break
		}
		if time.Now().After(end) {
			t.Fatal("the server of the drill did not start")
		}
	}
	// While it works nobody else does.
	if a := b.drill(nil); !strings.Contains(a.Error, "another drill of this cluster is at work") {
		t.Errorf("%+v", a)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	cmd.Wait() //nolint:errcheck // it was killed
	var pid int
	text, err := os.ReadFile(pidFile)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Sscan(string(text), &pid); err != nil || syscall.Kill(pid, 0) != nil {
		t.Fatalf("the server has not outlived the drill: %d, %v", pid, err)
	}
	a := b.drill(nil)
	if a.Error != "" || len(a.Result.Problems) > 0 || !strings.Contains(fmt.Sprint(a.Notices), "is cleared away") {
		t.Errorf("%+v %+v", a, a.Result)
	}
	if stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)); err == nil && !strings.Contains(string(stat), ") Z ") {
		t.Errorf("the server of the first drill still runs: %s", stat)
	}
	b.gone()
	// An interrupt leaves nothing at all.
	cmd = b.command(func(o *Options) { o.Hook = hang })
	var out strings.Builder
	cmd.Stdout = &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(time.Minute); !there(filepath.Dir(pidFile), "postmaster.pid"); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the server of the drill did not start")
		}
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	if a := b.parse([]byte(out.String())); !strings.Contains(a.Error, "drill of backup") {
		t.Errorf("%+v", a)
	}
	b.gone()
}

func TestOnlyWhatADrillMadeIsClearedAway(t *testing.T) {
	base := t.TempDir()
	dir := base + "/pg_manage-drill-main"
	o := Options{Cluster: "main", Scratch: base}
	o.fill()
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, dir, "precious", "x")
	if _, err := o.enter(t.Context()); err == nil || !strings.Contains(err.Error(), "was not made by a drill") || !there(dir, "precious") {
		t.Error(err)
	}
	write(t, dir, markerName, "{")
	if _, err := o.enter(t.Context()); err == nil || !strings.Contains(err.Error(), "was not made by a drill") || !there(dir, "precious") {
		t.Error(err)
	}
	// A pid file that names a process which is not of this directory.
	write(t, dir, markerName, `{"version": 1, "cluster": "main", "socket_dir": "`+dir+`"}`)
	if err := os.Mkdir(dir+"/data", 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, dir, "data/postmaster.pid", fmt.Sprintf("%d\n", os.Getpid()))
	s, err := o.enter(t.Context())
	if err != nil || there(dir, "precious") {
		t.Fatal(err)
	}
	d := &drill{Options: o, scratch: s, info: &catalog.Info{Label: "x", Size: 1 << 60}}
	if err := d.space(); err == nil || !strings.Contains(err.Error(), "MiB free, and a drill of backup x needs about") {
		t.Error(err)
	}
	if err := s.clear(); err != nil || there(base, "pg_manage-drill-main") {
		t.Error(err)
	}
}
