package remote_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"pg_manage/executor/remote"
	"pg_manage/executor/remote/remotetest"
)

// sshd is OpenSSH's server on a free loopback port, with keys and configuration of its own.
type sshd struct {
	port       int
	dir        string
	clientKey  string
	knownHosts string
	cmd        *exec.Cmd
}

func writeFile(t testing.TB, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// startSSHD needs root, as sshd does for root's login. HOME is set so that no
// ~/.bashrc of this machine takes part in the measurements.
func startSSHD(t testing.TB, extra ...string) *sshd {
	t.Helper()
	if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("/root", ".sshd-test-") // StrictModes: no world-writable parent
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	s := &sshd{dir: dir, clientKey: filepath.Join(dir, "id"), knownHosts: filepath.Join(dir, "known_hosts")}
	hostKey := remotetest.NewKey(t, filepath.Join(dir, "host"))
	remotetest.NewKey(t, s.clientKey)
	s.port = remotetest.FreePort(t)
	conf := fmt.Sprintf(`Port %d
ListenAddress 127.0.0.1
HostKey %s
AuthorizedKeysFile %s
PidFile none
UsePAM no
SetEnv HOME=%s
PermitRootLogin prohibit-password
MaxStartups 100
%s
`, s.port, filepath.Join(dir, "host"), s.clientKey+".pub", dir, strings.Join(extra, "\n"))
	writeFile(t, filepath.Join(dir, "config"), conf)
	writeFile(t, s.knownHosts, fmt.Sprintf("[127.0.0.1]:%d %s", s.port, ssh.MarshalAuthorizedKey(hostKey.PublicKey())))
	s.cmd = exec.Command("/usr/sbin/sshd", "-D", "-e", "-f", filepath.Join(dir, "config"))
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	s.cmd.Stderr = log
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.cmd.Process.Kill()
		s.cmd.Wait()
		log.Close()
	})
	eventually(t, "sshd listens", func() bool {
		c, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)))
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	return s
}

func (s *sshd) options() remote.Options {
	return remote.Options{
		Name: "node1", Host: "127.0.0.1", Port: s.port, User: "root", IdentityFile: s.clientKey,
		KnownHostsFiles: []string{s.knownHosts}, ConfigFiles: []string{}, AgentSocket: "none",
	}
}

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("not within a minute: %s", what)
}

func dial(t testing.TB, o remote.Options) remote.Host {
	t.Helper()
	h, err := remote.Dial(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	return h
}

func publicKey(t testing.TB, file string) ssh.PublicKey {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	key, _, _, _, err := ssh.ParseAuthorizedKey(text)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func itoa(n int) string { return strconv.Itoa(n) }

func run(t testing.TB, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", name, err, out)
	}
}
