package pack

import (
	"context"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"pg_manage/executor/basebackup/frame"
	"pg_manage/executor/basebackup/manifest"
	"pg_manage/schema/postgres"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(asUser); dir != "" {
		os.Exit(packAsUser(dir))
	}
	goleak.VerifyTestMain(m)
}

// server is a real PostgreSQL. It refuses to run as root, so root runs it as postgres.
type server struct {
	t               *testing.T
	bin, root, data string
	major           int
	cred            *syscall.Credential
}

func newServer(t *testing.T, initdb ...string) *server {
	t.Helper()
	s := &server{t: t}
	dirs, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil || len(dirs) == 0 {
		t.Fatal("PostgreSQL's server programs are needed (Debian: the package postgresql)")
	}
	s.bin = filepath.Dir(dirs[0])
	// Short, since a socket's path may have 107 bytes.
	if s.root, err = os.MkdirTemp("", "pgpack"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(s.root) }) //nolint:errcheck // a temporary directory
	if os.Getuid() == 0 {
		u, err := user.Lookup("postgres")
		if err != nil {
			t.Fatal(err)
		}
		uid, err := strconv.Atoi(u.Uid)
		if err != nil {
			t.Fatal(err)
		}
		gid, err := strconv.Atoi(u.Gid)
		if err != nil {
			t.Fatal(err)
		}
		s.cred = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		s.own(s.root)
	}
	s.data = s.root + "/data"
	s.run(s.bin+"/initdb", append([]string{"-D", s.data, "-A", "trust", "-N", "-k", "--wal-segsize=1", "-U", "postgres"}, initdb...)...)
	fields := strings.Fields(s.run(s.bin+"/postgres", "-V"))
	if s.major, err = strconv.Atoi(strings.Split(fields[2], ".")[0]); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *server) own(path string) {
	s.t.Helper()
	if s.cred == nil {
		return
	}
	if err := os.Chown(path, int(s.cred.Uid), int(s.cred.Gid)); err != nil {
		s.t.Fatal(err)
	}
}

func (s *server) mkdir(path string) string {
	s.t.Helper()
	if err := os.Mkdir(path, 0o700); err != nil {
		s.t.Fatal(err)
	}
	s.own(path)
	return path
}

func (s *server) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.Dir = s.root
	if s.cred != nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.cred}
	}
	return cmd
}

func (s *server) run(name string, args ...string) string {
	s.t.Helper()
	out, err := s.command(name, args...).CombinedOutput()
	if err != nil {
		log, _ := os.ReadFile(s.root + "/log")
		s.t.Fatalf("%s %v: %v: %s\n%s", name, args, err, out, log)
	}
	return strings.TrimSpace(string(out))
}

func (s *server) sql(text string) string {
	s.t.Helper()
	return s.run(s.bin+"/psql", "-h", s.root, "-U", "postgres", "-d", "postgres", "-qAtX", "-v", "ON_ERROR_STOP=1", "-c", text)
}

// start starts the server on a data directory, and stops it when the test ends.
func (s *server) start(data string) {
	s.t.Helper()
	// Output to files: a pipe would stay open with the server.
	cmd := s.command(s.bin+"/pg_ctl", "-D", data, "-w", "-t", "60", "-l", s.root+"/log", "-o",
		"-k "+s.root+" -c listen_addresses= -c fsync=off -c max_wal_size=256MB -c wal_keep_size=256MB -c autovacuum=off", "start")
	if err := cmd.Run(); err != nil {
		log, _ := os.ReadFile(s.root + "/log")
		s.t.Fatalf("starting: %v\n%s", err, log)
	}
	s.t.Cleanup(func() { s.stop(data) })
}

func (s *server) stop(data string) {
	s.t.Helper()
	if _, err := os.Stat(data + "/postmaster.pid"); err == nil {
		s.run(s.bin+"/pg_ctl", "-D", data, "-w", "-m", "fast", "stop")
	}
}

// session is a session in which a backup runs.
type session struct {
	s   *server
	cmd *exec.Cmd
	in  *os.File
	out *os.File
}

func (s *server) session() *session {
	s.t.Helper()
	inR, inW, err := os.Pipe()
	if err != nil {
		s.t.Fatal(err)
	}
	outR, outW, err := os.Pipe()
	if err != nil {
		s.t.Fatal(err)
	}
	cmd := s.command(s.bin+"/psql", "-h", s.root, "-U", "postgres", "-d", "postgres", "-qAtX", "-v", "ON_ERROR_STOP=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = inR, outW, outW
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	inR.Close()  //nolint:errcheck // the child has it
	outW.Close() //nolint:errcheck // the child has it
	return &session{s: s, cmd: cmd, in: inW, out: outR}
}

func (c *session) sql(text string) string {
	c.s.t.Helper()
	if _, err := c.in.WriteString(text + ";\n\\echo --END\n"); err != nil {
		c.s.t.Fatal(err)
	}
	var got strings.Builder
	b := make([]byte, 4096)
	for !strings.Contains(got.String(), "--END\n") {
		if err := c.out.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
			c.s.t.Fatal(err)
		}
		n, err := c.out.Read(b)
		if err != nil {
			c.s.t.Fatalf("%s: %v: %s", text, err, got.String())
		}
		got.Write(b[:n])
	}
	text, _, _ = strings.Cut(got.String(), "--END\n")
	return strings.TrimSuffix(text, "\n")
}

func (c *session) end() {
	c.s.t.Helper()
	c.in.Close() //nolint:errcheck // psql ends then
	if err := c.cmd.Wait(); err != nil {
		c.s.t.Error(err)
	}
	c.out.Close() //nolint:errcheck // read to its end
}

// options are those for a backup of the server.
func (s *server) options(st *store) Options {
	s.t.Helper()
	head, err := os.ReadFile(s.data + "/" + controlFile)
	if err != nil {
		s.t.Fatal(err)
	}
	id, err := postgres.ControlFileIdentity(head)
	if err != nil {
		s.t.Fatal(err)
	}
	return Options{
		Store: st, Label: "20260101T000000Z-node1-full", DataDir: s.data, Checksums: true, Workers: 3,
		Manifest: manifest.Header{Major: s.major, SystemIdentifier: id},
		Notice:   func(text string) { s.t.Log(text) },
	}
}

// take takes a backup of the running server. During, if not nil, runs between New and Files.
func (s *server) take(st *store, change func(*Options), during func()) *backup {
	s.t.Helper()
	c := s.session()
	defer c.end()
	start, stop := "pg_backup_start('x', true)", "pg_backup_stop(false)"
	if s.major < 15 {
		start, stop = "pg_start_backup('x', true, false)", "pg_stop_backup(false, false)"
	}
	o := s.options(st)
	var err error
	if o.StartLSN, err = postgres.ParseLSN(c.sql("select " + start)); err != nil {
		s.t.Fatal(err)
	}
	if change != nil {
		change(&o)
	}
	p, err := New(context.Background(), o)
	if err != nil {
		s.t.Fatal(err)
	}
	if during != nil {
		during()
	}
	if err := p.Files(context.Background()); err != nil {
		s.t.Fatal(err)
	}
	parts := strings.Split(c.sql("select lsn || '~' || labelfile || '~' || spcmapfile from "+stop), "~")
	end, err := postgres.ParseLSN(parts[0])
	if err != nil {
		s.t.Fatal(err)
	}
	extra := []File{{Path: "backup_label", Data: []byte(parts[1])}}
	if parts[2] != "" {
		extra = append(extra, File{Path: "tablespace_map", Data: []byte(parts[2])})
	}
	extra = append(extra, s.wal(o.StartLSN, end)...)
	r, err := p.Finish(context.Background(), extra, []manifest.Range{{Timeline: 1, Start: o.StartLSN, End: end}})
	if err != nil {
		s.t.Fatal(err)
	}
	return s.read(st, r)
}

// wal lists the segments from start to end.
func (s *server) wal(start, end postgres.LSN) (files []File) {
	s.t.Helper()
	for lsn := start &^ (1<<20 - 1); lsn < end; lsn += 1 << 20 {
		name, err := postgres.SegmentName(1, lsn, 1<<20)
		if err != nil {
			s.t.Fatal(err)
		}
		files = append(files, File{Path: "pg_wal/" + name})
	}
	return files
}

func (s *server) read(st *store, r *Result) *backup {
	s.t.Helper()
	c, err := frame.NewCoder(st.compression)
	if err != nil {
		s.t.Fatal(err)
	}
	return &backup{store: st, result: r, entries: st.entries(s.t), coder: c}
}

// store makes a store in a directory of its own.
func (s *server) store(compression string) *store {
	s.t.Helper()
	dir, err := os.MkdirTemp(s.root, "store")
	if err != nil {
		s.t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		s.t.Fatal(err)
	}
	return &store{dir: dir, compression: compression}
}
