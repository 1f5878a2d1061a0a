package posix

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"

	"pg_manage/executor/repo/storage"
)

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

// syncAbove makes the names in a directory durable, and those of the directories from the
// root down to it: all, or just those that this store has not made durable before.
// Another writer may have made them and not have come that far.
func (s *Store) syncAbove(ctx context.Context, dir string, all bool) error {
	if err := s.syncs.Sync(ctx, dir, syncDir); err != nil {
		return err
	}
	var fresh []string
	for d := dir; d != s.root && filepath.Dir(d) != d; d = filepath.Dir(d) {
		s.mu.Lock()
		known := s.durable[d]
		s.mu.Unlock()
		if known && !all {
			continue
		}
		if err := s.syncs.Sync(ctx, filepath.Dir(d), syncDir); err != nil {
			return err
		}
		fresh = append(fresh, d)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.durable) > 10_000 {
		clear(s.durable)
	}
	for _, d := range fresh {
		s.durable[d] = true
	}
	return nil
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
