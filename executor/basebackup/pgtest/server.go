// Package pgtest runs a real PostgreSQL server for tests.
package pgtest

import (
	"errors"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Server is a real PostgreSQL. It refuses to run as root, so root runs it as postgres.
type Server struct {
	T               *testing.T
	Bin, Root, Data string
	Major           int
	cred            *syscall.Credential
}

// New makes a cluster with checksums of pages and WAL segments of 1 MB. Its server does not run yet.
func New(t *testing.T, initdb ...string) *Server {
	t.Helper()
	s := &Server{T: t}
	dirs, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil || len(dirs) == 0 {
		t.Fatal("PostgreSQL's server programs are needed (Debian: the package postgresql)")
	}
	s.Bin = filepath.Dir(dirs[0])
	// Short, since a socket's path may have 107 bytes.
	if s.Root, err = os.MkdirTemp("", "pgpack"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(s.Root) }) //nolint:errcheck // a temporary directory
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
		s.Own(s.Root)
	}
	s.Data = s.Root + "/data"
	s.Run(s.Bin+"/initdb", append([]string{"-D", s.Data, "-A", "trust", "-N", "-k", "--wal-segsize=1", "-U", "postgres"}, initdb...)...)
	fields := strings.Fields(s.Run(s.Bin+"/postgres", "-V"))
	if s.Major, err = strconv.Atoi(strings.Split(fields[2], ".")[0]); err != nil {
		t.Fatal(err)
	}
	return s
}

// Own gives a file to the server's user.
func (s *Server) Own(path string) {
	s.T.Helper()
	if s.cred == nil {
		return
	}
	if err := os.Chown(path, int(s.cred.Uid), int(s.cred.Gid)); err != nil {
		s.T.Fatal(err)
	}
}

// Mkdir makes a directory of the server's user.
func (s *Server) Mkdir(path string) string {
	s.T.Helper()
	if err := os.Mkdir(path, 0o700); err != nil {
		s.T.Fatal(err)
	}
	s.Own(path)
	return path
}

// Command is a command that runs as the server's user.
func (s *Server) Command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.Dir = s.Root
	if s.cred != nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.cred}
	}
	return cmd
}

// Run runs a command as the server's user, and gives its output.
func (s *Server) Run(name string, args ...string) string {
	s.T.Helper()
	out, err := s.Command(name, args...).CombinedOutput()
	if err != nil {
		log, _ := os.ReadFile(s.Root + "/log")
		s.T.Fatalf("%s %v: %v: %s\n%s", name, args, err, out, log)
	}
	return strings.TrimSpace(string(out))
}

// SQL runs statements, and gives what they give.
func (s *Server) SQL(text string) string {
	s.T.Helper()
	return s.Run(s.Bin+"/psql", "-h", s.Root, "-U", "postgres", "-d", "postgres", "-qAtX", "-v", "ON_ERROR_STOP=1", "-c", text)
}

// Configure adds lines to the server's postgresql.conf.
func (s *Server) Configure(lines string) {
	s.T.Helper()
	f, err := os.OpenFile(s.Data+"/postgresql.conf", os.O_APPEND|os.O_WRONLY, 0)
	if err == nil {
		_, err = f.WriteString(lines)
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		s.T.Fatal(err)
	}
}

// Start starts the server on a data directory, and stops it when the test ends.
func (s *Server) Start(data string) {
	s.T.Helper()
	// Output to files: a pipe would stay open with the server.
	cmd := s.Command(s.Bin+"/pg_ctl", "-D", data, "-w", "-t", "60", "-l", s.Root+"/log", "-o",
		"-k "+s.Root+" -c listen_addresses= -c fsync=off -c max_wal_size=256MB -c wal_keep_size=256MB -c autovacuum=off", "start")
	if err := cmd.Run(); err != nil {
		log, _ := os.ReadFile(s.Root + "/log")
		s.T.Fatalf("starting: %v\n%s", err, log)
	}
	s.T.Cleanup(func() { s.Stop(data) })
}

// Stop stops the server if it runs on a data directory.
func (s *Server) Stop(data string) {
	s.T.Helper()
	if _, err := os.Stat(data + "/postmaster.pid"); err == nil {
		s.Run(s.Bin+"/pg_ctl", "-D", data, "-w", "-m", "fast", "stop")
	}
}

// Session is a session of psql that stays open.
type Session struct {
	s   *Server
	cmd *exec.Cmd
	in  *os.File
	out *os.File
}

// Session begins a session.
func (s *Server) Session() *Session {
	s.T.Helper()
	inR, inW, err := os.Pipe()
	if err != nil {
		s.T.Fatal(err)
	}
	outR, outW, err := os.Pipe()
	if err != nil {
		s.T.Fatal(err)
	}
	cmd := s.Command(s.Bin+"/psql", "-h", s.Root, "-U", "postgres", "-d", "postgres", "-qAtX", "-v", "ON_ERROR_STOP=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = inR, outW, outW
	if err := cmd.Start(); err != nil {
		s.T.Fatal(err)
	}
	inR.Close()  //nolint:errcheck // the child has it
	outW.Close() //nolint:errcheck // the child has it
	return &Session{s: s, cmd: cmd, in: inW, out: outR}
}

// SQL runs a statement, and gives what it gives.
func (c *Session) SQL(text string) string {
	c.s.T.Helper()
	if _, err := c.in.WriteString(text + ";\n\\echo --END\n"); err != nil {
		c.s.T.Fatal(err)
	}
	var got strings.Builder
	b := make([]byte, 4096)
	for !strings.Contains(got.String(), "--END\n") {
		if err := c.out.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
			c.s.T.Fatal(err)
		}
		n, err := c.out.Read(b)
		if err != nil {
			c.s.T.Fatalf("%s: %v: %s", text, err, got.String())
		}
		got.Write(b[:n])
	}
	text, _, _ = strings.Cut(got.String(), "--END\n")
	return strings.TrimSuffix(text, "\n")
}

// End ends the session.
func (c *Session) End() {
	c.s.T.Helper()
	c.in.Close() //nolint:errcheck // psql ends then
	if err := c.cmd.Wait(); err != nil {
		c.s.T.Error(err)
	}
	c.out.Close() //nolint:errcheck // read to its end
}
