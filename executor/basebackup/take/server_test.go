package take

import (
	"bytes"
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

// pg is an installation of PostgreSQL, and a directory for the servers of a test, which
// run as a user other than root, since PostgreSQL refuses that.
type pg struct {
	t       *testing.T
	bin     string
	major   int
	root    string
	archive string // the archive's directory of the cluster
	cred    *syscall.Credential
}

// newPG finds the newest installation, or the one in PG_MANAGE_TEST_BIN.
func newPG(t *testing.T) *pg {
	t.Helper()
	t.Parallel() // they wait more than they work
	p := &pg{t: t, bin: os.Getenv("PG_MANAGE_TEST_BIN")}
	for v := 13; v < 30 && os.Getenv("PG_MANAGE_TEST_BIN") == ""; v++ {
		if dir := fmt.Sprintf("/usr/lib/postgresql/%d/bin", v); exec.Command(dir+"/postgres", "--version").Run() == nil {
			p.bin = dir
		}
	}
	if p.bin == "" {
		t.Fatal("PostgreSQL's server programs are needed (Debian: the package postgresql)")
	}
	out, err := exec.Command(p.bin+"/postgres", "--version").Output()
	if err != nil {
		t.Fatal(err)
	}
	v, err := postgres.ParseVersion(string(out))
	if err != nil {
		t.Fatal(err)
	}
	p.major = v.Major()
	if p.root, err = os.MkdirTemp("", "take"); err != nil { // short: a socket's path may have 107 bytes
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(p.root) }) //nolint:errcheck // a temporary directory
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
	p.own(p.root)
	p.archive = filepath.Join(p.root, "target", "pg_archlog", "main")
	for _, dir := range []string{"target", "target/pg_archlog", "target/pg_archlog/main", "state"} {
		p.mkdir(filepath.Join(p.root, dir))
	}
	return p
}

func (p *pg) own(path string) {
	p.t.Helper()
	if p.cred != nil {
		if err := os.Chown(path, int(p.cred.Uid), int(p.cred.Gid)); err != nil {
			p.t.Fatal(err)
		}
	}
}

// ownAll gives a directory with all in it to the user of the servers.
func (p *pg) ownAll(dir string) {
	p.t.Helper()
	if p.cred == nil {
		return
	}
	if out, err := exec.Command("chown", "-R", fmt.Sprintf("%d:%d", p.cred.Uid, p.cred.Gid), dir).CombinedOutput(); err != nil {
		p.t.Fatalf("%v: %s", err, out)
	}
}

func itoa(n uint32) string { return strconv.FormatUint(uint64(n), 10) }

func (p *pg) mkdir(path string) {
	p.t.Helper()
	if err := os.MkdirAll(path, 0o700); err != nil {
		p.t.Fatal(err)
	}
	p.own(path)
}

func (p *pg) write(path, text string) {
	p.t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		p.t.Fatal(err)
	}
	p.own(path)
}

func (p *pg) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.Dir = p.root
	cmd.Env = append(os.Environ(), "LC_ALL=C", "HOME="+p.root)
	if p.cred != nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: p.cred}
	}
	return cmd
}

func (p *pg) try(name string, args ...string) (string, error) {
	cmd := p.command(name, args...)
	var out bytes.Buffer // a file would be kept open by the server that pg_ctl starts
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.WaitDelay = time.Second
	err := cmd.Run()
	return strings.TrimSpace(out.String()), err
}

func (p *pg) run(name string, args ...string) string {
	p.t.Helper()
	out, err := p.try(name, args...)
	if err != nil {
		p.t.Fatalf("%s %v: %v: %s", name, args, err, out)
	}
	return out
}

// server is one instance.
type server struct {
	*pg
	data string
	port int
}

// primary makes and starts a server of small segments that archives with cp, unless
// settings say otherwise.
func (p *pg) primary(settings ...string) *server {
	p.t.Helper()
	s := &server{p, filepath.Join(p.root, "data"), 5401}
	p.run(p.bin+"/initdb", "-D", s.data, "-A", "trust", "-N", "-k", "--wal-segsize=1", "-U", "postgres")
	s.configure(append([]string{
		"archive_mode = on", "archive_command = '" + p.archiveCommand() + "'", "wal_level = replica",
	}, settings...)...)
	s.start()
	id := s.sql("SELECT system_identifier FROM pg_control_system()")
	p.write(filepath.Join(p.archive, "archive.json"), fmt.Sprintf(`{"version": 1, "cluster": "main", "system_identifier": %q, "segment_size": 1048576}`, id))
	return s
}

// archiveCommand copies a file to where the archive has it.
func (p *pg) archiveCommand() string {
	return "case %f in *.history) d=" + p.archive + " ;; *) d=" + p.archive + "/$(echo %f | cut -c 1-16) ;; esac; mkdir -p $d && cp %p $d/.new && mv $d/.new $d/%f"
}

func (s *server) configure(settings ...string) {
	s.t.Helper()
	f, err := os.OpenFile(s.data+"/postgresql.conf", os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		s.t.Fatal(err)
	}
	_, err = fmt.Fprintf(f, "port = %d\nlisten_addresses = ''\nunix_socket_directories = '%s'\nfsync = off\nshared_buffers = 16MB\n%s\n", s.port, s.root, strings.Join(settings, "\n"))
	if cerr := f.Close(); err != nil || cerr != nil {
		s.t.Fatal(err, cerr)
	}
}

func (s *server) log() string { return s.data + ".log" }

func (s *server) start() {
	s.t.Helper()
	if out, err := s.try(s.bin+"/pg_ctl", "-D", s.data, "-w", "-t", "60", "-l", s.log(), "start"); err != nil {
		log, _ := os.ReadFile(s.log())
		s.t.Fatalf("start of %s: %v: %s\n%s", s.data, err, out, log)
	}
	s.t.Cleanup(func() { s.try(s.bin+"/pg_ctl", "-D", s.data, "-w", "-m", "immediate", "stop") }) //nolint:errcheck // it may be stopped
}

func (s *server) stop() {
	s.t.Helper()
	s.run(s.bin+"/pg_ctl", "-D", s.data, "-w", "-m", "fast", "stop")
}

func (s *server) trySQL(text string) (string, error) {
	return s.try(s.bin+"/psql", "-h", s.root, "-p", strconv.Itoa(s.port), "-U", "postgres", "-d", "postgres", "-qAtX", "-v", "ON_ERROR_STOP=1", "-c", text)
}

func (s *server) sql(text string) string {
	s.t.Helper()
	out, err := s.trySQL(text)
	if err != nil {
		log, _ := os.ReadFile(s.log())
		s.t.Fatalf("%s: %v: %s\n%s", text, err, out, log)
	}
	return out
}

// standby makes a standby of a server with pg_basebackup.
func (s *server) standby(name string, settings ...string) *server {
	s.t.Helper()
	b := &server{s.pg, filepath.Join(s.root, name), s.port + 1}
	s.run(s.bin+"/pg_basebackup", "-h", s.root, "-p", strconv.Itoa(s.port), "-U", "postgres", "-D", b.data, "-c", "fast", "-R")
	b.configure(settings...)
	b.start()
	return b
}

// await waits until a statement gives what is wanted.
func (s *server) await(sql, want string) {
	s.t.Helper()
	waitFor(s.t, sql+" is "+want, func() bool {
		out, err := s.trySQL(sql)
		return err == nil && out == want
	})
}

func waitFor(t *testing.T, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !done(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited a minute in vain: %s", what)
		}
	}
}
