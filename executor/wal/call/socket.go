package call

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// SocketName is the archiver's socket for a configuration file.
func SocketName(config string) string { return config + ".sock" }

// address gives a name for the socket that fits into a sockaddr, whose 108 bytes a
// long path exceeds: through the open directory.
func address(dir int, config string) *syscall.SockaddrUnix {
	return &syscall.SockaddrUnix{Name: "/proc/self/fd/" + strconv.Itoa(dir) + "/" + filepath.Base(SocketName(config))}
}

// oPath is O_PATH of open(2), which package syscall lacks.
const oPath = 0x200000

// conn is a connected stream socket whose reads and writes end after a time.
type conn struct{ fd int }

// dial connects to the archiver of a configuration. The error is ENOENT or
// ECONNREFUSED where none listens.
func dial(config string) (*conn, error) {
	// Not os.Open, whose poller ends the whole program when it gets no file descriptor.
	dir, err := syscall.Open(filepath.Dir(config), oPath|syscall.O_DIRECTORY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer syscall.Close(dir) //nolint:errcheck // it stands for a name
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	c := &conn{fd}
	err = c.timeout(silence) // one that hangs may have more callers waiting than the socket takes
	for err == nil {
		if err = syscall.Connect(fd, address(dir, config)); err == nil {
			break
		}
		if errors.Is(err, syscall.EINTR) {
			err = nil
		}
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

var errPeer = errors.New("the archiver's socket belongs to another user")

// checkPeer makes sure that this user, or root, answers: what says "durable" decides
// whether PostgreSQL keeps a segment.
func (c *conn) checkPeer() error {
	cred, err := syscall.GetsockoptUcred(c.fd, syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	if err != nil {
		return err
	}
	if cred.Uid != 0 && int(cred.Uid) != os.Geteuid() {
		return errPeer
	}
	return nil
}

// timeout bounds each later read and write.
func (c *conn) timeout(d time.Duration) error {
	tv := syscall.NsecToTimeval(d.Nanoseconds())
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
			return 0, errEOF
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
