package remote

import (
	"context"
	"fmt"
	"io"
	"net"
	"time"
)

// Dial connects to a socket on the host through the SSH connection. The sshd there
// opens it as the login user: unix sockets through direct-streamlocal@openssh.com,
// ports through direct-tcpip (AllowStreamLocalForwarding and AllowTcpForwarding).
func (h *sshHost) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	if network != "unix" && network != "tcp" {
		return nil, fmt.Errorf("%s: cannot dial network %q: unix or tcp", h.Name(), network)
	}
	type opened struct {
		conn net.Conn
		err  error
	}
	ch := make(chan opened, 1)
	go func() {
		c, err := h.client.Dial(network, address)
		ch <- opened{c, err}
	}()
	select {
	case o := <-ch:
		if o.err != nil {
			if !h.alive() {
				return nil, &ConnectError{Host: h.Name(), Err: h.lost(o.err)}
			}
			return nil, fmt.Errorf("%s: cannot connect to %s there: %w", h.Name(), address, o.err)
		}
		return withDeadlines(o.conn), nil
	case <-ctx.Done():
		go func() {
			if o := <-ch; o.err == nil {
				o.conn.Close()
			}
		}()
		return nil, fmt.Errorf("%s: connecting to %s there: %w", h.Name(), address, context.Cause(ctx))
	}
}

// pipedConn gives deadlines, which channels of x/crypto/ssh lack and pgx needs to
// cancel a query, to a connection.
type pipedConn struct {
	net.Conn // our end of a net.Pipe
	far      net.Conn
}

func withDeadlines(far net.Conn) net.Conn {
	near, mid := net.Pipe()
	go func() {
		io.Copy(far, mid)
		// All that was written is sent before the end is.
		if half, ok := far.(interface{ CloseWrite() error }); ok {
			half.CloseWrite()
		}
		far.Close()
	}()
	go func() {
		io.Copy(mid, far)
		mid.Close()
		far.Close()
	}()
	return &pipedConn{Conn: near, far: far}
}

func (c *pipedConn) LocalAddr() net.Addr  { return c.far.LocalAddr() }
func (c *pipedConn) RemoteAddr() net.Addr { return c.far.RemoteAddr() }

var _ net.Conn = (*pipedConn)(nil)

// dialTimeout bounds a dial on this machine, where an answer comes at once or never.
const dialTimeout = 10 * time.Second
