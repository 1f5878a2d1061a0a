package sftp

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pkg/sftp"

	"pg_manage/executor/repo/dirsync"
	"pg_manage/executor/repo/storage"
)

// Modes of what is made; the server's umask may take more away.
const (
	fileMode = 0o640
	dirMode  = 0o750
)

// Options say how a store reaches its files.
type Options struct {
	Label string // how messages call the target
	Root  string // absolute, or relative to the login directory
	// Session opens a further SFTP session on the same connection. When several operations
	// are under way the store opens up to three: each has a process of its own on the
	// server, and a window of its own, which bounds what a long line can hold. nil: one session for all.
	Session func(ctx context.Context) (io.ReadWriteCloser, error)
	// Run runs a command on the server until it ends, and gives ErrNoShell when the login
	// cannot run it or it ended with a status other than 0. With it directories are fsynced
	// that the server does not open. nil: the login runs no commands.
	Run func(ctx context.Context, args []string, stdin io.Reader, stdout io.Writer) error
	// Close ends the connection below.
	Close func() error
}

// ErrNoShell is what Options.Run gives when the login runs no commands.
var ErrNoShell = errors.New("the login runs no commands")

// Store is a directory on an SFTP server that holds a backup target.
type Store struct {
	o     Options
	block int           // bytes of a file that go into one request
	shell *shell        // nil: the login runs no commands
	syncs dirsync.Group // of the shell
	dirs  atomic.Bool   // the server has fsynced a directory that was opened as a file is

	background sync.WaitGroup // what an operation left to be done after it
	step       func(name string) error

	mu       sync.Mutex
	sessions []*session
	opening  bool            // a further session is being opened
	full     bool            // the server gives no more
	seenFull time.Time       // when the file system there was full
	durable  map[string]bool // directories whose own names, and those above, are durable
}

var _ storage.Driver = (*Store)(nil)

// New gives the store that an SFTP session reaches. rw carries the session, such as
// an SSH channel with the subsystem "sftp"; ending ctx while New runs breaks it off.
func New(ctx context.Context, rw io.ReadWriteCloser, o Options) (*Store, error) {
	s := &Store{o: o, step: func(string) error { return nil }, durable: make(map[string]bool)}
	stop := context.AfterFunc(ctx, func() {
		if o.Close != nil {
			o.Close() //nolint:errcheck // the session is given up
		}
		rw.Close() //nolint:errcheck // the session is given up
	})
	defer stop()
	first, err := newSession(rw)
	if err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return nil, fmt.Errorf("%s: starting SFTP: %w", o.Label, err)
	}
	for _, ext := range []string{"fsync@openssh.com", "hardlink@openssh.com"} {
		if _, ok := first.client.HasExtension(ext); !ok {
			return nil, errors.Join(
				fmt.Errorf("%s: its SFTP server has no %s, without which files cannot be stored durably and without overwriting: use OpenSSH's server there", o.Label, ext),
				first.client.Close())
		}
	}
	s.sessions, s.block = []*session{first}, first.wire.block
	if o.Run != nil {
		s.shell = newShell(o.Run)
	}
	return s, nil
}

func (s *Store) String() string { return s.o.Label }

// Close ends the sessions and the connection.
func (s *Store) Close() error {
	if s.shell != nil {
		s.shell.close()
	}
	s.mu.Lock()
	s.full = true
	sessions := s.sessions
	s.mu.Unlock()
	var errs []error
	for _, ses := range sessions {
		if err := ses.client.Close(); err != nil && !ses.lost() {
			errs = append(errs, err)
		}
	}
	if s.o.Close != nil {
		errs = append(errs, s.o.Close())
	}
	s.background.Wait()
	return errors.Join(errs...)
}

func (s *Store) path(name string) string { return path.Join(s.o.Root, name) }

// absent turns "no such file" into ErrNotExist once it is sure: OpenSSH's server says
// the same when a directory of the path is none.
func (s *Store) absent(c *sftp.Client, name string, err error) error {
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for dir := path.Dir(s.path(name)); ; dir = path.Dir(dir) {
		st, err := c.Stat(dir)
		switch {
		case err == nil && !st.IsDir():
			return fmt.Errorf("%s is not a directory", dir)
		case err == nil, errors.Is(err, fs.ErrNotExist) && (dir == "." || dir == "/"):
			return storage.ErrNotExist
		case !errors.Is(err, fs.ErrNotExist):
			return err
		}
	}
}

// Stat describes a file; see storage.Driver.
func (s *Store) Stat(ctx context.Context, name string) (storage.Info, error) {
	if err := storage.CheckName(name); err != nil {
		return storage.Info{}, err
	}
	var i storage.Info
	err := s.do(ctx, "looking at", name, func(c *sftp.Client) error {
		st, err := c.Stat(s.path(name))
		if err != nil {
			return s.absent(c, name, err)
		}
		i = info(st)
		return nil
	})
	return i, err
}

func info(st fs.FileInfo) storage.Info {
	return storage.Info{Name: st.Name(), Size: st.Size(), ModTime: st.ModTime(), Dir: st.IsDir()}
}

// List lists a directory; see storage.Driver.
func (s *Store) List(ctx context.Context, dir string) ([]storage.Info, error) {
	all, err := s.list(ctx, dir)
	return slices.DeleteFunc(all, func(i storage.Info) bool { return storage.IsTemp(i.Name) }), err
}

func (s *Store) list(ctx context.Context, dir string) ([]storage.Info, error) {
	if err := storage.CheckDir(dir); err != nil {
		return nil, err
	}
	var all []storage.Info
	err := s.do(ctx, "listing", dir, func(c *sftp.Client) error {
		entries, err := c.ReadDirContext(ctx, s.path(dir))
		if err != nil {
			return s.absent(c, strings.TrimPrefix(dir+"/x", "/"), err)
		}
		for _, e := range entries {
			all = append(all, info(e))
		}
		return nil
	})
	slices.SortFunc(all, func(a, b storage.Info) int { return cmp.Compare(a.Name, b.Name) })
	return all, err
}

// Remove takes a file away; see storage.Driver.
func (s *Store) Remove(ctx context.Context, name string) error {
	if err := storage.CheckName(name); err != nil {
		return err
	}
	return s.do(ctx, "removing", name, func(c *sftp.Client) error {
		s.forget(s.path(name))
		if err := c.Remove(s.path(name)); err != nil {
			return s.absent(c, name, err)
		}
		return s.syncDir(ctx, c, path.Dir(s.path(name)), nil)
	})
}

// forget lets a directory that goes be made durable again when it comes again.
func (s *Store) forget(dir string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.durable, dir)
}

// Sync makes a file durable; see storage.Driver.
func (s *Store) Sync(ctx context.Context, name string) error {
	if err := storage.CheckName(name); err != nil {
		return err
	}
	return s.do(ctx, "syncing", name, func(c *sftp.Client) error {
		f, err := c.Open(s.path(name))
		if err != nil {
			return s.absent(c, name, err)
		}
		return parallel(
			func() error { return errors.Join(f.Sync(), f.Close()) },
			func() error { return s.syncAbove(ctx, c, path.Dir(s.path(name)), nil, true) },
		)
	})
}

// Sweep removes leftovers; see storage.Driver.
func (s *Store) Sweep(ctx context.Context, dir string, age time.Duration) error {
	all, err := s.list(ctx, dir)
	if err != nil {
		return err
	}
	return s.do(ctx, "sweeping", dir, func(c *sftp.Client) error {
		for _, i := range all {
			if storage.IsTemp(i.Name) && !i.Dir && time.Since(i.ModTime) > age {
				if err := c.Remove(path.Join(s.path(dir), i.Name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
					return err
				}
			}
		}
		return nil
	})
}
