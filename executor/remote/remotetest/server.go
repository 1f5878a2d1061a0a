// Package remotetest helps tests that reach hosts: an SSH server in this process that
// really runs commands, and a scripted host that fails on what it does not expect.
package remotetest

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"pg_manage/executor/remote"
)

// Server is an SSH server on a loopback port. It runs commands with /bin/sh as the
// user of the test, forwards unix sockets and ports, and serves sftp.
type Server struct {
	Addr      string // host:port
	ClientKey string // file of a private key that may log in; ClientKey+".pub" is its public half

	user     string
	env      []string
	runAs    *syscall.Credential
	maxSess  int
	exec     func(line string, stdin io.Reader, stdout io.Writer) (status int)
	dir      string
	listener net.Listener
	wg       sync.WaitGroup

	handshakes atomic.Int64
	sessions   atomic.Int64
	running    atomic.Int64
	peak       atomic.Int64

	mu      sync.Mutex
	hostKey ssh.Signer
	keys    [][]byte // public keys that may log in
	conns   map[net.Conn]bool
	groups  map[int]bool  // process groups of running commands
	thaw    chan struct{} // not nil while hung; closed at the end of it
	closed  bool
}

// Option sets up a Server.
type Option func(*Server)

// WithUser makes the server let in that user only; otherwise any name is good.
func WithUser(name string) Option { return func(s *Server) { s.user = name } }

// WithEnv adds to the environment of the commands, "KEY=value".
func WithEnv(env ...string) Option { return func(s *Server) { s.env = append(s.env, env...) } }

// WithRunAs runs the commands as another operating system user; the test must be root.
func WithRunAs(uid, gid uint32) Option {
	return func(s *Server) { s.runAs = &syscall.Credential{Uid: uid, Gid: gid} }
}

// WithMaxSessions limits sessions per connection; 10, as OpenSSH, is the default.
func WithMaxSessions(n int) Option { return func(s *Server) { s.maxSess = n } }

// WithExec makes the server answer commands by a function, and run none.
func WithExec(exec func(line string, stdin io.Reader, stdout io.Writer) (status int)) Option {
	return func(s *Server) { s.exec = exec }
}

// StartServer starts a server that ends with the test.
func StartServer(t testing.TB, opts ...Option) *Server {
	t.Helper()
	s := &Server{dir: t.TempDir(), maxSess: 10, conns: map[net.Conn]bool{}, groups: map[int]bool{}}
	for _, o := range opts {
		o(s)
	}
	s.hostKey = newSigner(t)
	s.ClientKey = s.NewClientKey(t)
	var err error
	if s.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	s.Addr = s.listener.Addr().String()
	s.wg.Add(1)
	go s.accept()
	t.Cleanup(s.close)
	return s
}

// NewClientKey makes another key that may log in, and gives its file.
func (s *Server) NewClientKey(t testing.TB) string {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	file := filepath.Join(s.dir, "id"+strings.Repeat("x", len(s.keys)))
	s.keys = append(s.keys, NewKey(t, file).PublicKey().Marshal())
	return file
}

// Authorize lets another public key log in.
func (s *Server) Authorize(key ssh.PublicKey) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys = append(s.keys, key.Marshal())
}

// Options are those that reach the server, and nothing of the operator's own SSH setup.
func (s *Server) Options(name string) remote.Options {
	addr := s.listener.Addr().(*net.TCPAddr)
	return remote.Options{
		Name: name, Host: addr.IP.String(), Port: addr.Port, User: s.LoginUser(), IdentityFile: s.ClientKey,
		HostKeys: []string{s.HostKey()}, ConfigFiles: []string{}, KnownHostsFiles: []string{}, AgentSocket: "none",
	}
}

// LoginUser is a user that may log in.
func (s *Server) LoginUser() string {
	if s.user != "" {
		return s.user
	}
	return "tester"
}

// HostKey is the server's public key, as in authorized_keys.
func (s *Server) HostKey() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(s.hostKey.PublicKey())))
}

// HostSigner is the server's own key, for certificates.
func (s *Server) HostSigner() ssh.Signer {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.hostKey
}

// SetHostKey makes the server show another key, or a certificate, from now on.
func (s *Server) SetHostKey(key ssh.Signer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hostKey = key
}

// ChangeHostKey gives the server a new key, as a host that was set up anew has.
func (s *Server) ChangeHostKey(t testing.TB) { s.SetHostKey(newSigner(t)) }

// KnownHostsLine is the server's line for known_hosts.
func (s *Server) KnownHostsLine() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return knownhosts.Line([]string{knownhosts.Normalize(s.Addr)}, s.hostKey.PublicKey())
}

// KnownHosts is a known_hosts file with the server's line.
func (s *Server) KnownHosts(t testing.TB) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "known_hosts")
	if err := os.WriteFile(file, []byte(s.KnownHostsLine()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// Handshakes is how many logins there were.
func (s *Server) Handshakes() int { return int(s.handshakes.Load()) }

// Sessions is how many commands and subsystems were begun.
func (s *Server) Sessions() int { return int(s.sessions.Load()) }

// PeakSessions is how many of them ran at once at most, over all connections.
func (s *Server) PeakSessions() int { return int(s.peak.Load()) }

// Hang makes the server silent, with connections open: neither old nor new ones get
// an answer, as when a host is frozen or a cable is cut. False lets it go on.
func (s *Server) Hang(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case on && s.thaw == nil:
		s.thaw = make(chan struct{})
	case !on && s.thaw != nil:
		close(s.thaw)
		s.thaw = nil
	}
}

// DropConnections breaks all connections. Commands that run go on, as under sshd, save
// that their input ends.
func (s *Server) DropConnections() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		c.Close()
	}
}

func newSigner(t testing.TB) ssh.Signer {
	t.Helper()
	_, priv, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(priv)
	if err != nil {
		t.Fatal(err)
	}
	return signer
}

func (s *Server) accept() {
	defer s.wg.Done()
	for {
		conn, err := s.listener.Accept()
		if err != nil {
			return
		}
		g := &gate{Conn: conn, server: s, gone: make(chan struct{})}
		s.mu.Lock()
		if s.closed {
			conn.Close()
		}
		s.conns[g] = true
		s.mu.Unlock()
		s.wg.Add(1)
		go func() {
			defer s.wg.Done()
			s.serve(g)
			g.Close()
			s.mu.Lock()
			delete(s.conns, g)
			s.mu.Unlock()
		}()
	}
}

func (s *Server) serve(conn net.Conn) {
	config := &ssh.ServerConfig{
		MaxAuthTries: 6,
		PublicKeyCallback: func(c ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
			s.mu.Lock()
			defer s.mu.Unlock()
			if s.user != "" && c.User() != s.user {
				return nil, errors.New("no such user")
			}
			if cert, ok := key.(*ssh.Certificate); ok {
				key = cert.SignatureKey
			}
			for _, k := range s.keys {
				if bytes.Equal(k, key.Marshal()) {
					return nil, nil
				}
			}
			return nil, errors.New("unknown key")
		},
	}
	config.AuthLogCallback = func(_ ssh.ConnMetadata, method string, err error) {
		if method == "publickey" && err == nil {
			s.handshakes.Add(1) // before the client hears of it
		}
	}
	config.AddHostKey(s.HostSigner())
	sc, chans, reqs, err := ssh.NewServerConn(conn, config)
	if err != nil {
		return
	}
	go ssh.DiscardRequests(reqs)
	var here sync.WaitGroup
	var open atomic.Int64
	for nc := range chans {
		here.Add(1)
		go func() {
			defer here.Done()
			s.channel(nc, &open)
		}()
	}
	sc.Close()
	here.Wait()
}

// close ends the server and everything it started.
func (s *Server) close() {
	s.Hang(false)
	s.listener.Close()
	s.mu.Lock()
	s.closed = true
	for c := range s.conns {
		c.Close()
	}
	s.mu.Unlock()
	done := make(chan struct{})
	go func() { s.wg.Wait(); close(done) }()
	for round := 0; ; round++ {
		sig := syscall.SIGTERM // gives wrappers the chance to end what they watch
		if round > 100 {
			sig = syscall.SIGKILL
		}
		s.mu.Lock()
		for g := range s.groups {
			syscall.Kill(-g, sig)
		}
		s.mu.Unlock()
		select {
		case <-done:
			return
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// gate is a connection that can be made to hang.
type gate struct {
	net.Conn
	server *Server
	once   sync.Once
	gone   chan struct{}
}

func (g *gate) pass() {
	g.server.mu.Lock()
	thaw := g.server.thaw
	g.server.mu.Unlock()
	if thaw != nil {
		select {
		case <-thaw:
		case <-g.gone:
		}
	}
}

func (g *gate) Read(p []byte) (int, error) {
	n, err := g.Conn.Read(p)
	g.pass()
	return n, err
}

func (g *gate) Write(p []byte) (int, error) {
	g.pass()
	return g.Conn.Write(p)
}

func (g *gate) Close() error {
	g.once.Do(func() { close(g.gone) })
	return g.Conn.Close()
}
