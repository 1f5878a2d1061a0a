package remote

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
)

// leashGrace is how long Run waits for a command on a leash to end after ctx did: a
// little more than the wrapper takes to kill it.
const leashGrace = 12 * time.Second

// Run runs one command in a session of its own; see Host. When ctx ends, the command
// is sent SIGTERM and Run returns without waiting for it, save for a command on a
// leash, for whose end Run waits. A Stdin that blocks may still be read from when Run
// has returned; Stdout and Stderr are not written to any more.
func (h *sshHost) Run(ctx context.Context, cmd Command) (Result, error) {
	res, err := h.run(ctx, cmd)
	return res, explainPrivilege(ctx, h, cmd, err, &h.becameOK)
}

func (h *sshHost) run(ctx context.Context, cmd Command) (Result, error) {
	line, err := commandLine(cmd, h.LoginUser(), 4*h.target.keepalive)
	if err != nil {
		return Result{}, fmt.Errorf("%s: %w", h.Name(), err)
	}
	select {
	case h.slots <- struct{}{}:
		defer func() { <-h.slots }()
	case <-ctx.Done():
		return Result{}, h.interrupted(ctx, cmd)
	case <-h.done:
		return Result{}, &ConnectError{Host: h.Name(), Err: h.lost(nil)}
	}
	if ctx.Err() != nil {
		return Result{}, h.interrupted(ctx, cmd)
	}
	start := time.Now()
	s, err := h.open(ctx)
	if err != nil {
		return Result{}, err
	}
	r := &running{host: h, cmd: cmd, session: s, user: newFailing(), start: start, stderr: tail{next: cmd.Stderr}}
	return r.wait(ctx, line)
}

// open opens a session. It did not begin to run anything when it fails.
func (h *sshHost) open(ctx context.Context) (*ssh.Session, error) {
	type opened struct {
		s   *ssh.Session
		err error
	}
	ch := make(chan opened, 1)
	go func() {
		// sshd frees a session a moment after its end, and its MaxSessions may be small.
		end, pause := time.Now().Add(h.target.timeout), 10*time.Millisecond
		for {
			s, err := h.client.NewSession()
			var refused *ssh.OpenChannelError
			if !errors.As(err, &refused) || ctx.Err() != nil || time.Now().After(end) {
				ch <- opened{s, err}
				return
			}
			select {
			case <-time.After(pause):
			case <-ctx.Done():
			case <-h.done:
			}
			pause = min(2*pause, 200*time.Millisecond)
		}
	}()
	select {
	case o := <-ch:
		if o.err == nil {
			return o.s, nil
		}
		var refused *ssh.OpenChannelError
		if errors.As(o.err, &refused) {
			o.err = fmt.Errorf("the host refuses another session (MaxSessions in its sshd_config?): %w", o.err)
		} else {
			o.err = h.lost(o.err)
		}
		return nil, &ConnectError{Host: h.Name(), Err: o.err}
	case <-ctx.Done():
		go func() {
			if o := <-ch; o.err == nil {
				o.s.Close()
			}
		}()
		return nil, fmt.Errorf("%s: interrupted before the command began: %w", h.Name(), context.Cause(ctx))
	}
}

func (h *sshHost) interrupted(ctx context.Context, cmd Command) error {
	return interrupted(ctx, h.Name(), cmd)
}

func interrupted(ctx context.Context, host string, cmd Command) error {
	return fmt.Errorf("%s: %s: stopped waiting for it: %w", host, cmd.Shown(), context.Cause(ctx))
}

// running is one command under way.
type running struct {
	host    *sshHost
	cmd     Command
	session *ssh.Session
	user    *failing // errors of the caller's readers and writers
	start   time.Time
	stdout  bytes.Buffer
	stderr  tail
}

func (r *running) wait(ctx context.Context, line string) (Result, error) {
	stdin, err1 := r.session.StdinPipe()
	stdout, err2 := r.session.StdoutPipe()
	stderr, err3 := r.session.StderrPipe()
	if err := errors.Join(err1, err2, err3); err != nil {
		r.session.Close()
		return Result{}, fmt.Errorf("%s: %w", r.host.Name(), err)
	}
	started := make(chan error, 1)
	ended := make(chan error, 1)
	go func() {
		err := r.session.Start(line)
		started <- err
		if err == nil {
			ended <- r.session.Wait()
		}
	}()
	select {
	case err := <-started:
		if err != nil {
			r.session.Close()
			if !errors.Is(err, io.EOF) && r.host.alive() {
				return Result{}, fmt.Errorf("%s: %s: the host refuses to run commands (a subsystem-only or forced login?)", r.host.Name(), r.cmd.Shown())
			}
			return Result{}, &LostError{Host: r.host.Name(), Command: r.cmd.Shown(), Err: r.host.lost(err)}
		}
	case <-ctx.Done():
		r.stop()
		return Result{}, r.host.interrupted(ctx, r.cmd)
	}
	outGate, errGate := &gate{w: &r.stdout}, &gate{w: &r.stderr}
	if r.cmd.Stdout != nil {
		outGate.w = errWriter{r.cmd.Stdout, r.user}
	}
	if r.cmd.Stderr != nil {
		errGate.w = errWriter{&r.stderr, r.user}
	}
	defer outGate.close()
	defer errGate.close()
	var outputs sync.WaitGroup
	outputs.Add(2)
	go func() { defer outputs.Done(); io.Copy(outGate, stdout) }()
	go func() { defer outputs.Done(); io.Copy(errGate, stderr) }()
	over := make(chan struct{})
	defer close(over)
	letGo := sync.OnceFunc(func() { stdin.Close() })
	switch {
	case r.cmd.Leash:
		go heartbeat(stdin, r.host.target.keepalive, over)
	case r.cmd.Stdin == nil:
		letGo()
	default:
		go func() {
			// At an error of the reader the input must not look complete: it is not closed.
			if _, err := io.Copy(stdin, errReader{r.cmd.Stdin, r.user}); err == nil || r.user.get() == nil {
				letGo()
			}
		}()
	}
	select {
	case err := <-ended:
		outputs.Wait()
		r.session.Close()
		return r.result(err)
	case <-r.user.hit:
		r.stop()
		return r.partial(), fmt.Errorf("%s: %s: passing its data on: %w", r.host.Name(), r.cmd.Shown(), r.user.get())
	case <-ctx.Done():
		if r.cmd.Leash {
			letGo()
			grace := time.NewTimer(leashGrace)
			defer grace.Stop()
			select {
			case <-ended:
			case <-grace.C:
			}
		}
		r.stop()
		return r.partial(), r.host.interrupted(ctx, r.cmd)
	}
}

// stop asks the command to end. OpenSSH passes the signal to the session's process group.
func (r *running) stop() {
	// In a goroutine of their own: writes to a dead connection block until the keepalive closes it.
	go func() {
		if !r.cmd.Leash {
			r.session.Signal(ssh.SIGTERM)
		}
		r.session.Close()
	}()
}

func (r *running) partial() Result {
	return Result{Stderr: r.stderr.bytes(), Duration: time.Since(r.start)}
}

func (r *running) result(err error) (Result, error) {
	res := r.partial()
	res.Stdout = r.stdout.Bytes()
	var exit *ssh.ExitError
	switch {
	case r.user.get() != nil:
		return res, fmt.Errorf("%s: %s: passing its data on: %w", r.host.Name(), r.cmd.Shown(), r.user.get())
	case err == nil:
		return res, nil
	case errors.As(err, &exit):
		ce := &CommandError{
			Host: r.host.Name(), Command: r.cmd.Shown(), Status: exit.ExitStatus(),
			Signal: exit.Signal(), Stderr: string(res.Stderr), Duration: res.Duration,
		}
		if ce.Signal != "" {
			ce.Status = -1
		}
		return res, ce
	default:
		if missing := (*ssh.ExitMissingError)(nil); errors.As(err, &missing) {
			err = nil
		}
		return res, &LostError{Host: r.host.Name(), Command: r.cmd.Shown(), Err: r.host.lost(err)}
	}
}

// heartbeat keeps a leashed command alive until over is closed.
func heartbeat(w io.Writer, every time.Duration, over <-chan struct{}) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		if _, err := w.Write([]byte(".")); err != nil {
			return
		}
		select {
		case <-over:
			return
		case <-tick.C:
		}
	}
}
