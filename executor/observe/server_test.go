package observe

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"pg_manage/executor/remote/remotetest"
	"pg_manage/schema"
)

// binDir is the newest PostgreSQL of this machine.
func binDir(t testing.TB) (dir string, major int) {
	t.Helper()
	for v := 30; v >= 13; v-- {
		for _, family := range []string{"debian", "rhel"} {
			d := schema.DefaultPaths(family, v).BinDir
			if _, err := os.Stat(filepath.Join(d, "postgres")); err == nil {
				return d, v
			}
		}
	}
	t.Fatal("no PostgreSQL server is installed on this machine")
	return "", 0
}

// me is the user that the tests' servers run as: PostgreSQL refuses to run as root.
func me(t testing.TB) string {
	t.Helper()
	u, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	if u.Username == "root" {
		return "postgres"
	}
	return u.Username
}

// run runs a program as the owner.
func run(t testing.TB, args ...string) string {
	t.Helper()
	if os.Getuid() == 0 {
		args = append([]string{"runuser", "-u", me(t), "--"}, args...)
	}
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir = "/"
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, out.String())
	}
	return out.String()
}

// place is a directory of the owner.
func place(t testing.TB) string {
	t.Helper()
	d, err := os.MkdirTemp("/tmp", "obs") // short: a socket's path has at most 107 bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(d) })
	own(t, d)
	if err := os.Chmod(d, 0o755); err != nil {
		t.Fatal(err)
	}
	return d
}

func own(t testing.TB, path string) {
	t.Helper()
	if os.Getuid() != 0 {
		return
	}
	u, err := user.Lookup(me(t))
	if err != nil {
		t.Fatal(err)
	}
	uid, _ := strconv.Atoi(u.Uid)
	gid, _ := strconv.Atoi(u.Gid)
	if err := os.Lchown(path, uid, gid); err != nil {
		t.Fatal(err)
	}
}

func write(t testing.TB, path, content string) {
	t.Helper()
	mkdir(t, filepath.Dir(path))
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	own(t, path)
}

func mkdir(t testing.TB, path string) {
	t.Helper()
	if _, err := os.Stat(path); err == nil {
		return
	}
	mkdir(t, filepath.Dir(path))
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	own(t, path)
}

// server is an instance that a test started.
type server struct {
	bin, data, socket string
	port              int
}

func (s *server) start(t testing.TB) {
	t.Helper()
	run(t, s.bin+"/pg_ctl", "start", "-w", "-s", "-D", s.data, "-l", filepath.Join(s.socket, "log"))
	t.Cleanup(func() {
		args := []string{s.bin + "/pg_ctl", "stop", "-m", "immediate", "-s", "-D", s.data}
		if os.Getuid() == 0 {
			args = append([]string{"runuser", "-u", me(t), "--"}, args...)
		}
		_ = exec.Command(args[0], args[1:]...).Run()
	})
}

func (s *server) stop(t testing.TB) {
	t.Helper()
	run(t, s.bin+"/pg_ctl", "stop", "-m", "fast", "-w", "-s", "-D", s.data)
}

func (s *server) sql(t testing.TB, q string) string {
	t.Helper()
	return strings.TrimSpace(run(t, s.bin+"/psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-h", s.socket, "-p", strconv.Itoa(s.port), "-d", "postgres", "-c", q))
}

// newPrimary starts a server in a directory whose name is no easy one.
func newPrimary(t testing.TB, dir string) *server {
	t.Helper()
	bin, _ := binDir(t)
	s := &server{bin: bin, data: filepath.Join(dir, "da ta'1"), socket: dir, port: remotetest.FreePort(t)}
	run(t, bin+"/initdb", "-D", s.data, "-A", "trust", "-k", "--locale=C.UTF-8", "--no-sync", "-U", me(t))
	conf, err := os.OpenFile(filepath.Join(s.data, "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conf.Close() }()
	fmt.Fprintf(conf, "port = %d\nunix_socket_directories = '%s'\nlisten_addresses = '127.0.0.1'\nfsync = off\narchive_mode = on\narchive_command = 'true'\ninclude_if_exists = 'pg_manage.conf'  # pg_manage\n", s.port, s.socket)
	write(t, filepath.Join(s.data, "pg_manage.conf"), "work_mem = '8MB'\n")
	s.start(t)
	return s
}

// newStandby builds a standby by pg_basebackup.
func newStandby(t testing.TB, dir string, up *server) *server {
	t.Helper()
	s := &server{bin: up.bin, data: filepath.Join(dir, "standby"), socket: dir, port: remotetest.FreePort(t)}
	run(t, s.bin+"/pg_basebackup", "-D", s.data, "-h", up.socket, "-p", strconv.Itoa(up.port), "-c", "fast", "-R", "-C", "-S", "pg_manage_two", "--no-sync")
	write(t, filepath.Join(s.data, "pg_manage.conf"), fmt.Sprintf("port = %d\n", s.port))
	s.start(t)
	return s
}
