package recovery

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"pg_manage/executor/basebackup/pgtest"
	"pg_manage/executor/basebackup/take"
	"pg_manage/executor/repo"
	"pg_manage/executor/repo/catalog"
	"pg_manage/executor/wal"
	"pg_manage/schema/postgres"
)

// childRequest is the name of a variable with which this program does a drill: PostgreSQL
// refuses to run as root, so root lets another user do it.
const childRequest = "PG_MANAGE_TEST_DRILL"

// request is what the child is asked for.
type request struct {
	Options Options
	Target  repo.Target
}

// answer is what it gives.
type answer struct {
	Result  *Result
	Error   string
	Notices []string
}

func TestMain(m *testing.M) {
	switch {
	case len(os.Args) > 1 && os.Args[1] == "hook": // as restore_command calls the program
		os.Exit(wal.Hook(os.Args[2:], os.Stdout, os.Stderr))
	case os.Getenv(childRequest) != "":
		if err := child(os.Getenv(childRequest)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func child(text string) error {
	var req request
	if err := json.Unmarshal([]byte(text), &req); err != nil {
		return err
	}
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer cancel()
	d, err := repo.Open(ctx, req.Target)
	if err != nil {
		return err
	}
	o := req.Options
	if o.Catalog, err = catalog.New(d, "pg_hotbackup/main", req.Target); err != nil {
		return err
	}
	var a answer
	o.Notice = func(s string) { a.Notices = append(a.Notices, s) }
	if a.Result, err = Drill(ctx, o); err != nil {
		a.Error = err.Error()
	}
	return json.NewEncoder(os.Stdout).Encode(a)
}

// bench is a server with a backup, and a place for drills.
type bench struct {
	*pgtest.Server
	t      *testing.T
	req    request
	cat    *catalog.Catalog
	label  string
	binary string
}

// newBench takes a backup of a server that has a tablespace, after the statements.
func newBench(t *testing.T, statements ...string) *bench {
	t.Helper()
	s := pgtest.New(t)
	b := &bench{Server: s, t: t, binary: s.Root + "/drill.test"}
	target := s.Mkdir(s.Root + "/target")
	archive := target + "/pg_archlog/main"
	s.Run("mkdir", "-p", archive, s.Root+"/state", s.Root+"/space")
	conf, err := os.OpenFile(s.Data+"/postgresql.conf", os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(conf, "archive_mode = on\nshared_preload_libraries = 'nowhere, auto_explain'\nmax_prepared_transactions = 3\nmax_connections = 130\n"+ //nolint:errcheck // Close tells
		"archive_command = 'd=%[1]s/$(echo %%f | cut -c 1-16); mkdir -p $d && cp %%p $d/.new && mv $d/.new $d/%%f'\n", archive)
	if err := conf.Close(); err != nil {
		t.Fatal(err)
	}
	s.Run("sed", "-i", "s/'nowhere, /'/", s.Data+"/postgresql.conf") // the server itself could not start with it
	s.Start(s.Data)
	id := s.SQL("select system_identifier from pg_control_system()")
	s.Run("sh", "-c", fmt.Sprintf(`echo '{"version": 1, "cluster": "main", "system_identifier": "%s", "segment_size": 1048576}' >%s/archive.json`, id, archive))
	s.SQL("alter system set work_mem = '5MB'")
	s.SQL("create tablespace sp location '" + s.Root + "/space'")
	s.SQL("create table t (i int primary key, x text); insert into t select i, md5(i::text) from generate_series(1, 20000) i")
	s.SQL("create table u tablespace sp as select * from t")
	s.SQL("create database \"o'ther\"")
	for _, text := range statements {
		s.SQL(text)
	}
	s.Run("sed", "-i", "s/'auto_explain'/'nowhere, auto_explain'/", s.Data+"/postgresql.conf")
	b.req.Target = repo.Target{Name: "nas", Scheme: "file", Path: target, ArchiveDir: "pg_archlog", Required: true}
	b.take()
	b.install()
	b.req.Options = Options{
		Cluster: "main", Node: "node1", SystemIdentifier: id, Archives: []repo.Target{b.req.Target}, DataDir: s.Data, BinDir: s.Bin, User: "postgres",
		Major: s.Major, StateDir: s.Root + "/state", ToolVersion: "test",
	}
	return b
}

func (b *bench) take() {
	b.t.Helper()
	d, err := repo.Open(b.t.Context(), b.req.Target)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { d.Close() }) //nolint:errcheck // a directory
	if b.cat, err = catalog.New(d, "pg_hotbackup/main", b.req.Target); err != nil {
		b.t.Fatal(err)
	}
	lookup := wal.NewLookup(b.req.Target, "main", 0, repo.Open)
	defer lookup.Close() //nolint:errcheck // a directory
	info, err := take.Take(b.t.Context(), take.Options{
		Catalog: b.cat, Archive: lookup, Cluster: "main", Node: "node1", StateDir: b.t.TempDir(), ToolVersion: "test",
		Server: take.Server{DataDir: b.Data, BinDir: b.Bin, SocketDir: b.Root, Port: 5432, User: "postgres", Major: b.Major},
	})
	if err != nil {
		b.t.Fatal(err)
	}
	b.label = info.Label
	if err := filepath.WalkDir(b.req.Target.Path, func(path string, _ fs.DirEntry, err error) error {
		b.Own(path)
		return err
	}); err != nil {
		b.t.Fatal(err)
	}
}

// install puts this program where the server's user can run it.
func (b *bench) install() {
	b.t.Helper()
	own, err := os.Executable()
	if err != nil {
		b.t.Fatal(err)
	}
	text, err := os.ReadFile(own)
	if err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(b.binary, text, 0o755); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) command(change func(*Options)) *exec.Cmd {
	b.t.Helper()
	req := b.req
	if change != nil {
		change(&req.Options)
	}
	text, err := json.Marshal(struct {
		Options map[string]any
		Target  repo.Target
	}{plain(b.t, req.Options), req.Target})
	if err != nil {
		b.t.Fatal(err)
	}
	cmd := b.Command(b.binary)
	cmd.Env = append(os.Environ(), childRequest+"="+string(text), "PGHOST=nowhere", "LC_ALL=C.UTF-8")
	return cmd
}

// plain leaves out what has no JSON.
func plain(t *testing.T, o Options) map[string]any {
	t.Helper()
	return map[string]any{
		"Label": o.Label, "Cluster": o.Cluster, "Node": o.Node, "SystemIdentifier": o.SystemIdentifier, "Archives": o.Archives, "DataDir": o.DataDir,
		"Scratch": o.Scratch, "BinDir": o.BinDir, "User": o.User, "Major": o.Major, "Preload": o.Preload, "StateDir": o.StateDir, "Hook": o.Hook,
		"Latest": o.Latest, "Deep": o.Deep, "Keep": o.Keep, "ToolVersion": o.ToolVersion,
	}
}

func (b *bench) drill(change func(*Options)) answer {
	b.t.Helper()
	cmd := b.command(change)
	out, err := cmd.Output()
	if err != nil {
		b.t.Fatalf("%v: %s", err, out)
	}
	return b.parse(out)
}

func (b *bench) parse(out []byte) (a answer) {
	b.t.Helper()
	if err := json.Unmarshal(out, &a); err != nil {
		b.t.Fatalf("%v: %s", err, out)
	}
	return a
}

// gone makes sure that a drill has left nothing.
func (b *bench) gone() {
	b.t.Helper()
	if there(b.Root, "pg_manage-drill-main") {
		b.t.Error("the scratch directory is still there")
	}
	cwds, err := filepath.Glob("/proc/[0-9]*/cwd")
	if err != nil {
		b.t.Fatal(err)
	}
	for _, c := range cwds {
		if to, err := os.Readlink(c); err == nil && strings.HasPrefix(to, b.Root+"/") && !strings.HasPrefix(to, b.Data) {
			b.t.Errorf("a process works in %s", to)
		}
	}
}

// archived lists what the archive has.
func (b *bench) archived() string {
	return b.Run("find", b.req.Target.Path+"/pg_archlog", "-type", "f")
}

func (b *bench) proofs() int {
	b.t.Helper()
	all, err := b.cat.Proofs(b.t.Context(), b.label)
	if err != nil {
		b.t.Fatal(err)
	}
	return len(all)
}

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
	if syscall.Kill(pid, 0) == nil {
		t.Error("the server of the first drill still runs")
	}
	b.gone()
	// An interrupt leaves nothing at all.
	cmd = b.command(func(o *Options) { o.Hook = hang })
	var out strings.Builder
	cmd.Stdout = &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(time.Minute); !there(filepath.Dir(pidFile), "postmaster.pid") && time.Now().Before(end); {
		time.Sleep(20 * time.Millisecond)
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
