package archiver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"pg_manage/executor/wal"
	"pg_manage/executor/wal/call"
)

// requestTime is how long a caller may take to say what it wants.
const requestTime = 10 * time.Second

// beat is the time between two signs of life to a caller that waits.
const beat = time.Second

// server answers the calls that come through the socket.
type server struct {
	config *wal.Config
	engine wal.Engine
	record *record
	fresh  func() bool // the configuration and the program are still those it started with
	log    *slog.Logger

	mu     sync.Mutex
	calls  int
	last   time.Time // when the last call ended
	ending bool
	all    sync.WaitGroup
	ctx    context.Context
}

// serve accepts calls until the listener is closed.
func (s *server) serve(l *net.UnixListener) {
	for {
		c, err := l.AcceptUnix()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // out of file descriptors: the callers do the work alone meanwhile
			s.log.Error("accepting a call", "error", err)
			time.Sleep(100 * time.Millisecond)
			continue
		}
		s.all.Go(func() {
			defer c.Close() //nolint:errcheck // a socket
			s.answer(c)
		})
	}
}

// answer deals with one call. Whatever is wrong with the call itself ends it without
// an answer, and the caller does the work alone.
func (s *server) answer(c *net.UnixConn) {
	if err := checkPeer(c); err != nil {
		s.log.Error("a call was refused", "error", err)
		return
	}
	if c.SetReadDeadline(time.Now().Add(requestTime)) != nil {
		return
	}
	kind, payload, err := call.ReadFrame(c)
	if err != nil || kind != call.FrameRequest {
		return
	}
	q, err := call.DecodeRequest(payload)
	if err != nil {
		return
	}
	out := &answer{w: c}
	if len(q.Args) == 1 && q.Args[0] == "status" {
		text, err := s.record.text()
		if err == nil && out.send(call.FrameOut, text) == nil {
			out.send(call.FrameExit, []byte{0}) //nolint:errcheck // the caller went away
		}
		return
	}
	if q.Version != call.Version || q.Config != s.config.File() || !s.begin() {
		out.send(call.FrameGone, nil) //nolint:errcheck // the caller sees as much from the end
		return
	}
	defer s.end()
	if c.SetReadDeadline(time.Time{}) != nil {
		return
	}
	status := s.do(c, out, q)
	if status != wal.ExitOK && s.over() {
		out.send(call.FrameGone, nil) //nolint:errcheck // it may be for our end alone that this failed: somebody else does it
		return
	}
	if out.send(call.FrameExit, []byte{byte(status)}) != nil { // then the file is offered or asked for again
		forsake(q)
	}
}

// forsake removes a restored file whose caller went away before it could name it.
func forsake(q call.Request) {
	dest := q.Args[len(q.Args)-1]
	if q.Args[0] != "restore" || !strings.HasPrefix(filepath.Base(dest), call.TempPrefix) {
		return
	}
	if !filepath.IsAbs(dest) {
		dest = filepath.Join(q.Dir, dest)
	}
	os.Remove(dest) //nolint:errcheck // it may never have come; PostgreSQL removes it when it starts
}

// begin counts a call in, unless the archiver is not the right one any more.
func (s *server) begin() bool {
	fresh := s.fresh()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !fresh || s.ending {
		s.ending = true
		return false
	}
	s.calls++
	return true
}

// over says whether no new calls are taken.
func (s *server) over() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ending
}

// stop takes no new calls.
func (s *server) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ending = true
}

func (s *server) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls--
	s.last = time.Now()
}

// idle is how long nothing has been asked for; 0 while a call is under way. ended says
// that the archiver is to end whatever it does.
func (s *server) idle() (quiet time.Duration, ended bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.calls > 0 {
		return 0, s.ending
	}
	return time.Since(s.last), s.ending
}

func (s *server) do(c *net.UnixConn, out *answer, q call.Request) int {
	ctx, cancel := context.WithCancelCause(s.ctx)
	defer cancel(nil)
	go func() { // the caller sends nothing more: what comes is its end
		io.Copy(io.Discard, c) //nolint:errcheck // either way
		cancel(errors.New("the caller went away"))
	}()
	stop := make(chan struct{})
	defer close(stop)
	go func() {
		t := time.NewTicker(beat)
		defer t.Stop()
		for {
			select {
			case <-stop:
				return
			case <-t.C:
				out.send(call.FrameWorking, nil) //nolint:errcheck // its end is seen above
			}
		}
	}()
	return s.config.Serve(ctx, wal.Call{
		Args: q.Args, Dir: q.Dir, Stdout: &stream{out, call.FrameOut}, Stderr: &stream{out, call.FrameSay},
	}, s.engine)
}

// answer sends frames, one at a time.
type answer struct {
	mu sync.Mutex
	w  *net.UnixConn
}

func (a *answer) send(kind byte, payload []byte) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := a.w.SetWriteDeadline(time.Now().Add(requestTime)); err != nil {
		return err
	}
	return call.WriteFrame(a.w, kind, payload)
}

// stream sends text in frames.
type stream struct {
	a    *answer
	kind byte
}

func (s *stream) Write(b []byte) (int, error) { return len(b), s.a.send(s.kind, b) }

// checkPeer lets only the instance's own user, and root, have files archived.
func checkPeer(c *net.UnixConn) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var cred *syscall.Ucred
	if cerr := raw.Control(func(fd uintptr) {
		cred, err = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	}); cerr != nil {
		return cerr
	}
	if err != nil {
		return err
	}
	if cred.Uid != 0 && int(cred.Uid) != os.Geteuid() {
		return fmt.Errorf("it came from a process of user %d", cred.Uid)
	}
	return nil
}
