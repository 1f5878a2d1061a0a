package sftp

import (
	"context"
	"errors"
	"fmt"
	"path"

	"github.com/pkg/sftp"
)

// openDir opens a directory as if it were a file to read, which OpenSSH's server does as
// open(2) does, so that it can be fsynced like one. nil: this server does not.
func (s *Store) openDir(c *sftp.Client, dir string) *sftp.File {
	if s.step("opendir") != nil {
		return nil
	}
	d, err := c.Open(dir)
	if err != nil {
		return nil // what is wrong with it, if anything is, the shell tells
	}
	return d
}

// letGo closes a directory; nothing waits for that.
func (s *Store) letGo(d *sftp.File) {
	if d != nil {
		s.background.Go(func() { d.Close() }) //nolint:errcheck // it was open to be fsynced alone
	}
}

// syncDir fsyncs a directory: d, which was opened before, or else one that it opens. Where
// the server can't, the shell does; a server without a shell is trusted to have done it with
// the file, see the package's description.
func (s *Store) syncDir(ctx context.Context, c *sftp.Client, dir string, d *sftp.File) error {
	if d == nil {
		d = s.openDir(c, dir)
		defer s.letGo(d)
	}
	if d != nil {
		err := d.Sync()
		if err == nil {
			s.dirs.Store(true)
			return nil
		}
		if !cannot(err) {
			return fmt.Errorf("fsync of %s: %w", dir, err)
		}
	}
	if s.shell == nil {
		return nil
	}
	return s.syncs.Sync(ctx, dir, s.shell.sync)
}

// cannot tells a server, or a file system there, that knows no fsync of directories from a
// disk that fails.
func cannot(err error) bool {
	var status *sftp.StatusError
	return errors.As(err, &status) && (status.FxCode() == sftp.ErrSSHFxOpUnsupported || status.FxCode() == sftp.ErrSSHFxBadMessage)
}

// syncAbove makes the names in a directory durable, and those of the directories down to
// it: all, or just those that this store has not made durable before. Another writer may
// have made them and not have come that far. d is the directory, when it is open.
func (s *Store) syncAbove(ctx context.Context, c *sftp.Client, dir string, d *sftp.File, all bool) error {
	requests := []func() error{func() error { return s.syncDir(ctx, c, dir, d) }}
	var fresh []string
	for d := dir; d != path.Clean(s.o.Root) && path.Dir(d) != d; d = path.Dir(d) {
		s.mu.Lock()
		known := s.durable[d]
		s.mu.Unlock()
		if known && !all {
			continue
		}
		fresh = append(fresh, d)
		requests = append(requests, func() error { return s.syncDir(ctx, c, path.Dir(d), nil) })
	}
	err := parallel(requests...)
	if err == nil && len(fresh) > 0 {
		s.mu.Lock()
		defer s.mu.Unlock()
		if len(s.durable) > 10_000 {
			clear(s.durable)
		}
		for _, d := range fresh {
			s.durable[d] = true
		}
	}
	return err
}
