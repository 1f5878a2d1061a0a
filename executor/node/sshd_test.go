package node_test

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pg_manage/executor/basebackup/pgtest"
	"pg_manage/executor/repo"
)

// sshd runs OpenSSH's server on a free loopback port, and gives a target behind it.
func sshd(t *testing.T, pg *pgtest.Server, target repo.Target) repo.Target {
	t.Helper()
	if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("/root", ".sshd-test-") // StrictModes: no world-writable parent
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) }) //nolint:errcheck // a temporary directory
	identity := filepath.Join(pg.Root, "id")
	for _, file := range []string{filepath.Join(dir, "host"), identity} {
		if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", file).CombinedOutput(); err != nil {
			t.Fatalf("ssh-keygen (Debian: openssh-client): %v: %s", err, out)
		}
	}
	pg.Own(identity)
	read := func(name string) string {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(text))
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	conf := fmt.Sprintf("Port %d\nListenAddress 127.0.0.1\nHostKey %s/host\nAuthorizedKeysFile %s/allowed\nPidFile none\nUsePAM no\n"+
		"PermitRootLogin yes\nMaxStartups 100\nSubsystem sftp internal-sftp\n", port, dir, dir)
	for name, text := range map[string]string{"config": conf, "allowed": read(identity + ".pub")} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("/usr/sbin/sshd", "-D", "-e", "-f", filepath.Join(dir, "config"))
	var said bytes.Buffer
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		t.Fatalf("sshd (Debian: openssh-server) is needed: %v", err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill() //nolint:errcheck // it may have ended
		cmd.Wait()         //nolint:errcheck // killed
	})
	addr := net.JoinHostPort("127.0.0.1", fmt.Sprint(port))
	for end := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		if conn, err := net.Dial("tcp", addr); err == nil {
			conn.Close() //nolint:errcheck // it was tried only
			break
		}
		if time.Now().After(end) {
			t.Fatalf("sshd does not listen: %s", said.String())
		}
	}
	target.Scheme, target.User, target.Host, target.Port, target.IdentityFile = "ssh", "root", "127.0.0.1", port, identity
	target.HostKeys = []string{read(filepath.Join(dir, "host.pub"))}
	return target
}
