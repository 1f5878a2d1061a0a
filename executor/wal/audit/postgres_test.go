package audit

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"pg_manage/schema/postgres"
)

// server is a real PostgreSQL that archives into a store by cp. PostgreSQL refuses to run
// as root, so root runs it as postgres.
type server struct {
	t         *testing.T
	bin, root string
	cred      *syscall.Credential
}

func newServer(t *testing.T) *server {
	t.Helper()
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil || len(found) == 0 {
		t.Fatal("PostgreSQL's server programs are needed (Debian: the package postgresql)")
	}
	s := &server{t: t, bin: filepath.Dir(found[0])}
	if s.root, err = os.MkdirTemp("", "pgaudit"); err != nil { // short, since a socket's path may have 107 bytes
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(s.root); err != nil {
			t.Error(err)
		}
	})
	if os.Getuid() != 0 {
		return s
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		t.Fatal(err)
	}
	uid, err1 := strconv.Atoi(u.Uid)
	gid, err2 := strconv.Atoi(u.Gid)
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	s.cred = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	if err := os.Chown(s.root, uid, gid); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *server) run(name string, args ...string) string {
	s.t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir = s.root
	if s.cred != nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.cred}
	}
	cmd.Env = append(os.Environ(), "HOME="+s.root, "LC_ALL=C")
	out, err := cmd.CombinedOutput()
	if err != nil {
		log, _ := os.ReadFile(s.root + "/log")
		s.t.Fatalf("%s %v: %v: %s\n%s", name, args, err, out, log)
	}
	return strings.TrimSpace(string(out))
}

func (s *server) start(data string) {
	s.t.Helper()
	s.run(s.bin+"/pg_ctl", "-D", data, "-w", "-l", s.root+"/log", "-o", "-k "+s.root+" -c listen_addresses= -c fsync=off", "start")
	s.t.Cleanup(func() { // a failed test must not leave it running
		if _, err := os.Stat(data + "/postmaster.pid"); err == nil {
			s.stop(data, "immediate")
		}
	})
}

func (s *server) stop(data, mode string) {
	s.t.Helper()
	s.run(s.bin+"/pg_ctl", "-D", data, "-w", "-m", mode, "stop")
}

func (s *server) sql(text string) string {
	s.t.Helper()
	return s.run(s.bin+"/psql", "-h", s.root, "-U", "postgres", "-d", "postgres", "-qAtX", "-v", "ON_ERROR_STOP=1", "-c", text)
}

// load writes n segments' worth of WAL and more.
func (s *server) load(n int) {
	s.t.Helper()
	s.sql("create table if not exists load (t text)")
	for i := range n {
		s.sql("insert into load select repeat(md5(i::text), (i % 300) + 1) from generate_series(1, 800) i")
		if i%3 == 0 {
			s.sql("select pg_switch_wal()")
		}
	}
}

// settled waits until no file waits to be archived.
func (s *server) settled(data string) {
	s.t.Helper()
	deadline := time.Now().Add(2 * time.Minute) // PostgreSQL rests for one when a command has failed
	for {
		n, _, oldest, err := Backlog(data)
		if err != nil {
			s.t.Fatal(err)
		}
		if n == 0 {
			return
		}
		if time.Now().After(deadline) {
			log, _ := os.ReadFile(s.root + "/log")
			s.t.Fatalf("%d files still wait, first %s\n%s", n, oldest, log)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// TestWALOfARealServer archives from a real server, through a crash and two promotions
// of copies, and looks at what came of it.
func TestWALOfARealServer(t *testing.T) {
	for _, size := range []uint64{1 << 20, 16 << 20, 64 << 20} {
		t.Run(fmt.Sprintf("%dMB", size>>20), func(t *testing.T) {
			t.Parallel() // it waits more than it works
			realServer(t, size)
		})
	}
}

func realServer(t *testing.T, size uint64) {
	s := newServer(t)
	data, in := s.root+"/data", s.root+"/in"
	s.run("mkdir", in)
	s.run(s.bin+"/initdb", "-D", data, "-A", "trust", "-N", fmt.Sprintf("--wal-segsize=%d", size>>20), "-U", "postgres")
	conf, err := os.OpenFile(data+"/postgresql.conf", os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(conf, "archive_mode = always\narchive_command = 'if test -f %s/%%f; then cmp %%p %s/%%f; else cp %%p %s/.%%f && mv %s/.%%f %s/%%f; fi'\nwal_keep_size = 4GB\nmax_wal_size = 4GB\nmin_wal_size = %dMB\n", in, in, in, in, in, 5*size>>20) //nolint:errcheck // Close tells
	if err := conf.Close(); err != nil {
		t.Fatal(err)
	}
	rounds := int(min(12, 6+(16<<20)/size))
	s.start(data)
	s.load(rounds)
	s.stop(data, "immediate") // a crash
	s.start(data)
	s.run(s.bin+"/pg_basebackup", "-h", s.root, "-U", "postgres", "-D", s.root+"/copy", "-c", "fast", "-X", "stream")
	s.load(rounds)
	s.settled(data)
	s.stop(data, "immediate") // so that the timeline ends in the middle of a segment
	for i, from := range []string{data, s.root + "/copy"} {
		to := []string{s.root + "/copy", s.root + "/again"}[i]
		if i == 1 {
			s.run("cp", "-a", from, to)
		} else { // what the primary has written and not archived
			s.run("sh", "-c", "cp "+from+"/pg_wal/0* "+to+"/pg_wal/")
		}
		s.run("touch", to+"/standby.signal")
		s.run("sh", "-c", fmt.Sprintf("echo \"restore_command = 'cp %s/%%f %%p'\" >> %s/postgresql.auto.conf", in, to))
		s.start(to)
		s.sql("select pg_promote()")
		s.load(7)
		s.sql("checkpoint")
		s.settled(to)
		s.stop(to, "immediate")
	}
	id, err := strconv.ParseUint(control(s, "Database system identifier"), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	st := newStore(t, size, id)
	files, err := os.ReadDir(in)
	if err != nil {
		t.Fatal(err)
	}
	for i, e := range files {
		b, err := os.ReadFile(in + "/" + e.Name())
		if err != nil {
			t.Fatal(err)
		}
		ext := ""
		if i%2 == 0 && !strings.HasSuffix(e.Name(), ".history") {
			ext = ".zst"
		}
		st.put(e.Name(), ext, b)
	}
	r := st.check(Options{Workers: 2})
	if len(r.Problems) > 0 || len(r.Timelines) != 3 || len(r.Recoverable) != 1 || fmt.Sprint(r.Recoverable[0].Through) != "[1 2 3]" {
		t.Fatalf("%s%s%+v", details(r), describe(r.Timelines), r.Recoverable)
	}
	holes(t, st, s.root+"/again", r)
}

func control(s *server, key string) string {
	for line := range strings.Lines(s.run(s.bin+"/pg_controldata", s.root+"/data")) {
		if k, v, ok := strings.Cut(line, ":"); ok && k == key {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

// holes deletes segments on two timelines, of which one is closed again from pg_wal.
func holes(t *testing.T, st *store, data string, whole *Report) {
	t.Helper()
	lost := whole.Timelines[0].Ranges[0].From
	f, err := postgres.ClassifyWALName(lost)
	if err != nil {
		t.Fatal(err)
	}
	n, err := st.a.number(f)
	if err != nil {
		t.Fatal(err)
	}
	l := lineage{segSize: st.a.SegmentSize}
	lost = l.name(1, n+1)
	last := whole.Timelines[2].Ranges[0].To
	for _, name := range []string{lost, last, whole.Timelines[1].Ranges[0].From} {
		st.remove(strings.TrimPrefix(glob(t, st, name), st.path("")+"/"))
	}
	if err := os.Remove(filepath.Join(data, "pg_wal", lost)); err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	r := st.check(Options{})
	if len(r.Timelines[0].Missing) != 1 || r.Timelines[0].Missing[0] != (Missing{lost, lost, 1}) || len(r.Timelines[1].Missing) != 1 || len(r.Recoverable) != 3 {
		t.Fatalf("%s%+v", describe(r.Timelines), r.Recoverable)
	}
	p, err := PushMissing(t.Context(), PushOptions{DataDir: data, Archive: st.a, Push: func(_ context.Context, path string) error {
		b, err := os.ReadFile(path)
		if err == nil {
			st.put(filepath.Base(path), ".zst", b)
		}
		return err
	}})
	if err != nil || len(p.Failed) > 0 || len(p.Unpushable) != 1 || p.Unpushable[0] != (Missing{lost, lost, 1}) {
		t.Fatalf("%v %+v", err, p)
	}
	r = st.check(Options{})
	if len(r.Problems) > 0 || len(r.Recoverable) != 2 || r.Recoverable[1].ToLSN != whole.Recoverable[0].ToLSN {
		t.Fatalf("%s%s%+v", details(r), describe(r.Timelines), r.Recoverable)
	}
	// One flipped bit is one problem, and what recovery can do ends there.
	for _, rg := range r.Timelines[2].Ranges {
		rel := strings.TrimPrefix(glob(t, st, rg.From), st.path("")+"/")
		b := bytes.Clone(st.read(rel))
		b[len(b)/2] ^= 1
		st.write(rel, b)
		if r := st.check(Options{}); len(r.Problems) == 0 || len(r.Recoverable) < 2 {
			t.Fatalf("%s: %s%+v", rel, details(r), r.Recoverable)
		}
	}
}
