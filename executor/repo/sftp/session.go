package sftp

import (
	"context"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pkg/sftp"

	"pg_manage/executor/repo/storage"
)

const (
	// maxSessions is how many SFTP sessions a store uses. OpenSSH's MaxSessions is 10 for
	// all sessions of a connection, unless set.
	maxSessions = 4
	// grace is what an operation gets to end properly after its context has ended.
	grace = time.Second
)

// session is one SFTP session on the connection.
type session struct {
	client *sftp.Client
	wire   *wire
	users  int // guarded by the store's mu
}

// wire carries a session and remembers that it broke.
type wire struct {
	io.ReadWriteCloser
	broken atomic.Bool
	block  int    // bytes of a file that go into one request
	again  []byte // is read before what comes
	unsent int    // bytes that are not sent, since greet has
}

func (w *wire) Read(b []byte) (int, error) {
	if len(w.again) > 0 {
		n := copy(b, w.again)
		w.again = w.again[n:]
		return n, nil
	}
	n, err := w.ReadWriteCloser.Read(b)
	if err != nil {
		w.broken.Store(true)
	}
	return n, err
}

func (w *wire) Write(b []byte) (int, error) {
	if w.unsent > 0 {
		n := min(w.unsent, len(b))
		w.unsent -= n
		if n == len(b) {
			return n, nil
		}
		more, err := w.Write(b[n:])
		return n + more, err
	}
	n, err := w.ReadWriteCloser.Write(b)
	if err != nil {
		w.broken.Store(true)
	}
	return n, err
}

func newSession(rw io.ReadWriteCloser) (*session, error) {
	w := &wire{ReadWriteCloser: rw}
	if err := w.greet(); err != nil {
		return nil, err
	}
	client, err := sftp.NewClientPipe(w, w, sftp.UseConcurrentWrites(true), sftp.MaxPacketUnchecked(w.block))
	if err != nil {
		return nil, err
	}
	return &session{client: client, wire: w}, nil
}

func (s *session) lost() bool { return s.wire.broken.Load() }

// acquire gives the least used session, and lets another one be opened when all are busy.
func (s *Store) acquire() (*session, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var best *session
	alive := 0
	for _, ses := range s.sessions {
		if ses.lost() {
			continue
		}
		alive++
		if best == nil || ses.users < best.users {
			best = ses
		}
	}
	if best == nil {
		return nil, storage.ErrLost
	}
	// Not before the shell has got its session: where the server allows few, that one matters more.
	if best.users > 0 && len(s.sessions) < maxSessions && s.o.Session != nil && !s.opening && !s.full && (s.shell == nil || s.shell.settled() || s.dirs.Load()) {
		s.opening = true
		s.background.Go(s.openAnother)
	}
	best.users++
	return best, nil
}

func (s *Store) release(ses *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	ses.users--
}

// openAnother opens a further session. It ends at the latest when the connection does.
func (s *Store) openAnother() {
	var ses *session
	rw, err := s.o.Session(context.Background())
	if err == nil {
		ses, err = newSession(rw)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.opening = false
	switch {
	case err != nil:
		s.full = true // MaxSessions of the server, or the connection is gone
	case s.full: // closed meanwhile
		s.background.Go(func() { ses.client.Close() }) //nolint:errcheck // it was never used
	default:
		s.sessions = append(s.sessions, ses)
	}
}

// do runs one operation on a session. When ctx ends first, the session is given up,
// since SFTP requests can't be taken back.
func (s *Store) do(ctx context.Context, op, name string, f func(c *sftp.Client) error) error {
	if ctx.Err() != nil {
		return s.fail(ctx, nil, op, name, context.Cause(ctx))
	}
	ses, err := s.acquire()
	if err != nil {
		return s.fail(ctx, nil, op, name, err)
	}
	defer s.release(ses)
	stop := s.watch(ctx, ses)
	defer stop()
	return s.fail(ctx, ses, op, name, f(ses.client))
}

// fail says what was tried where, and why it failed.
func (s *Store) fail(ctx context.Context, ses *session, op, name string, err error) error {
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		err = context.Cause(ctx)
	case ses != nil && ses.lost():
		err = fmt.Errorf("%w: %w", storage.ErrLost, err)
	}
	return fmt.Errorf("%s: %s %s: %w", s.o.Label, op, name, err)
}

// watch sees to it that what runs on a session comes back when ctx has ended: after a
// grace it closes the session, and when a server that hangs doesn't confirm even that,
// the connection. stop ends the watch.
func (s *Store) watch(ctx context.Context, ses *session) (stop func()) {
	over := make(chan struct{})
	cancel := context.AfterFunc(ctx, func() {
		for _, end := range []func() error{ses.wire.Close, s.o.Close} {
			select {
			case <-over:
				return
			case <-time.After(grace):
			}
			if end == nil {
				continue
			}
			ses.wire.broken.Store(true)
			go end() //nolint:errcheck // given up; it may block as long as the connection does
		}
	})
	return sync.OnceFunc(func() {
		close(over)
		cancel()
	})
}

// parallel runs requests that do not depend on each other, and gives the first error of them.
func parallel(requests ...func() error) error {
	errs := make([]error, len(requests))
	var wg sync.WaitGroup
	for i, f := range requests[1:] {
		wg.Go(func() { errs[i+1] = f() })
	}
	errs[0] = requests[0]()
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
