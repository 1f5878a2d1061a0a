package remote

import (
	"context"
	"errors"
	"fmt"
	"io"

	"golang.org/x/crypto/ssh"
)

// Subsystem opens a session that speaks a subsystem's protocol, such as "sftp", in
// place of running a command. Closing what it gives ends the session.
func Subsystem(ctx context.Context, h Host, name string) (io.ReadWriteCloser, error) {
	o, ok := h.(interface {
		subsystem(ctx context.Context, name string) (io.ReadWriteCloser, error)
	})
	if !ok {
		return nil, fmt.Errorf("%s: only hosts behind SSH have subsystems", h.Name())
	}
	return o.subsystem(ctx, name)
}

func (h *sshHost) subsystem(ctx context.Context, name string) (io.ReadWriteCloser, error) {
	s, err := h.open(ctx)
	if err != nil {
		return nil, err
	}
	fail := func(err error) (io.ReadWriteCloser, error) {
		s.Close()
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return nil, &ConnectError{Host: h.Name(), Err: fmt.Errorf("starting the subsystem %s: %w", name, err)}
	}
	in, err := s.StdinPipe()
	if err != nil {
		return fail(err)
	}
	out, err := s.StdoutPipe()
	if err != nil {
		return fail(err)
	}
	stop := context.AfterFunc(ctx, func() { s.Close() })
	defer stop()
	if err := s.RequestSubsystem(name); err != nil {
		return fail(err)
	}
	return &subsystem{Reader: out, WriteCloser: in, session: s}, nil
}

type subsystem struct {
	io.Reader
	io.WriteCloser
	session *ssh.Session
}

func (s *subsystem) Close() error {
	err := errors.Join(s.WriteCloser.Close(), s.session.Close())
	if errors.Is(err, io.EOF) { // the other side was faster
		return nil
	}
	return err
}
