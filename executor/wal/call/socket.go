package call

import (
	"errors"
	"io"
	"path"
	"strconv"
	"strings"
	"syscall"
)

// silence is how long the archiver may say nothing before it is taken for hung, in
// seconds: it says something every second.
const silence = 15

// Errors of a call to an archiver.
var (
	// ErrHung is an archiver that said nothing for as long as a caller waits.
	ErrHung = errors.New("the archiver hangs")
	// ErrNoAnswer is one that ended, or sent the caller on, before it had given an answer.
	ErrNoAnswer = errors.New("the archiver gave no answer")

	errPeer = errors.New("the archiver's socket belongs to another user")
)

// SocketName is the archiver's socket for a configuration file.
func SocketName(config string) string { return config + ".sock" }

// address gives a name for the socket that fits into a sockaddr, whose 108 bytes a
// long path exceeds: through the open directory.
func address(dir int, config string) *syscall.SockaddrUnix {
	return &syscall.SockaddrUnix{Name: "/proc/self/fd/" + strconv.Itoa(dir) + "/" + path.Base(SocketName(config))}
}

// oPath is O_PATH of open(2), which package syscall lacks.
const oPath = 0x200000

// conn is a connected stream socket whose reads and writes end after a time.
type conn struct{ fd int }

// dial connects to the archiver of a configuration. The error is ENOENT or
// ECONNREFUSED where none listens, and ErrHung where one does not come to it.
func dial(config string) (*conn, error) {
	dir, err := syscall.Open(path.Dir(config), oPath|syscall.O_DIRECTORY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer syscall.Close(dir) //nolint:errcheck // it stands for a name
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	c := &conn{fd}
	err = c.timeout(syscall.Timeval{Sec: silence}) // one that hangs may have more callers waiting than the socket takes
	for err == nil {
		if err = syscall.Connect(fd, address(dir, config)); err == nil {
			break
		}
		if errors.Is(err, syscall.EINTR) {
			err = nil
		}
	}
	if errors.Is(err, syscall.EAGAIN) {
		err = ErrHung
	}
	if err == nil {
		err = c.checkPeer()
	}
	if err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

// checkPeer makes sure that this user, or root, answers: what says "durable" decides
// whether PostgreSQL keeps a segment.
func (c *conn) checkPeer() error {
	cred, err := syscall.GetsockoptUcred(c.fd, syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	if err != nil {
		return err
	}
	if cred.Uid != 0 && int(cred.Uid) != syscall.Geteuid() {
		return errPeer
	}
	return nil
}

// timeout bounds each later read and write.
func (c *conn) timeout(tv syscall.Timeval) error {
	return errors.Join(
		syscall.SetsockoptTimeval(c.fd, syscall.SOL_SOCKET, syscall.SO_RCVTIMEO, &tv),
		syscall.SetsockoptTimeval(c.fd, syscall.SOL_SOCKET, syscall.SO_SNDTIMEO, &tv))
}

func (c *conn) Read(b []byte) (int, error) {
	for {
		n, err := syscall.Read(c.fd, b)
		switch {
		case errors.Is(err, syscall.EINTR):
			continue
		case err != nil:
			return 0, err
		case n == 0 && len(b) > 0:
			return 0, io.EOF
		}
		return n, nil
	}
}

func (c *conn) Write(b []byte) (int, error) {
	done := 0
	for done < len(b) {
		n, err := syscall.SendmsgN(c.fd, b[done:], nil, nil, syscall.MSG_NOSIGNAL)
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		if err != nil {
			return done, err
		}
		done += n
	}
	return done, nil
}

func (c *conn) close() { syscall.Close(c.fd) } //nolint:errcheck // a socket

// exchange sends the request and passes on the answer. The error is ErrHung or
// ErrNoAnswer.
func (c *conn) exchange(q Request, stdout, stderr io.Writer) (status int, err error) {
	if err := WriteFrame(c, FrameRequest, q.Encode()); err != nil {
		return 0, noAnswer(err)
	}
	for {
		kind, payload, err := ReadFrame(c)
		if err != nil {
			return 0, noAnswer(err)
		}
		switch kind {
		case FrameWorking:
		case FrameOut:
			stdout.Write(payload) //nolint:errcheck // as good as it gets
		case FrameSay:
			stderr.Write(payload) //nolint:errcheck // as good as it gets
		case FrameExit:
			if len(payload) != 1 {
				return 0, ErrNoAnswer
			}
			return int(payload[0]), nil
		default:
			return 0, ErrNoAnswer
		}
	}
}

func noAnswer(err error) error {
	if errors.Is(err, syscall.EAGAIN) {
		return ErrHung
	}
	return ErrNoAnswer
}

// Query asks an archiver that runs, and starts none. Not ok: there is none that answers.
func Query(config string, args ...string) (out []byte, ok bool) {
	config, _, err := absolute(config)
	if err != nil {
		return nil, false
	}
	c, err := dial(config)
	if err != nil {
		return nil, false
	}
	defer c.close()
	var b strings.Builder
	status, err := c.exchange(Request{Version: Version, Dir: "/", Config: config, Args: args}, &b, io.Discard)
	return []byte(b.String()), err == nil && status == 0
}

// absolute gives the absolute path of a file, and the working directory.
func absolute(name string) (file, dir string, err error) {
	if dir, err = syscall.Getwd(); err != nil {
		return "", "", err
	}
	if path.IsAbs(name) {
		return path.Clean(name), dir, nil
	}
	return path.Join(dir, name), dir, nil
}
