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
	"sync"
	"time"

	"pg_manage/executor/repo/dirsync"
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
	// mounted gives an error when root does not lie on a file system that it should lie on.
	mounted func() error
	fstab   string // for tests
	syncs   dirsync.Group

	mu      sync.Mutex
	durable map[string]bool // directories whose own names, and those above, are durable

	// step is called before each step of Put, in tests alone: what it returns ends Put there.
	step func(name string) error
}

var _ storage.Driver = (*Store)(nil)

// New gives the store in the directory root, an absolute path; label is how messages
// call it. scheme is "file", or "nfs" or "cifs": then root must lie on such a mount, now
// and whenever something is written or said not to be there, since a directory whose
// share isn't mounted would swallow files silently and seem empty. With "file" that holds where
// /etc/fstab has a file system for it.
func New(label, scheme, root string) (*Store, error) {
	if !filepath.IsAbs(root) {
		return nil, fmt.Errorf("%s: %q is not an absolute path", label, root)
	}
	s := &Store{
		label: label, root: filepath.Clean(root),
		fstab:   "/etc/fstab",
		step:    func(string) error { return nil },
		durable: make(map[string]bool),
	}
	s.mounted = func() error { return checkMount(s.root, scheme) }
	if scheme == "file" {
		s.mounted = func() error { return checkFstab(s.root, s.fstab) }
	}
	if err := s.mounted(); err != nil {
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
	temp := filepath.Join(dir, storage.TempName(filepath.Base(final), rand.Text()))
	f, err := s.create(dir, temp)
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
	// The share may have gone before the file was made, which then lies below the mount point.
	if err := s.mounted(); err != nil {
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
	return s.syncAbove(ctx, dir, false)
}

// create makes the temporary file and what directories it needs.
func (s *Store) create(dir, temp string) (*os.File, error) {
	if err := s.mounted(); err != nil {
		return nil, err
	}
	if err := s.step("mkdir"); err != nil {
		return nil, err
	}
	if err := makeDirs(dir); err != nil {
		return nil, err
	}
	if err := s.step("create"); err != nil {
		return nil, err
	}
	return os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, fileMode)
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

// OpenRange reads a part of a file; see storage.Driver.
func (s *Store) OpenRange(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	err := storage.CheckRange(offset, length)
	if err == nil {
		err = context.Cause(ctx)
	}
	var f *os.File
	if err == nil {
		f, err = s.open(name)
	}
	if err != nil {
		return nil, s.fail("reading", name, err)
	}
	r := &part{left: length, fail: func(err error) error { return s.fail("reading", name, err) }}
	r.Reader, r.Closer = storage.ContextReader(ctx, io.NewSectionReader(f, offset, length)), f
	return r, nil
}

// part is length bytes of a file; an end before that is none of the part.
type part struct {
	io.Reader
	io.Closer
	left int64
	fail func(error) error
}

func (p *part) Read(b []byte) (int, error) {
	n, err := p.Reader.Read(b)
	p.left -= int64(n)
	switch {
	case err == nil, err == io.EOF && p.left == 0:
		return n, err
	case err == io.EOF:
		err = fmt.Errorf("it ends %d bytes before the end of what is read: %w", p.left, io.ErrUnexpectedEOF)
	}
	return n, p.fail(err)
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
		return s.absent()
	}
	if err != nil {
		return err
	}
	base := filepath.Base(s.path(name))
	if slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return e.Name() == base }) {
		return nil
	}
	return s.absent()
}

// absent is ErrNotExist, unless what is missing is the share.
func (s *Store) absent() error {
	if err := s.mounted(); err != nil {
		return err
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
		return nil, s.absent()
	}
	if err == nil {
		err = s.mounted() // what lies below the mount point is not what the share holds
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
func (s *Store) Remove(ctx context.Context, name string) error {
	if err := storage.CheckName(name); err != nil {
		return err
	}
	if err := s.mounted(); err != nil {
		return s.fail("removing", name, err)
	}
	s.forget(s.path(name))
	err := os.Remove(s.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		err = s.absent()
	}
	if err == nil {
		err = s.syncs.Sync(ctx, filepath.Dir(s.path(name)), syncDir)
	}
	if err != nil {
		return s.fail("removing", name, err)
	}
	return nil
}

// forget lets a directory that goes be made durable again when it comes again.
func (s *Store) forget(dir string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.durable, dir)
}

// Sync makes a file durable; see storage.Driver.
func (s *Store) Sync(ctx context.Context, name string) error {
	f, err := s.open(name)
	if err != nil {
		return s.fail("syncing", name, err)
	}
	err = errors.Join(f.Sync(), f.Close())
	if err == nil {
		err = s.syncAbove(ctx, filepath.Dir(s.path(name)), true)
	}
	if err == nil {
		err = s.mounted()
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
