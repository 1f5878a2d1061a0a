// Package posix keeps a backup target in a directory of this machine: a local disk,
// or a share that is mounted here.
//
// A file is written under a temporary name beside its own, fsynced, and published
// by a rename that cannot overwrite: renameat2(2) with RENAME_NOREPLACE, or where
// the file system has none of it (NFS) link(2). Then the directory is fsynced, and
// so is the parent of every directory that had to be made.
package posix

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"pg_manage/executor/repo/storage"
)

// Modes of what is made; the umask may take more away.
const (
	fileMode = 0o640
	dirMode  = 0o750
)

// Store is a directory that holds a backup target.
type Store struct {
	label, root string
	// step is called before each step of Put, in tests alone: what it returns ends Put there.
	step func(name string) error
}

var _ storage.Driver = (*Store)(nil)

// New gives the store in the directory root, an absolute path; label is how messages
// call it. scheme is "file", or "nfs" or "cifs": then root must lie on such a mount,
// since a directory whose share isn't mounted would swallow files silently.
func New(label, scheme, root string) (*Store, error) {
	if !filepath.IsAbs(root) {
		return nil, fmt.Errorf("%s: %q is not an absolute path", label, root)
	}
	s := &Store{label: label, root: filepath.Clean(root), step: func(string) error { return nil }}
	if scheme == "file" {
		return s, nil
	}
	if err := checkMount(s.root, scheme); err != nil {
		return nil, fmt.Errorf("%s: %w", label, err)
	}
	return s, nil
}

func (s *Store) String() string { return s.label }

// Close does nothing: a directory needs no connection.
func (s *Store) Close() error { return nil }

func (s *Store) path(name string) string { return filepath.Join(s.root, filepath.FromSlash(name)) }

// fail says what was tried where.
func (s *Store) fail(op, name string, err error) error {
	return fmt.Errorf("%s: %s %s: %w", s.label, op, name, err)
}

// Put stores a file; see storage.Driver.
func (s *Store) Put(ctx context.Context, name string, r io.Reader) (err error) {
	if err := storage.CheckName(name); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = s.fail("storing", name, err)
		}
	}()
	final := s.path(name)
	dir := filepath.Dir(final)
	if err := s.step("mkdir"); err != nil {
		return err
	}
	if err := makeDirs(dir); err != nil {
		return err
	}
	temp := filepath.Join(dir, storage.TempName(filepath.Base(final), rand.Text()))
	if err := s.step("create"); err != nil {
		return err
	}
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, fileMode)
	if err != nil {
		return err
	}
	defer func() { // after a rename there is none left
		if rerr := os.Remove(temp); rerr != nil && !errors.Is(rerr, fs.ErrNotExist) && err == nil {
			err = rerr
		}
	}()
	if err := s.write(ctx, f, r); err != nil {
		return errors.Join(err, f.Close())
	}
	if err := f.Close(); err != nil { // NFS tells of a full disk here
		return err
	}
	if err := s.step("publish"); err != nil {
		return err
	}
	if err := publish(temp, final); err != nil {
		return err
	}
	if err := s.step("syncdir"); err != nil {
		return err
	}
	return syncDir(dir)
}

func (s *Store) write(ctx context.Context, f *os.File, r io.Reader) error {
	if err := s.step("write"); err != nil {
		return err
	}
	if _, err := io.Copy(f, storage.ContextReader(ctx, r)); err != nil {
		return err
	}
	if err := s.step("fsync"); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	return context.Cause(ctx)
}

// publish gives a file its name without ever taking another file's place.
func publish(temp, final string) error {
	err := unix.Renameat2(unix.AT_FDCWD, temp, unix.AT_FDCWD, final, unix.RENAME_NOREPLACE)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.EEXIST):
		return storage.ErrExists
	case errors.Is(err, syscall.EINVAL), errors.Is(err, syscall.ENOSYS), errors.Is(err, syscall.EOPNOTSUPP):
		return publishLink(temp, final)
	}
	return &os.LinkError{Op: "rename", Old: temp, New: final, Err: err}
}

func publishLink(temp, final string) error {
	err := os.Link(temp, final)
	if !errors.Is(err, fs.ErrExist) {
		return err
	}
	// NFS may repeat a request whose answer was lost, and then meets its own link.
	a, err1 := os.Lstat(temp)
	b, err2 := os.Lstat(final)
	if err1 == nil && err2 == nil && os.SameFile(a, b) {
		return nil
	}
	return storage.ErrExists
}

// makeDirs makes a directory and those above it, and fsyncs the parent of each one made.
func makeDirs(dir string) error {
	err := os.Mkdir(dir, dirMode)
	switch {
	case err == nil:
		return syncDir(filepath.Dir(dir))
	case errors.Is(err, fs.ErrExist):
		if st, err := os.Stat(dir); err != nil || !st.IsDir() {
			return errors.Join(fmt.Errorf("%s is not a directory", dir), err)
		}
		return nil
	case errors.Is(err, fs.ErrNotExist) && filepath.Dir(dir) != dir:
		if err := makeDirs(filepath.Dir(dir)); err != nil {
			return err
		}
		return makeDirs(dir)
	}
	return err
}

// syncDir makes the names in a directory durable. Some network file systems refuse to
// fsync a directory, since they do such changes at once; PostgreSQL passes over the same errors.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = d.Sync()
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.EBADF) {
		err = nil
	}
	return errors.Join(err, d.Close())
}

// Open reads a file; see storage.Driver.
func (s *Store) Open(ctx context.Context, name string) (io.ReadCloser, error) {
	f, err := s.open(name)
	if err != nil {
		return nil, s.fail("reading", name, err)
	}
	return struct {
		io.Reader
		io.Closer
	}{storage.ContextReader(ctx, f), f}, nil
}

func (s *Store) open(name string) (*os.File, error) {
	if err := storage.CheckName(name); err != nil {
		return nil, err
	}
	f, err := os.Open(s.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		if err = s.confirmAbsent(name); err == nil {
			f, err = os.Open(s.path(name))
		}
	}
	if err != nil {
		return nil, err
	}
	st, err := f.Stat()
	if err == nil && !st.Mode().IsRegular() {
		err = errors.New("it is not a regular file")
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// confirmAbsent gives ErrNotExist when a name is surely not there, and nil when it
// turns up. An NFS client may remember for up to a minute that a name wasn't there;
// reading the directory makes it ask the server.
func (s *Store) confirmAbsent(name string) error {
	entries, err := os.ReadDir(filepath.Dir(s.path(name)))
	if errors.Is(err, fs.ErrNotExist) {
		return storage.ErrNotExist
	}
	if err != nil {
		return err
	}
	base := filepath.Base(s.path(name))
	if slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return e.Name() == base }) {
		return nil
	}
	return storage.ErrNotExist
}

// Stat describes a file; see storage.Driver.
func (s *Store) Stat(_ context.Context, name string) (storage.Info, error) {
	if err := storage.CheckName(name); err != nil {
		return storage.Info{}, err
	}
	st, err := os.Stat(s.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		if err = s.confirmAbsent(name); err == nil {
			st, err = os.Stat(s.path(name))
		}
	}
	if err != nil {
		return storage.Info{}, s.fail("looking at", name, err)
	}
	return info(st), nil
}

func info(st fs.FileInfo) storage.Info {
	return storage.Info{Name: st.Name(), Size: st.Size(), ModTime: st.ModTime(), Dir: st.IsDir()}
}

// List lists a directory; see storage.Driver.
func (s *Store) List(ctx context.Context, dir string) ([]storage.Info, error) {
	all, err := s.list(ctx, dir)
	if err != nil {
		return nil, s.fail("listing", dir, err)
	}
	return slices.DeleteFunc(all, func(i storage.Info) bool { return storage.IsTemp(i.Name) }), nil
}

func (s *Store) list(ctx context.Context, dir string) ([]storage.Info, error) {
	if err := storage.CheckDir(dir); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(s.path(dir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, storage.ErrNotExist
	}
	if err != nil {
		return nil, err
	}
	var all []storage.Info
	for _, e := range entries {
		if err := ctx.Err(); err != nil {
			return nil, context.Cause(ctx)
		}
		st, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue // removed meanwhile
		}
		if err != nil {
			return nil, err
		}
		all = append(all, info(st))
	}
	slices.SortFunc(all, func(a, b storage.Info) int { return cmp.Compare(a.Name, b.Name) })
	return all, nil
}

// Remove takes a file away; see storage.Driver.
func (s *Store) Remove(_ context.Context, name string) error {
	if err := storage.CheckName(name); err != nil {
		return err
	}
	err := os.Remove(s.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		err = storage.ErrNotExist
	}
	if err == nil {
		err = syncDir(filepath.Dir(s.path(name)))
	}
	if err != nil {
		return s.fail("removing", name, err)
	}
	return nil
}

// Sync makes a file durable; see storage.Driver.
func (s *Store) Sync(_ context.Context, name string) error {
	f, err := s.open(name)
	if err != nil {
		return s.fail("syncing", name, err)
	}
	err = errors.Join(f.Sync(), f.Close())
	for dir := filepath.Dir(s.path(name)); err == nil; dir = filepath.Dir(dir) {
		err = syncDir(dir)
		if dir == s.root {
			break
		}
	}
	if err != nil {
		return s.fail("syncing", name, err)
	}
	return nil
}

// Sweep removes leftovers; see storage.Driver.
func (s *Store) Sweep(ctx context.Context, dir string, age time.Duration) error {
	all, err := s.list(ctx, dir)
	if err != nil {
		return s.fail("listing", dir, err)
	}
	for _, i := range all {
		if storage.IsTemp(i.Name) && !i.Dir && time.Since(i.ModTime) > age {
			if err := os.Remove(filepath.Join(s.path(dir), i.Name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return s.fail("sweeping", dir, err)
			}
		}
	}
	return nil
}
