package wal

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/klauspost/compress/zstd"

	"pg_manage/executor/remote/remotetest"
	"pg_manage/executor/repo"
)

// server is a real PostgreSQL whose archive_command is the hook. PostgreSQL refuses to
// run as root, so root runs it as postgres.
type server struct {
	t               *testing.T
	bin, root, data string
	hook, config    string
	cred            *syscall.Credential
	uid, gid        int
}

func newServer(t *testing.T) *server {
	t.Helper()
	s := &server{t: t, uid: os.Getuid(), gid: os.Getgid()}
	dirs, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if initdb, lerr := exec.LookPath("initdb"); lerr == nil {
		dirs = append(dirs, initdb)
	}
	if err != nil || len(dirs) == 0 {
		t.Fatal("PostgreSQL's server programs are needed (Debian: the package postgresql)")
	}
	s.bin = filepath.Dir(dirs[0])
	if s.uid == 0 {
		u, err := user.Lookup("postgres")
		if err != nil {
			t.Fatal(err)
		}
		if s.uid, err = strconv.Atoi(u.Uid); err != nil {
			t.Fatal(err)
		}
		if s.gid, err = strconv.Atoi(u.Gid); err != nil {
			t.Fatal(err)
		}
		s.cred = &syscall.Credential{Uid: uint32(s.uid), Gid: uint32(s.gid)}
	}
	// Short, since a socket's path may have 107 bytes.
	if s.root, err = os.MkdirTemp("", "pgwal"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(s.root) }) //nolint:errcheck // a temporary directory
	s.data, s.hook, s.config = s.root+"/data", s.root+"/pg_manage-hook", s.root+"/state/hook.json"
	for _, d := range []string{"/state", "/target"} {
		s.mkdir(s.root + d)
	}
	s.own(s.root)
	buildHook(t, s.hook)
	s.run(s.bin+"/initdb", "-D", s.data, "-A", "trust", "-N", "--wal-segsize=1", "-U", "postgres")
	return s
}

func (s *server) own(path string) {
	s.t.Helper()
	if err := os.Chown(path, s.uid, s.gid); err != nil {
		s.t.Fatal(err)
	}
}

func (s *server) mkdir(path string) {
	s.t.Helper()
	if err := os.MkdirAll(path, 0o700); err != nil {
		s.t.Fatal(err)
	}
	s.own(path)
}

func (s *server) write(path, text string) {
	s.t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	s.own(path)
}

func (s *server) try(name string, args ...string) (string, error) {
	cmd := exec.Command(name, args...)
	cmd.Dir = s.root
	if s.cred != nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.cred}
	}
	cmd.Env = append(os.Environ(), "HOME="+s.root, "LC_ALL=C", "SSH_AUTH_SOCK=")
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

func (s *server) run(name string, args ...string) string {
	s.t.Helper()
	out, err := s.try(name, args...)
	if err != nil {
		log, _ := os.ReadFile(s.root + "/log")
		s.t.Fatalf("%s %v: %v: %s\n%s", name, args, err, out, log)
	}
	return out
}

func (s *server) sql(text string) string {
	s.t.Helper()
	return s.run(s.bin+"/psql", "-h", s.root, "-U", "postgres", "-d", "postgres", "-qAtX", "-v", "ON_ERROR_STOP=1", "-c", text)
}

// configure writes hook.json for a data directory.
func (s *server) configure(file, data string, target repo.Target) string {
	s.t.Helper()
	text, err := json.Marshal(Config{Version: ConfigVersion, Cluster: "main", Node: "node1", DataDir: data, Targets: []repo.Target{target}, LogDir: s.root})
	if err != nil {
		s.t.Fatal(err)
	}
	s.write(file, string(text))
	return fmt.Sprintf("'%s --config %s ", s.hook, file)
}

func (s *server) start(data string) error {
	_, err := s.try(s.bin+"/pg_ctl", "-D", data, "-w", "-t", "60", "-l", s.root+"/log", "-o", "-k "+s.root+" -c listen_addresses= -c fsync=off", "start")
	return err
}

func (s *server) stop(data string) {
	s.t.Helper()
	s.run(s.bin+"/pg_ctl", "-D", data, "-w", "-m", "fast", "stop")
}

// TestPostgreSQL archives under load from a real server, compares every segment, and
// recovers from the archive; first onto a directory, then over a real sshd.
func TestPostgreSQL(t *testing.T) {
	for _, scheme := range []string{"file", "ssh"} {
		t.Run(scheme, func(t *testing.T) {
			s := newServer(t)
			target := repo.Target{Name: "nas", Scheme: "file", Path: s.root + "/target", ArchiveDir: "pg_archlog", Required: true}
			cut := func() { // an outage
				if err := os.Rename(s.root+"/target", s.root+"/away"); err != nil {
					t.Fatal(err)
				}
			}
			back := func() {
				if err := os.Rename(s.root+"/away", s.root+"/target"); err != nil {
					t.Fatal(err)
				}
			}
			if scheme == "ssh" {
				d := startSSHD(t, s)
				target.Scheme, target.Host, target.Port, target.User = "ssh", "127.0.0.1", d.port, d.user
				target.HostKeys, target.IdentityFile = []string{d.hostKey}, d.identity
				cut, back = d.stop, d.start
			}
			cmd := s.configure(s.config, s.data, target)
			s.archiveUnderLoad(cmd)
			s.run("cp", "-a", s.root+"/copy", s.root+"/standby")
			s.recover(target, cut, back)
			s.standBy(target, cut, back)
		})
	}
}

func (s *server) archiveUnderLoad(cmd string) {
	t := s.t
	if err := s.start(s.data); err != nil {
		t.Fatal(err)
	}
	s.sql("alter system set archive_mode = on")
	s.sql("alter system set archive_command = " + cmd + "archive --log %p'")
	s.sql("alter system set wal_keep_size = '512MB'") // so that the originals stay to compare with
	s.sql("alter system set max_wal_size = '512MB'")
	s.stop(s.data)
	s.run(s.hook, "--config", s.config, "init")
	if err := s.start(s.data); err != nil {
		t.Fatal(err)
	}
	s.run("cp", "-a", s.data, s.root+"/none") // shows below that a copy of a running server is refused
	s.sql("select pg_create_restore_point('x')")
	s.run(s.bin+"/pg_basebackup", "-h", s.root, "-U", "postgres", "-D", s.root+"/copy", "-X", "none", "-c", "fast")
	for range 4 {
		s.sql("create table if not exists load (t text); insert into load select repeat(md5(i::text), 8) from generate_series(1, 5000) i; select pg_switch_wal()")
	}
	last := s.sql("select pg_walfile_name(pg_switch_wal())")
	waitFor(t, func() bool { return s.sql("select coalesce(last_archived_wal, '') from pg_stat_archiver") >= last })
	if n := s.sql("select failed_count from pg_stat_archiver"); n != "0" {
		t.Errorf("%s archive commands failed", n)
	}
	done, err := filepath.Glob(s.data + "/pg_wal/archive_status/*.done")
	if err != nil || len(done) < 5 {
		t.Fatal(done, err)
	}
	compared := 0
	for _, d := range done {
		name := strings.TrimSuffix(filepath.Base(d), ".done")
		if strings.Contains(name, ".") {
			continue
		}
		want, err := os.ReadFile(s.data + "/pg_wal/" + name)
		if err != nil {
			t.Fatal(err)
		}
		packed, err := os.ReadFile(filepath.Join(s.root, "target/pg_archlog/main", name[:16], name+".zst"))
		if err != nil {
			t.Fatal(err)
		}
		dec, err := zstd.NewReader(bytes.NewReader(packed))
		if err != nil {
			t.Fatal(err)
		}
		got := sha256.New()
		if _, err := dec.WriteTo(got); err != nil {
			t.Fatal(err)
		}
		dec.Close()
		if sum := sha256.Sum256(want); !slices.Equal(got.Sum(nil), sum[:]) {
			t.Errorf("%s is not what was archived", name)
		}
		compared++
	}
	if compared < 5 {
		t.Errorf("only %d segments were compared", compared)
	}
	s.closeHole(done)
	// The same command in a copy of the data directory.
	copied := exec.Command(s.hook, "--config", s.config, "archive", "pg_wal/"+last)
	copied.Dir = s.root + "/none"
	if s.cred != nil {
		copied.SysProcAttr = &syscall.SysProcAttr{Credential: s.cred}
	}
	if out, err := copied.CombinedOutput(); err == nil || !strings.Contains(string(out), "copied data directory") {
		t.Errorf("a copied data directory archives: %v: %s", err, out)
	}
	s.stop(s.data)
}

// closeHole takes a segment out of the archive: the audit tells, and push-missing puts it back.
func (s *server) closeHole(done []string) {
	t := s.t
	name := strings.TrimSuffix(filepath.Base(done[len(done)/2]), ".done")
	file := filepath.Join(s.root, "target/pg_archlog/main", name[:16], name+".zst")
	full := filepath.Join(filepath.Dir(s.hook), "pg_manage")
	inspect := func(want int, args ...string) string {
		t.Helper()
		out, err := s.try(full, append([]string{"hook", "--config", s.config}, args...)...)
		var exit *exec.ExitError
		if got := errors.As(err, &exit); got && exit.ExitCode() != want || !got && want != 0 {
			t.Errorf("%v: %v, want status %d: %s", args, err, want, out)
		}
		return out
	}
	inspect(0, "audit")
	was, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if out := inspect(1, "audit", "--quick"); !strings.Contains(out, `"missing":[{"from":"`+name+`","to":"`+name+`","segments":1}]`) {
		t.Errorf("the hole %s is not told: %s", name, out)
	}
	if out := inspect(0, "push-missing", "--dry-run"); !strings.Contains(out, name) {
		t.Error(out)
	}
	if _, err := os.Stat(file); err == nil {
		t.Error("a dry run has pushed")
	}
	inspect(0, "push-missing")
	inspect(0, "audit")
	now, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(unpacked(t, was), unpacked(t, now)) { // what else is being encoded decides about the frames
		t.Errorf("%s is not what it was", name)
	}
}

// recover brings up the base backup from the archive alone. While the target is away
// PostgreSQL must stop rather than open the database short of its end.
func (s *server) recover(target repo.Target, cut, back func()) {
	t := s.t
	data := s.root + "/copy"
	cmd := s.configure(s.root+"/state/copy.json", data, target)
	s.stopsOnTwo(data)
	f, err := os.OpenFile(data+"/postgresql.auto.conf", os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = fmt.Fprintf(f, "restore_command = %srestore --log --retries 0 %%f %%p%s'\n", cmd, noRetry)
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	s.write(data+"/recovery.signal", "")
	cut()
	if err := s.start(data); err == nil {
		t.Error("PostgreSQL came up while its archive was away")
	}
	if _, err := os.Stat(data + "/recovery.signal"); err != nil {
		t.Errorf("recovery was given up: %v", err)
	}
	back()
	if err := s.start(data); err != nil {
		log, _ := os.ReadFile(s.root + "/log")
		t.Fatalf("%v\n%s", err, log)
	}
	waitFor(t, func() bool { return s.sql("select pg_is_in_recovery()") == "f" })
	if n := s.sql("select count(*) from load"); n != "20000" {
		t.Errorf("%s of 20000 rows are there", n)
	}
	waitFor(t, func() bool { return s.sql("select timeline_id from pg_control_checkpoint()") == "2" })
	s.stop(data)
}

// standBy brings up a standby that has nothing but the archive. While the target is away
// it waits, and goes on by itself once the target is back.
func (s *server) standBy(target repo.Target, cut, back func()) {
	t := s.t
	data := s.root + "/standby"
	cmd := s.configure(s.root+"/state/standby.json", data, target)
	f, err := os.OpenFile(data+"/postgresql.auto.conf", os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	// At the end of the archive recovery must not take the other copy's timeline: it has none of its own.
	_, err = fmt.Fprintf(f, "restore_command = %srestore --log %%f %%p%s'\narchive_mode = off\nrecovery_target_timeline = 'current'\nwal_retrieve_retry_interval = '500ms'\n", cmd, noRetry)
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	s.write(data+"/standby.signal", "")
	cut()
	log := s.root + "/log.standby"
	s.run(s.bin+"/pg_ctl", "-D", data, "-W", "-l", log, "-o", "-k "+s.root+" -c listen_addresses= -c fsync=off", "start")
	failures := func() int {
		text, err := os.ReadFile(log)
		if err != nil {
			return 0
		}
		return strings.Count(string(text), "pg_manage-hook: ")
	}
	waitFor(t, func() bool { return failures() >= 3 })
	if _, err := s.try(s.bin+"/pg_ctl", "-D", data, "status"); err != nil {
		t.Error("the standby stopped while its archive was away")
	}
	if out, err := s.try(s.bin+"/psql", "-h", s.root, "-U", "postgres", "-d", "postgres", "-qAtXc", "select 1"); err == nil {
		t.Errorf("the standby opened before it was consistent: %s", out)
	}
	back()
	waitFor(t, func() bool {
		out, err := s.try(s.bin+"/psql", "-h", s.root, "-U", "postgres", "-d", "postgres", "-qAtXc", "select count(*) from load")
		return err == nil && out == "20000"
	})
	if in := s.sql("select pg_is_in_recovery()"); in != "t" {
		t.Error("the standby ended recovery at the end of the archive")
	}
	s.stop(data)
}

// sshd is OpenSSH's server for one user on a loopback port.
type sshd struct {
	t                             *testing.T
	port                          int
	user, hostKey, identity, conf string
	cmd                           *exec.Cmd
}

func startSSHD(t *testing.T, s *server) *sshd {
	t.Helper()
	u, err := user.LookupId(strconv.Itoa(s.uid))
	if err != nil {
		t.Fatal(err)
	}
	d := &sshd{t: t, user: u.Username, identity: s.root + "/state/ssh/id_ed25519", conf: s.root + "/sshd_config"}
	s.mkdir(s.root + "/state/ssh")
	key, err := EnsureKey(d.identity, "test")
	if err != nil {
		t.Fatal(err)
	}
	s.own(d.identity)
	if d.hostKey, err = EnsureKey(s.root+"/host", "host"); err != nil {
		t.Fatal(err)
	}
	s.write(s.root+"/authorized_keys", key+"\n")
	d.port = remotetest.FreePort(t)
	pam := "no"
	if os.Getuid() == 0 { // without PAM an account that has no password counts as locked
		pam = "yes"
	}
	s.write(d.conf, fmt.Sprintf("Port %d\nListenAddress 127.0.0.1\nHostKey %s/host\nAuthorizedKeysFile %s/authorized_keys\nStrictModes no\nUsePAM %s\nPidFile none\nPasswordAuthentication no\nSubsystem sftp internal-sftp\n", d.port, s.root, s.root, pam))
	if os.Getuid() == 0 {
		if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
			t.Fatal(err)
		}
	}
	d.start()
	t.Cleanup(d.stop)
	return d
}

func (d *sshd) start() {
	d.t.Helper()
	d.cmd = exec.Command("/usr/sbin/sshd", "-D", "-e", "-f", d.conf)
	if err := d.cmd.Start(); err != nil {
		d.t.Fatal(err)
	}
	waitFor(d.t, func() bool {
		c, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(d.port)))
		return err == nil && c.Close() == nil
	})
}

func (d *sshd) stop() {
	if d.cmd != nil {
		d.cmd.Process.Kill() //nolint:errcheck // it may have ended
		d.cmd.Wait()         //nolint:errcheck // killed
		d.cmd = nil
	}
}
