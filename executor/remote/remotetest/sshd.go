package remotetest

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

// NewKey makes a key, and writes it to a file and its public half to one beside it, .pub.
func NewKey(t testing.TB, file string) ssh.Signer {
	t.Helper()
	_, priv, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(priv, "")
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(priv)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string][]byte{file: pem.EncodeToMemory(block), file + ".pub": ssh.MarshalAuthorizedKey(signer.PublicKey())} {
		if err := os.WriteFile(name, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return signer
}

// SSHD is OpenSSH's server on a free loopback port, where root logs in with a key of its own.
type SSHD struct {
	Port     int
	HostKey  string // as a line of known_hosts has it, without the host
	Identity string // the file of the key that may log in
	End      func() // kills it with all its sessions; the test's end does too
}

// StartSSHD runs OpenSSH's server, with more lines for its configuration.
func StartSSHD(t testing.TB, settings ...string) *SSHD {
	t.Helper()
	if os.Getuid() != 0 {
		t.Fatal("sshd lets root log in only when root has started it: run this test as root")
	}
	if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("/root", ".sshd-test-") // StrictModes: no world-writable parent
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) }) //nolint:errcheck // a temporary directory
	s := &SSHD{Port: FreePort(t), Identity: filepath.Join(dir, "id")}
	host := NewKey(t, filepath.Join(dir, "host"))
	s.HostKey = strings.TrimSpace(string(ssh.MarshalAuthorizedKey(host.PublicKey())))
	NewKey(t, s.Identity)
	conf := fmt.Sprintf("Port %d\nListenAddress 127.0.0.1\nHostKey %s/host\nAuthorizedKeysFile %s/id.pub\nPidFile %s/pid\nUsePAM no\n"+
		"PermitRootLogin yes\nSubsystem sftp internal-sftp\n%s\n", s.Port, dir, dir, dir, strings.Join(settings, "\n"))
	if err := os.WriteFile(filepath.Join(dir, "config"), []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/usr/sbin/sshd", "-D", "-e", "-f", filepath.Join(dir, "config"))
	var said bytes.Buffer
	cmd.Stderr = &said
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatalf("sshd (Debian: openssh-server) is needed: %v", err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	s.End = sync.OnceFunc(func() {
		// The sessions are in groups of their own, so their names are found by their parent.
		children, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", cmd.Process.Pid, cmd.Process.Pid))
		for pid := range strings.FieldsSeq(string(children)) {
			var n int
			if _, err := fmt.Sscan(pid, &n); err == nil {
				syscall.Kill(n, syscall.SIGKILL) //nolint:errcheck // it may have ended
			}
		}
		cmd.Process.Kill() //nolint:errcheck // it may have ended
		<-done
	})
	t.Cleanup(s.End)
	for limit := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", s.Port))
		if err == nil {
			c.Close() //nolint:errcheck // it was tried only
			break
		}
		if time.Now().After(limit) {
			t.Fatalf("sshd does not listen: %v: %s", err, said.String())
		}
	}
	return s
}
