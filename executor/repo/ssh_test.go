package repo

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"pg_manage/executor/remote/remotetest"
	"pg_manage/executor/repo/repotest"
	"pg_manage/executor/repo/storage"
)

func newKey(t testing.TB, file string) string {
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
	public := string(ssh.MarshalAuthorizedKey(signer.PublicKey()))
	for name, text := range map[string]string{file: string(pem.EncodeToMemory(block)), file + ".pub": public} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return strings.TrimSpace(public)
}

// startSSHD runs OpenSSH's server on a free loopback port; end kills it with all its sessions.
func startSSHD(t testing.TB, root string, settings ...string) (target Target, end func()) {
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
	host := newKey(t, filepath.Join(dir, "host"))
	newKey(t, filepath.Join(dir, "id"))
	port := remotetest.FreePort(t)
	conf := fmt.Sprintf("Port %d\nListenAddress 127.0.0.1\nHostKey %s/host\nAuthorizedKeysFile %s/id.pub\nPidFile %s/pid\nUsePAM no\n"+
		"PermitRootLogin yes\nSubsystem sftp internal-sftp\n%s\n", port, dir, dir, dir, strings.Join(settings, "\n"))
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
	ended := false
	end = func() {
		if !ended {
			ended = true
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
		}
	}
	t.Cleanup(end)
	for limit := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			c.Close() //nolint:errcheck // it was tried only
			break
		}
		if time.Now().After(limit) {
			t.Fatalf("sshd does not listen: %v: %s", err, said.String())
		}
	}
	return Target{
		Name: "nas", Scheme: "ssh", User: "root", Host: "127.0.0.1", Port: port, Path: root,
		HostKeys: []string{host}, IdentityFile: filepath.Join(dir, "id"),
	}, end
}

func TestConformanceThroughSSHD(t *testing.T) {
	for name, settings := range map[string][]string{
		"Shell":      nil,
		"SFTPOnly":   {"ForceCommand internal-sftp"},
		"NoCommands": {"ForceCommand /bin/false"},
		"TwoSessions": {
			"MaxSessions 2",
		},
	} {
		t.Run(name, func(t *testing.T) {
			if name == "NoCommands" {
				t.Setenv("HOME", t.TempDir())
			}
			target, _ := startSSHD(t, t.TempDir(), settings...)
			if name == "NoCommands" {
				if d, err := Open(t.Context(), target); err == nil {
					t.Errorf("a login without SFTP was taken: %v", d.Close())
				}
				return
			}
			repotest.Run(t, func(t *testing.T) storage.Driver {
				d, err := Open(t.Context(), target)
				if err != nil {
					t.Fatal(err)
				}
				return d
			})
		})
	}
}

func TestLostConnectionIsSaidSo(t *testing.T) {
	target, end := startSSHD(t, t.TempDir())
	d, err := Open(t.Context(), target)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close() //nolint:errcheck // it is lost
	if err := d.Put(t.Context(), "a/b", bytes.NewBufferString("x")); err != nil {
		t.Fatal(err)
	}
	end()
	for range 3 {
		if err := d.Put(t.Context(), "a/c", bytes.NewBufferString("x")); !errors.Is(err, storage.ErrLost) {
			t.Errorf("got %v", err)
		}
	}
}
