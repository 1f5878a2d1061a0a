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
	"syscall"
	"time"

	"github.com/pkg/sftp"

	"pg_manage/executor/repo/storage"
)

// window is what an OpenSSH session takes before it has answered, in bytes; a Put keeps so
// much under way.
const window = 2 << 20

// Put stores a file; see storage.Driver. Over a line of n ms it takes 5 n and the time
// of the transfer: requests wait for each other only where one needs the other's outcome.
func (s *Store) Put(ctx context.Context, name string, r io.Reader) error {
	if err := storage.CheckName(name); err != nil {
		return err
	}
	return s.do(ctx, "storing", name, func(c *sftp.Client) error { return s.put(ctx, c, name, r) })
}

func (s *Store) put(ctx context.Context, c *sftp.Client, name string, r io.Reader) error {
	final := s.path(name)
	dir := path.Dir(final)
	temp := path.Join(dir, storage.TempName(path.Base(final), rand.Text()))
	if err := s.step("create"); err != nil {
		return err
	}
	f, err := s.create(ctx, c, temp)
	if err != nil {
		return s.noRoom(c, err)
	}
	var d *sftp.File
	err = parallel(
		func() error { return s.write(ctx, c, f, temp, r) },
		func() error { d = s.openDir(c, dir); return nil },
	)
	defer s.letGo(d)
	if err != nil {
		return errors.Join(s.noRoom(c, err), discard(c, f, temp)) // in this order: then there is room again
	}
	if err := s.step("link"); err != nil {
		return errors.Join(err, discard(c, f, temp))
	}
	if err := c.Link(temp, final); err != nil {
		// The server says "failure" whatever the reason: look.
		if _, serr := c.Lstat(final); serr == nil {
			err = storage.ErrExists
		} else {
			err = s.noRoom(c, fmt.Errorf("linking: %w (the file system there must know hard links)", err))
		}
		return errors.Join(err, discard(c, f, temp))
	}
	err = parallel(
		func() error { return errors.Join(s.step("syncfile"), f.Sync()) },
		func() error { return errors.Join(s.step("syncdir"), s.syncAbove(ctx, c, dir, d, false)) },
		func() error {
			if err := errors.Join(s.step("remove"), c.Remove(temp)); err != nil {
				return fmt.Errorf("removing the temporary name: %w", err)
			}
			return nil
		},
	)
	// An error of the disk has come with the fsync: nothing waits for this answer.
	s.background.Go(func() { f.Close() }) //nolint:errcheck // see above
	if err != nil {
		return fmt.Errorf("after linking: %w", err)
	}
	return nil
}

func (s *Store) create(ctx context.Context, c *sftp.Client, temp string) (*sftp.File, error) {
	const flags = os.O_WRONLY | os.O_CREATE | os.O_EXCL
	f, err := c.OpenFile(temp, flags)
	if errors.Is(err, fs.ErrNotExist) {
		if err := s.makeDirs(ctx, c, path.Dir(temp)); err != nil {
			return nil, err
		}
		f, err = c.OpenFile(temp, flags)
	}
	if err != nil {
		return nil, fmt.Errorf("making a file: %w", err)
	}
	return f, nil
}

// fullBelow is how many bytes a full file system may have left: others remove files too.
const fullBelow = 1 << 20

// fullFor is how long a file system that was seen full is taken for that, though there is
// room again, since all that failed for it takes back its files.
const fullFor = 10 * time.Second

// noRoom says of an error that is no more than "failure", SFTP's word for all that it has no
// other for, when the reason is that the file system is full.
func (s *Store) noRoom(c *sftp.Client, err error) error {
	var status *sftp.StatusError
	if !errors.As(err, &status) || status.FxCode() != sftp.ErrSSHFxFailure {
		return err
	}
	v, verr := c.StatVFS(cmp.Or(s.o.Root, ".")) // statvfs@openssh.com
	full := verr == nil && (v.Bavail*v.Frsize < fullBelow || v.Files > 0 && v.Favail == 0)
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case full:
		s.seenFull = time.Now()
	case time.Since(s.seenFull) > fullFor:
		return err
	}
	return fmt.Errorf("%w: %w", err, syscall.ENOSPC)
}

// discard takes back a file that didn't get its name. Only a lost connection, which
// another error tells of, or an unwritable directory stops it; Sweep is for those.
func discard(c *sftp.Client, f *sftp.File, temp string) error {
	err := parallel(f.Close, func() error { return c.Remove(temp) })
	if err != nil {
		return fmt.Errorf("removing the temporary file: %w", err)
	}
	return nil
}

// write fills a file and fsyncs it.
func (s *Store) write(ctx context.Context, c *sftp.Client, f *sftp.File, temp string, r io.Reader) error {
	var sent int64
	err := parallel(
		func() (err error) {
			if err := s.step("write"); err != nil {
				return err
			}
			// ReadFrom would send one block at a time, as it can't see how long r is.
			if sent, err = f.ReadFromWithConcurrency(storage.ContextReader(ctx, r), window/s.block); err != nil {
				return fmt.Errorf("writing: %w", err)
			}
			return nil
		},
		func() error {
			if err := c.Chmod(temp, fileMode); err != nil { // by name: File.Chmod waits for the writes
				return fmt.Errorf("chmod: %w", err)
			}
			return nil
		},
	)
	if err != nil {
		return err
	}
	return parallel(
		func() error {
			if err := errors.Join(s.step("fsync"), f.Sync()); err != nil {
				return fmt.Errorf("fsync: %w", err)
			}
			return nil
		},
		func() error {
			st, err := c.Lstat(temp)
			if err != nil {
				return fmt.Errorf("writing: %w", err)
			}
			if st.Size() != sent {
				return fmt.Errorf("writing: %d bytes were sent and %d are there", sent, st.Size())
			}
			return nil
		},
	)
}

// makeDirs makes a directory and those above it. That they are durable is syncAbove's.
func (s *Store) makeDirs(ctx context.Context, c *sftp.Client, dir string) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	st, err := c.Stat(dir)
	if err == nil {
		if !st.IsDir() {
			return fmt.Errorf("%s is not a directory", dir)
		}
		return nil
	}
	if !errors.Is(err, fs.ErrNotExist) || path.Dir(dir) == dir {
		return fmt.Errorf("%s: %w", dir, err)
	}
	if err := s.makeDirs(ctx, c, path.Dir(dir)); err != nil {
		return err
	}
	if err := s.step("mkdir"); err != nil {
		return err
	}
	if err := c.Mkdir(dir); err != nil {
		if st, serr := c.Stat(dir); serr == nil && st.IsDir() { // another writer was faster
			return nil
		}
		return fmt.Errorf("making the directory %s: %w", dir, err)
	}
	if err := c.Chmod(dir, dirMode); err != nil {
		return fmt.Errorf("chmod %s: %w", dir, err)
	}
	return nil
}
