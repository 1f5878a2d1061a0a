package restore

import (
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"pg_manage/executor/basebackup/backuptest"
	"pg_manage/executor/basebackup/verify"
	"pg_manage/executor/repo"
)

// postgres runs programs of the newest PostgreSQL that is installed.
type postgres struct {
	t    *testing.T
	bin  string
	dir  string
	cred *syscall.Credential
}

func newPostgres(t *testing.T) *postgres {
	t.Helper()
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	if err != nil || len(found) == 0 {
		t.Fatalf("PostgreSQL's server programs are needed (Debian: the package postgresql): %v", err)
	}
	slices.Sort(found)
	p := &postgres{t: t, bin: filepath.Dir(found[len(found)-1])}
	if p.dir, err = os.MkdirTemp("", "rst"); err != nil { // short: a socket's path may have 107 bytes
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(p.dir) })
	if os.Getuid() == 0 {
		u, err := user.Lookup("postgres")
		if err != nil {
			t.Fatal(err)
		}
		uid, err1 := strconv.Atoi(u.Uid)
		gid, err2 := strconv.Atoi(u.Gid)
		if err1 != nil || err2 != nil {
			t.Fatal(err1, err2)
		}
		p.cred = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	}
	p.own(p.dir)
	return p
}

// own gives all below a directory to the user that runs PostgreSQL.
func (p *postgres) own(dir string) {
	p.t.Helper()
	if p.cred == nil {
		return
	}
	if out, err := exec.Command("chown", "-R", fmt.Sprintf("%d:%d", p.cred.Uid, p.cred.Gid), dir).CombinedOutput(); err != nil {
		p.t.Fatalf("%v: %s", err, out)
	}
}

func (p *postgres) run(name string, args ...string) string {
	p.t.Helper()
	cmd := exec.Command(filepath.Join(p.bin, name), args...)
	cmd.Dir, cmd.Env = p.dir, append(os.Environ(), "LC_ALL=C", "HOME="+p.dir)
	cmd.WaitDelay = time.Second
	if p.cred != nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: p.cred}
	}
	out, err := os.CreateTemp(p.t.TempDir(), "out")
	if err != nil {
		p.t.Fatal(err)
	}
	defer func() { _ = out.Close() }()
	cmd.Stdout, cmd.Stderr = out, out // no pipe, which the server would hold open
	err = cmd.Run()
	text, _ := os.ReadFile(out.Name())
	if err != nil {
		log, _ := os.ReadFile(filepath.Join(p.dir, "log"))
		p.t.Fatalf("%s %v: %v: %s\n%s", name, args, err, text, log)
	}
	return strings.TrimSpace(string(text))
}

func (p *postgres) start(data string) {
	p.t.Helper()
	p.run("pg_ctl", "-D", data, "-w", "-t", "60", "-l", filepath.Join(p.dir, "log"), "-o", "-k "+p.dir+" -p 5436 -c listen_addresses=''", "start")
	p.t.Cleanup(func() {
		cmd := exec.Command(filepath.Join(p.bin, "pg_ctl"), "-D", data, "-w", "-m", "immediate", "stop")
		if p.cred != nil {
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: p.cred}
		}
		_ = cmd.Run() // it may have been stopped
	})
}

func (p *postgres) stop(data string) {
	p.t.Helper()
	p.run("pg_ctl", "-D", data, "-w", "-m", "fast", "stop")
}

func (p *postgres) sql(text string) string {
	p.t.Helper()
	return p.run("psql", "-h", p.dir, "-p", "5436", "-U", "postgres", "-d", "postgres", "-qAtX", "-v", "ON_ERROR_STOP=1", "-c", text)
}

// Whatever a directory was restored by, PostgreSQL's own tools find it whole, and the
// server has the rows.
func TestPostgreSQLFindsARestoredClusterWhole(t *testing.T) {
	p := newPostgres(t)
	data, space := filepath.Join(p.dir, "data"), filepath.Join(p.dir, "space")
	if err := os.Mkdir(space, 0o700); err != nil {
		t.Fatal(err)
	}
	p.own(space)
	p.run("initdb", "-D", data, "-A", "trust", "-N", "-k", "-U", "postgres", "--wal-segsize=1")
	p.start(data)
	p.sql("CREATE TABLE a AS SELECT g, repeat(md5(g::text), 4) AS t FROM generate_series(1, 30000) g")
	p.sql("CREATE INDEX ON a (g)")
	p.sql("CREATE TABLESPACE s LOCATION '" + space + "'")
	p.sql("CREATE TABLE b TABLESPACE s AS SELECT * FROM a")
	p.sql("CREATE UNLOGGED TABLE u AS SELECT * FROM a")
	oid := p.sql("SELECT oid FROM pg_tablespace WHERE spcname = 's'")
	p.stop(data)
	g := backuptest.Open(t, t.TempDir(), repo.Target{Name: "here"}, nil)
	full := g.Take(t, data, 0, "")
	p.start(data)
	p.sql("UPDATE a SET t = 'changed' WHERE g % 3000 = 0")
	p.sql("INSERT INTO b SELECT g, 'new' FROM generate_series(1, 500) g")
	p.sql("CREATE TABLE c AS SELECT 1 AS x")
	p.stop(data)
	incr := g.Take(t, data, 1, full.Label)
	if incr.Stored*2 > full.Stored {
		t.Errorf("the incremental backup has %d bytes, the full one %d", incr.Stored, full.Stored)
	}
	for _, label := range []string{full.Label, incr.Label} {
		r, err := verify.Verify(t.Context(), g.Catalog, label, verify.Options{Ancestors: true, TempDir: t.TempDir()})
		if err != nil || !r.Sound() {
			t.Fatalf("%v, %+v", err, r)
		}
	}
	check := func(dir, rows string) {
		t.Helper()
		p.own(p.dir)
		p.run("pg_verifybackup", "--no-parse-wal", dir)
		p.start(dir)
		if got := p.sql("SELECT count(*) FROM b") + " " + p.sql("SELECT count(*) FROM a WHERE t = 'changed'") + " " + p.sql("SELECT count(*) FROM u"); got != rows {
			t.Errorf("%s: rows %s, want %s", dir, got, rows)
		}
		if _, err := os.Stat(filepath.Join(p.bin, "pg_amcheck")); err == nil {
			p.run("pg_amcheck", "--install-missing", "-h", p.dir, "-p", "5436", "-U", "postgres", "-d", "postgres")
		}
		p.stop(dir)
	}
	w := &world{t: t, dir: p.dir, target: g}
	options := func(label, name string) Options {
		o := w.options(label, name)
		o.Tablespaces = map[string]string{oid: filepath.Join(p.dir, name+"-space")}
		return o
	}
	o := options(full.Label, "full")
	w.restore(o)
	check(o.DataDir, "30000 0 30000")
	// The same directory is taken on to the incremental backup, and back.
	if os.Getuid() == 0 { // as its owner would
		for _, dir := range []string{o.DataDir, o.Tablespaces[oid]} {
			if out, err := exec.Command("chown", "-R", "0:0", dir).CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
		}
	}
	o.Label, o.Delta = incr.Label, true
	w.restore(o)
	check(o.DataDir, "30500 10 30000")
	fresh := options(incr.Label, "incr")
	w.restore(fresh)
	check(fresh.DataDir, "30500 10 30000")
	// By tar and zstd. pg_verifybackup finds the directory as it was where nothing is moved.
	if err := os.RemoveAll(space); err != nil {
		t.Fatal(err)
	}
	hand := filepath.Join(p.dir, "hand")
	if out, err := w.byHand(filepath.Join(g.Dir, full.Label), hand); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	check(hand, "30000 0 30000")
}
