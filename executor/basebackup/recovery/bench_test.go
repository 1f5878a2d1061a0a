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

	"pg_manage/executor/basebackup/pgtest"
	"pg_manage/executor/basebackup/take"
	"pg_manage/executor/repo"
	"pg_manage/executor/repo/catalog"
	"pg_manage/executor/wal"
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
	s.Configure(fmt.Sprintf("archive_mode = on\nshared_preload_libraries = 'nowhere, auto_explain'\nmax_prepared_transactions = 3\nmax_connections = 130\n"+
		"archive_command = 'd=%[1]s/$(echo %%f | cut -c 1-16); mkdir -p $d && cp %%p $d/.new && mv $d/.new $d/%%f'\n", archive))
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
	// A process of its own writes it: what another test starts meanwhile would have our
	// file open, and until that runs its own program nobody could run this one.
	if out, err := exec.Command("cp", own, b.binary).CombinedOutput(); err != nil {
		b.t.Fatalf("%v: %s", err, out)
	}
	if err := os.Chmod(b.binary, 0o755); err != nil {
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
