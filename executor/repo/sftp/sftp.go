package sftp

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/pkg/sftp"

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
	// SyncDir fsyncs a directory on the server by other means than SFTP, where the login
	// can; nil when it can't. ErrNoShell means that it never can.
	SyncDir func(ctx context.Context, dir string) error
	// Close ends the connection below.
	Close func() error
}

// ErrNoShell is what Options.SyncDir gives when the login runs no commands.
var ErrNoShell = errors.New("the login runs no commands")

// Store is a directory on an SFTP server that holds a backup target.
type Store struct {
	o      Options
	client *sftp.Client

	mu      sync.Mutex
	noShell bool
}

var _ storage.Driver = (*Store)(nil)

// New gives the store that an SFTP session reaches. rw carries the session, such as
// an SSH channel with the subsystem "sftp"; ending ctx while New runs breaks it off.
func New(ctx context.Context, rw io.ReadWriteCloser, o Options) (*Store, error) {
	stop := context.AfterFunc(ctx, func() {
		if o.Close != nil {
			o.Close() //nolint:errcheck // the session is given up
		}
		rw.Close() //nolint:errcheck // the session is given up
	})
	defer stop()
	client, err := sftp.NewClientPipe(rw, rw, sftp.UseConcurrentWrites(true))
	if err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return nil, fmt.Errorf("%s: starting SFTP: %w", o.Label, err)
	}
	for _, ext := range []string{"fsync@openssh.com", "hardlink@openssh.com"} {
		if _, ok := client.HasExtension(ext); !ok {
			return nil, errors.Join(
				fmt.Errorf("%s: its SFTP server has no %s, without which files cannot be stored durably and without overwriting: use OpenSSH's server there", o.Label, ext),
				client.Close())
		}
	}
	return &Store{o: o, client: client}, nil
}

func (s *Store) String() string { return s.o.Label }

// Close ends the session and the connection.
func (s *Store) Close() error {
	err := s.client.Close()
	if s.o.Close != nil {
		err = errors.Join(err, s.o.Close())
	}
	return err
}

// abandon ends the connection first: ending the session waits for the server's last
// word, which never comes from a server that hangs.
func (s *Store) abandon() {
	if s.o.Close != nil {
		s.o.Close() //nolint:errcheck // the session is given up
	}
	s.client.Close() //nolint:errcheck // the session is given up
}

func (s *Store) path(name string) string { return path.Join(s.o.Root, name) }

// do runs one operation; when ctx ends first, the session is given up, since SFTP
// requests can't be taken back.
func (s *Store) do(ctx context.Context, op, name string, f func() error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("%s: %s %s: %w", s.o.Label, op, name, context.Cause(ctx))
	}
	stop := context.AfterFunc(ctx, s.abandon)
	err := f()
	if !stop() && err != nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		return fmt.Errorf("%s: %s %s: %w", s.o.Label, op, name, err)
	}
	return nil
}

// Put stores a file; see storage.Driver.
func (s *Store) Put(ctx context.Context, name string, r io.Reader) error {
	if err := storage.CheckName(name); err != nil {
		return err
	}
	return s.do(ctx, "storing", name, func() error { return s.put(ctx, name, r) })
}

func (s *Store) put(ctx context.Context, name string, r io.Reader) (err error) {
	final := s.path(name)
	dir := path.Dir(final)
	temp := path.Join(dir, storage.TempName(path.Base(final), rand.Text()))
	const flags = os.O_WRONLY | os.O_CREATE | os.O_EXCL
	f, err := s.client.OpenFile(temp, flags)
	if errors.Is(err, fs.ErrNotExist) {
		if err := s.makeDirs(dir); err != nil {
			return err
		}
		f, err = s.client.OpenFile(temp, flags)
	}
	if err != nil {
		return fmt.Errorf("making a file: %w", err)
	}
	defer func() {
		if rerr := s.client.Remove(temp); rerr != nil && err == nil {
			err = fmt.Errorf("removing the temporary name: %w", rerr)
		}
	}()
	if err := s.write(ctx, f, r); err != nil {
		return errors.Join(err, f.Close())
	}
	if err := s.client.Link(temp, final); err != nil {
		// The server says "failure" whatever the reason: look.
		if _, serr := s.client.Lstat(final); serr == nil {
			err = storage.ErrExists
		} else {
			err = fmt.Errorf("linking: %w (the file system there must know hard links)", err)
		}
		return errors.Join(err, f.Close())
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("fsync after linking: %w", err)
	}
	return s.syncDir(ctx, dir)
}

func (s *Store) write(ctx context.Context, f *sftp.File, r io.Reader) error {
	if err := f.Chmod(fileMode); err != nil {
		return fmt.Errorf("chmod: %w", err)
	}
	n, err := f.ReadFrom(storage.ContextReader(ctx, r))
	if err != nil {
		return fmt.Errorf("writing: %w", err)
	}
	st, err := f.Stat()
	if err != nil {
		return fmt.Errorf("writing: %w", err)
	}
	if st.Size() != n {
		return fmt.Errorf("writing: %d bytes were sent and %d are there", n, st.Size())
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("fsync: %w", err)
	}
	return nil
}

func (s *Store) syncDir(ctx context.Context, dir string) error {
	s.mu.Lock()
	skip := s.noShell || s.o.SyncDir == nil
	s.mu.Unlock()
	if skip {
		return nil
	}
	err := s.o.SyncDir(ctx, dir)
	if errors.Is(err, ErrNoShell) {
		s.mu.Lock()
		s.noShell = true
		s.mu.Unlock()
		return nil
	}
	return err
}

func (s *Store) makeDirs(dir string) error {
	st, err := s.client.Stat(dir)
	if err == nil {
		if !st.IsDir() {
			return fmt.Errorf("%s is not a directory", dir)
		}
		return nil
	}
	if !errors.Is(err, fs.ErrNotExist) || path.Dir(dir) == dir {
		return fmt.Errorf("%s: %w", dir, err)
	}
	if err := s.makeDirs(path.Dir(dir)); err != nil {
		return err
	}
	if err := s.client.Mkdir(dir); err != nil {
		if st, serr := s.client.Stat(dir); serr == nil && st.IsDir() { // another writer was faster
			return nil
		}
		return fmt.Errorf("making the directory %s: %w", dir, err)
	}
	if err := s.client.Chmod(dir, dirMode); err != nil {
		return fmt.Errorf("chmod %s: %w", dir, err)
	}
	return nil
}

// absent turns "no such file" into ErrNotExist once it is sure: OpenSSH's server says
// the same when a directory of the path is none.
func (s *Store) absent(name string, err error) error {
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for dir := path.Dir(s.path(name)); ; dir = path.Dir(dir) {
		st, err := s.client.Stat(dir)
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

// Open reads a file; see storage.Driver.
func (s *Store) Open(ctx context.Context, name string) (io.ReadCloser, error) {
	if err := storage.CheckName(name); err != nil {
		return nil, err
	}
	var f *sftp.File
	err := s.do(ctx, "reading", name, func() (err error) {
		if f, err = s.client.Open(s.path(name)); err != nil {
			return s.absent(name, err)
		}
		st, err := f.Stat()
		if err == nil && !st.Mode().IsRegular() {
			err = errors.New("it is not a regular file")
		}
		if err != nil {
			return errors.Join(err, f.Close())
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return s.reader(ctx, name, f), nil
}

// reader reads ahead: WriteTo keeps many requests under way, Read just one.
func (s *Store) reader(ctx context.Context, name string, f *sftp.File) io.ReadCloser {
	pr, pw := io.Pipe()
	stop := context.AfterFunc(ctx, s.abandon)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, err := f.WriteTo(pw)
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		if err != nil {
			err = fmt.Errorf("%s: reading %s: %w", s.o.Label, name, err)
		}
		pw.CloseWithError(err)
	}()
	return &reader{PipeReader: pr, close: func() error {
		err := pr.Close()
		<-done
		stop()
		return errors.Join(err, f.Close())
	}}
}

type reader struct {
	*io.PipeReader
	close func() error
}

func (r *reader) Close() error { return r.close() }

// Stat describes a file; see storage.Driver.
func (s *Store) Stat(ctx context.Context, name string) (storage.Info, error) {
	if err := storage.CheckName(name); err != nil {
		return storage.Info{}, err
	}
	var i storage.Info
	err := s.do(ctx, "looking at", name, func() error {
		st, err := s.client.Stat(s.path(name))
		if err != nil {
			return s.absent(name, err)
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
	err := s.do(ctx, "listing", dir, func() error {
		entries, err := s.client.ReadDirContext(ctx, s.path(dir))
		if err != nil {
			return s.absent(strings.TrimPrefix(dir+"/x", "/"), err)
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
	return s.do(ctx, "removing", name, func() error {
		if err := s.client.Remove(s.path(name)); err != nil {
			return s.absent(name, err)
		}
		return s.syncDir(ctx, path.Dir(s.path(name)))
	})
}

// Sync makes a file durable; see storage.Driver.
func (s *Store) Sync(ctx context.Context, name string) error {
	if err := storage.CheckName(name); err != nil {
		return err
	}
	return s.do(ctx, "syncing", name, func() error {
		f, err := s.client.Open(s.path(name))
		if err != nil {
			return s.absent(name, err)
		}
		if err := errors.Join(f.Sync(), f.Close()); err != nil {
			return err
		}
		return s.syncDir(ctx, path.Dir(s.path(name)))
	})
}

// Sweep removes leftovers; see storage.Driver.
func (s *Store) Sweep(ctx context.Context, dir string, age time.Duration) error {
	all, err := s.list(ctx, dir)
	if err != nil {
		return err
	}
	return s.do(ctx, "sweeping", dir, func() error {
		for _, i := range all {
			if storage.IsTemp(i.Name) && !i.Dir && time.Since(i.ModTime) > age {
				if err := s.client.Remove(path.Join(s.path(dir), i.Name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
					return err
				}
			}
		}
		return nil
	})
}
