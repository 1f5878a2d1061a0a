package remote

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// localHost is this machine. Commands go through the same shell words as on a remote host.
type localHost struct {
	name      string
	user      string
	keepalive time.Duration
	becameOK  sync.Map

	mu      sync.Mutex
	closed  bool
	cancels map[*context.CancelCauseFunc]bool
}

var errClosed = errors.New("the host was closed")

// NewLocal is this machine as a Host.
func NewLocal(name string) Host {
	if name == "" {
		name = "localhost"
	}
	return &localHost{
		name: name + " (local)", user: currentAccount().name, keepalive: DefaultKeepalive,
		cancels: map[*context.CancelCauseFunc]bool{},
	}
}

func (h *localHost) Name() string      { return h.name }
func (h *localHost) LoginUser() string { return h.user }

// Close ends the commands that still run.
func (h *localHost) Close() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	for c := range h.cancels {
		(*c)(errClosed)
	}
	return nil
}

func (h *localHost) alive() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return !h.closed
}

func (h *localHost) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	if network != "unix" && network != "tcp" {
		return nil, fmt.Errorf("%s: cannot dial network %q: unix or tcp", h.name, network)
	}
	d := net.Dialer{Timeout: dialTimeout}
	conn, err := d.DialContext(ctx, network, address)
	if err != nil {
		return nil, fmt.Errorf("%s: cannot connect to %s: %w", h.name, address, err)
	}
	return conn, nil
}

// Run runs one command; see Host. When ctx ends, the command's process group is sent
// SIGTERM, and SIGKILL ten seconds later; Run returns when it is gone.
func (h *localHost) Run(ctx context.Context, cmd Command) (Result, error) {
	res, err := h.run(ctx, cmd)
	return res, explainPrivilege(ctx, h, cmd, err, &h.becameOK)
}

func (h *localHost) run(ctx context.Context, cmd Command) (Result, error) {
	line, err := commandLine(cmd, h.user, 4*h.keepalive)
	if err != nil {
		return Result{}, fmt.Errorf("%s: %w", h.name, err)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	h.mu.Lock()
	if h.closed {
		h.mu.Unlock()
		return Result{}, &ConnectError{Host: h.name, Err: errClosed}
	}
	h.cancels[&cancel] = true
	h.mu.Unlock()
	defer func() {
		h.mu.Lock()
		delete(h.cancels, &cancel)
		h.mu.Unlock()
	}()

	user := newFailing()
	var stdout bytes.Buffer
	stderr := tail{next: cmd.Stderr}
	c := exec.CommandContext(ctx, "/bin/sh", "-c", line)
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	c.WaitDelay = leashGrace
	c.Stdout = &stdout
	if cmd.Stdout != nil {
		c.Stdout = errWriter{cmd.Stdout, user}
	}
	c.Stderr = errWriter{&stderr, user}
	c.Cancel = func() error { return syscall.Kill(-c.Process.Pid, syscall.SIGTERM) }
	if cmd.Leash {
		r, w, err := os.Pipe()
		if err != nil {
			return Result{}, fmt.Errorf("%s: %w", h.name, err)
		}
		c.Stdin = r
		defer r.Close()
		c.Cancel = w.Close
		over := make(chan struct{})
		defer close(over)
		defer w.Close()
		go heartbeat(w, h.keepalive, over)
	}
	if cmd.Stdin != nil {
		w, err := c.StdinPipe()
		if err != nil {
			return Result{}, fmt.Errorf("%s: %w", h.name, err)
		}
		go func() {
			// At an error of the reader the input must not look complete: it is not closed.
			if _, err := io.Copy(w, errReader{cmd.Stdin, user}); err == nil || user.get() == nil {
				w.Close()
			}
		}()
		go func() {
			select {
			case <-user.hit:
				cancel(user.get())
			case <-ctx.Done():
			}
		}()
	}
	start := time.Now()
	err = c.Run()
	res := Result{Stdout: stdout.Bytes(), Stderr: stderr.bytes(), Duration: time.Since(start)}
	if ctx.Err() != nil && c.Process != nil {
		syscall.Kill(-c.Process.Pid, syscall.SIGKILL) // what ignored SIGTERM; no error is of interest
	}
	return res, h.explain(ctx, cmd, res, user.get(), c, err)
}

func (h *localHost) explain(ctx context.Context, cmd Command, res Result, userErr error, c *exec.Cmd, err error) error {
	var exit *exec.ExitError
	switch {
	case userErr != nil:
		return fmt.Errorf("%s: %s: passing its data on: %w", h.name, cmd.Shown(), userErr)
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return interrupted(ctx, h.name, cmd)
	case errors.As(err, &exit):
		ce := &CommandError{
			Host: h.name, Command: cmd.Shown(), Status: exit.ExitCode(),
			Stderr: string(res.Stderr), Duration: res.Duration,
		}
		if ws, ok := c.ProcessState.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
			ce.Signal = strings.TrimPrefix(unix.SignalName(ws.Signal()), "SIG")
		}
		return ce
	default:
		return fmt.Errorf("%s: %s: %w", h.name, cmd.Shown(), err)
	}
}
