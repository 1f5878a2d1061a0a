package remote_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"pg_manage/executor/remote"
	"pg_manage/executor/remote/remotetest"
)

// lockedKey writes a key with a passphrase, and gives the key.
func lockedKey(t *testing.T, file string) ed25519.PrivateKey {
	t.Helper()
	_, priv, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKeyWithPassphrase(priv, "", []byte("secret"))
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, file, string(pem.EncodeToMemory(block)))
	return priv
}

func startAgent(t *testing.T, keys ...any) string {
	t.Helper()
	ring := agent.NewKeyring()
	for _, k := range keys {
		if err := ring.Add(agent.AddedKey{PrivateKey: k}); err != nil {
			t.Fatal(err)
		}
	}
	socket := filepath.Join(t.TempDir(), "agent")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Add(1)
	go func() {
		defer wg.Done()
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Add(1)
			go func() { defer wg.Done(); agent.ServeAgent(ring, c); c.Close() }()
		}
	}()
	t.Cleanup(func() { l.Close(); wg.Wait() })
	return socket
}

func TestEncryptedKeyAndAgent(t *testing.T) {
	t.Setenv("HOME", t.TempDir())
	srv := remotetest.StartServer(t)
	o := srv.Options("n")
	o.IdentityFile = filepath.Join(t.TempDir(), "id")
	key := lockedKey(t, o.IdentityFile)
	signer, err := ssh.NewSignerFromKey(key)
	if err != nil {
		t.Fatal(err)
	}
	srv.Authorize(signer.PublicKey())
	_, err = remote.Dial(t.Context(), o)
	var ae *remote.AuthError
	if !errors.As(err, &ae) || !strings.Contains(err.Error(), "ssh-add "+o.IdentityFile) {
		t.Fatal(err)
	}
	// The named key comes first of the agent's, or the server's six attempts run out.
	var keys []any
	for range 8 {
		_, k, _ := ed25519.GenerateKey(rand.Reader)
		keys = append(keys, k)
	}
	o.AgentSocket = startAgent(t, append(keys, key)...)
	dial(t, o)
	o.AgentSocket = startAgent(t, keys...)
	if _, err = remote.Dial(t.Context(), o); !errors.As(err, &ae) || !strings.Contains(err.Error(), "agent: 8 keys") {
		t.Fatal(err)
	}
}

// sign makes a certificate for a key.
func sign(t *testing.T, ca ssh.Signer, key ssh.PublicKey, kind uint32, principal string, until time.Time) *ssh.Certificate {
	t.Helper()
	c := &ssh.Certificate{
		Key: key, CertType: kind, KeyId: "test", ValidPrincipals: []string{principal},
		ValidAfter: uint64(time.Now().Add(-2 * time.Hour).Unix()), ValidBefore: uint64(until.Unix()),
		Permissions: ssh.Permissions{Extensions: map[string]string{"permit-pty": ""}},
	}
	if err := c.SignCert(rand.Reader, ca); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestUserCertificate(t *testing.T) {
	dir := t.TempDir()
	ca := remotetest.NewKey(t, filepath.Join(dir, "ca"))
	key := remotetest.NewKey(t, filepath.Join(dir, "id"))
	s := startSSHD(t, "TrustedUserCAKeys "+filepath.Join(dir, "ca.pub"))
	o := s.options()
	o.IdentityFile = filepath.Join(dir, "id")
	var ae *remote.AuthError
	if _, err := remote.Dial(t.Context(), o); !errors.As(err, &ae) {
		t.Fatal(err)
	}
	cert := sign(t, ca, key.PublicKey(), ssh.UserCert, "root", time.Now().Add(time.Hour))
	writeFile(t, filepath.Join(dir, "id-cert.pub"), string(ssh.MarshalAuthorizedKey(cert)))
	dial(t, o)
}

func TestHostCertificate(t *testing.T) {
	ca := remotetest.NewKey(t, filepath.Join(t.TempDir(), "ca"))
	srv := remotetest.StartServer(t)
	plain := srv.HostSigner()
	show := func(principal string, until time.Time) {
		cs, err := ssh.NewCertSigner(sign(t, ca, plain.PublicKey(), ssh.HostCert, principal, until), plain)
		if err != nil {
			t.Fatal(err)
		}
		srv.SetHostKey(cs)
	}
	o := srv.Options("n")
	o.HostKeys = nil
	o.KnownHostsFiles = []string{filepath.Join(t.TempDir(), "kh")}
	writeFile(t, o.KnownHostsFiles[0], "@cert-authority * "+string(ssh.MarshalAuthorizedKey(ca.PublicKey())))
	show("127.0.0.1", time.Now().Add(time.Hour))
	dial(t, o)
	var hk *remote.HostKeyError
	show("127.0.0.1", time.Now().Add(-time.Hour))
	if _, err := remote.Dial(t.Context(), o); !errors.As(err, &hk) || !strings.Contains(err.Error(), "expired") {
		t.Fatal(err)
	}
	show("another.example", time.Now().Add(time.Hour))
	if _, err := remote.Dial(t.Context(), o); !errors.As(err, &hk) || !strings.Contains(err.Error(), "principal") {
		t.Fatal(err)
	}
}

// A host with several keys is asked for the one that is known.
func TestKnownKeyIsNegotiated(t *testing.T) {
	dir := t.TempDir()
	run(t, "ssh-keygen", "-q", "-t", "rsa", "-b", "2048", "-N", "", "-f", filepath.Join(dir, "rsa"))
	run(t, "ssh-keygen", "-q", "-t", "ecdsa", "-N", "", "-f", filepath.Join(dir, "ecdsa"))
	s := startSSHD(t, "HostKey "+filepath.Join(dir, "rsa"), "HostKey "+filepath.Join(dir, "ecdsa"))
	for _, kind := range []string{"rsa", "ecdsa"} {
		o := s.options()
		o.KnownHostsFiles = []string{filepath.Join(t.TempDir(), "kh")}
		key := publicKey(t, filepath.Join(dir, kind+".pub"))
		writeFile(t, o.KnownHostsFiles[0], "[127.0.0.1]:"+itoa(s.port)+" "+string(ssh.MarshalAuthorizedKey(key)))
		dial(t, o)
		run(t, "ssh-keygen", "-q", "-H", "-f", o.KnownHostsFiles[0]) // hashed names
		dial(t, o)
		// OpenSSH takes the line of port 22 where the port has none of its own.
		writeFile(t, o.KnownHostsFiles[0], "127.0.0.1 "+string(ssh.MarshalAuthorizedKey(key)))
		dial(t, o)
	}
}
