package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"
)

// maxSessions is how many commands run at once on one connection. OpenSSH's
// MaxSessions is 10 unless set; two are left for sessions that are just ending.
const maxSessions = 8

// sshHost is a Host behind one SSH connection.
type sshHost struct {
	target   *target
	client   *ssh.Client
	slots    chan struct{}
	owned    Host          // the jump host's connection, when it is ours alone
	done     chan struct{} // closed when the connection is gone
	loops    sync.WaitGroup
	lostErr  atomic.Pointer[error] // why the keepalive gave it up
	becameOK sync.Map              // users that sudo has let us be
}

func dialSSH(ctx context.Context, o Options, jump jumpFunc) (*sshHost, error) {
	t, err := resolve(o)
	if err != nil {
		name := o.Name
		if name == "" {
			name = o.Host
		}
		if ce := (*ConnectError)(nil); errors.As(err, &ce) {
			return nil, err
		}
		return nil, &ConnectError{Host: name, Err: err}
	}
	check, err := newHostKeyCheck(t)
	if err != nil {
		return nil, err
	}
	h := &sshHost{target: t, slots: make(chan struct{}, maxSessions), done: make(chan struct{})}
	conn, err := h.connect(ctx, o, jump)
	if err != nil {
		return nil, err
	}
	watched := &watchedConn{Conn: conn}
	if h.client, err = handshake(ctx, t, check, watched); err != nil {
		conn.Close()
		if h.owned != nil {
			h.owned.Close()
		}
		return nil, err
	}
	h.loops.Add(2)
	go func() {
		defer h.loops.Done()
		h.client.Wait()
		close(h.done)
	}()
	go func() {
		defer h.loops.Done()
		h.keepalive(watched)
	}()
	return h, nil
}

// connect opens the byte stream to the host's SSH port.
func (h *sshHost) connect(ctx context.Context, o Options, jump jumpFunc) (net.Conn, error) {
	t := h.target
	if len(t.jumps) == 0 {
		d := net.Dialer{Timeout: t.timeout, KeepAliveConfig: net.KeepAliveConfig{Enable: true}}
		conn, err := d.DialContext(ctx, "tcp", t.address())
		if err != nil {
			return nil, t.connectError(ctx, err, "connecting")
		}
		return conn, nil
	}
	last := len(t.jumps) - 1
	hop, err := parseJump(t.jumps[last])
	if err != nil {
		return nil, &ConnectError{Host: t.label, Err: err}
	}
	hop.Name = fmt.Sprintf("jump host %s", hop.Host)
	hop.ProxyJump = strings.Join(t.jumps[:last], ",")
	hop.IdentityFile, hop.ConfigFiles, hop.KnownHostsFiles = o.IdentityFile, o.ConfigFiles, o.KnownHostsFiles
	hop.AgentSocket, hop.Timeout, hop.Keepalive = o.AgentSocket, o.Timeout, o.Keepalive
	via, own, err := jump(ctx, hop)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", t.label, err)
	}
	dctx, cancel := context.WithTimeout(ctx, t.timeout)
	defer cancel()
	conn, err := via.Dial(dctx, "tcp", t.address())
	if err != nil {
		if own {
			via.Close()
		}
		return nil, t.connectError(ctx, err, "connecting")
	}
	if own {
		h.owned = via
	}
	return conn, nil
}

// handshake does the key exchange and the login. It is bounded by the timeout and ctx.
func handshake(ctx context.Context, t *target, check *hostKeyCheck, conn net.Conn) (*ssh.Client, error) {
	keys := loadKeys(t)
	defer keys.close()
	if err := conn.SetDeadline(time.Now().Add(t.timeout)); err != nil {
		return nil, &ConnectError{Host: t.label, Err: err}
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	c, chans, reqs, err := ssh.NewClientConn(conn, t.address(), &ssh.ClientConfig{
		User: t.user,
		Auth: []ssh.AuthMethod{ssh.PublicKeysCallback(func() ([]ssh.Signer, error) {
			return keys.signers, nil
		})},
		HostKeyCallback:   check.check,
		HostKeyAlgorithms: check.algorithms(),
	})
	if !stop() && err == nil {
		c.Close()
		err = ctx.Err()
	}
	if err != nil {
		return nil, t.handshakeError(ctx, err, check, keys)
	}
	if err := conn.SetDeadline(time.Time{}); err != nil {
		c.Close()
		return nil, &ConnectError{Host: t.label, Err: err}
	}
	return ssh.NewClient(c, chans, reqs), nil
}

func (t *target) handshakeError(ctx context.Context, err error, check *hostKeyCheck, keys *keyring) error {
	var timeout net.Error
	switch {
	case check.err != nil:
		return check.err
	case ctx.Err() != nil, errors.As(err, &timeout) && timeout.Timeout(), errors.Is(err, os.ErrDeadlineExceeded):
		return t.connectError(ctx, err, "waiting for the SSH server to answer")
	case check.accepted && !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed) && !isNetError(err):
		return &AuthError{Host: t.label, User: t.user, Tried: keys.tried, Skipped: append(keys.skipped, t.notes...), Err: err}
	case errors.Is(err, io.EOF):
		err = fmt.Errorf("the server closed the connection during the handshake (too many logins at once, MaxStartups? not an SSH server?): %w", err)
	}
	return t.connectError(ctx, err, "")
}

func isNetError(err error) bool {
	var op *net.OpError
	return errors.As(err, &op)
}

// connectError says which limit ended a connect, if one did.
func (t *target) connectError(ctx context.Context, err error, during string) error {
	var ne net.Error
	switch {
	case ctx.Err() != nil:
		err = fmt.Errorf("interrupted while %s: %w", during, context.Cause(ctx))
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &ne) && ne.Timeout(), errors.Is(err, os.ErrDeadlineExceeded):
		err = fmt.Errorf("timed out after %s %s: %w", t.timeout, during, err)
	}
	return &ConnectError{Host: t.label, Err: err}
}

func (h *sshHost) Name() string      { return h.target.label }
func (h *sshHost) LoginUser() string { return h.target.user }

// Close ends the connection and waits until nothing of it is left here.
func (h *sshHost) Close() error {
	h.client.Close()
	h.loops.Wait()
	if h.owned != nil {
		return h.owned.Close()
	}
	return nil
}

// alive tells whether the connection still stands as far as is known.
func (h *sshHost) alive() bool {
	select {
	case <-h.done:
		return false
	default:
		return true
	}
}

// lost is why the connection is gone.
func (h *sshHost) lost(err error) error {
	if p := h.lostErr.Load(); p != nil {
		return *p
	}
	if err == nil || errors.Is(err, io.EOF) {
		return errors.New("the connection was closed")
	}
	return err
}

// watchedConn notes when bytes last came in.
type watchedConn struct {
	net.Conn
	heard atomic.Int64 // UnixNano
}

func (c *watchedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 {
		c.heard.Store(time.Now().UnixNano())
	}
	return n, err
}

const keepaliveMisses = 3

// keepalive asks a silent host whether it is there (keepalive@openssh.com, which every
// server answers, if only to say that it does not know the request) and closes the
// connection when it does not answer, so that what runs on it comes back.
func (h *sshHost) keepalive(conn *watchedConn) {
	every := h.target.keepalive
	tick := time.NewTicker(every)
	defer tick.Stop()
	conn.heard.Store(time.Now().UnixNano())
	answered := make(chan struct{}, 1)
	asking := false
	for misses := 0; ; {
		select {
		case <-h.done:
			return
		case <-answered:
			asking, misses = false, 0
			continue
		case <-tick.C:
		}
		if time.Since(time.Unix(0, conn.heard.Load())) < every {
			misses = 0
			continue
		}
		if misses++; misses >= keepaliveMisses {
			silence := time.Since(time.Unix(0, conn.heard.Load()))
			err := fmt.Errorf("nothing was heard of the host for %s", silence.Round(100*time.Millisecond))
			h.lostErr.CompareAndSwap(nil, &err)
			conn.Close()
			return
		}
		if asking {
			continue
		}
		asking = true
		h.loops.Add(1)
		go func() {
			defer h.loops.Done()
			if _, _, err := h.client.SendRequest("keepalive@openssh.com", true, nil); err == nil {
				answered <- struct{}{}
			}
		}()
	}
}
