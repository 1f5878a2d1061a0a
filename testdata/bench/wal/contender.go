package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/klauspost/compress/zstd"

	"pg_manage/testdata/bench/hosts"
)

// contender is one way to archive.
type contender struct {
	name    string
	archive string       // archive_command
	restore string       // restore_command, if there is one
	reset   func() error // an empty archive, for the instance in the data directory
	store   string       // on this machine: where the archive lies; "" when it keeps nothing
	forget  func() error // drops what was fetched ahead in another recovery; may be nil
	ended   func() error // ends its background processes, or waits for them
}

// verify compares each segment in the archive with the original. Stored names are the
// segment's, or begin with it and a dot or hyphen.
func (c *contender) verify(backlog []segment) error {
	if c.store == "" {
		return nil
	}
	stored := map[string]string{}
	err := filepath.WalkDir(c.store, func(path string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			if name, _, _ := strings.Cut(strings.ReplaceAll(d.Name(), "-", "."), "."); len(name) == 24 {
				stored[name] = path
			}
		}
		return err
	})
	if err != nil {
		return err
	}
	for _, g := range backlog {
		path, ok := stored[g.name]
		if !ok {
			return fmt.Errorf("%s: %s is not in the archive in %s", c.name, g.name, c.store)
		}
		r, err := openStored(path)
		if err != nil {
			return err
		}
		sum, err := sumOf(r)
		if err != nil {
			return fmt.Errorf("%s: %s: %w", c.name, path, err)
		}
		if sum != g.sum {
			return fmt.Errorf("%s: %s holds other bytes than the segment", c.name, path)
		}
	}
	return nil
}

// size is what the archive takes, in bytes.
func (c *contender) size() (n uint64) {
	if c.store == "" {
		return 0
	}
	_ = filepath.WalkDir(c.store, func(_ string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			if st, err := d.Info(); err == nil {
				n += uint64(st.Size())
			}
		}
		return nil
	})
	return n
}

func openStored(path string) (io.ReadCloser, error) {
	f, err := os.Open(path)
	if err != nil || filepath.Ext(path) != ".zst" {
		return f, err
	}
	z, err := zstd.NewReader(f)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &unpacked{z.IOReadCloser(), f}, nil
}

type unpacked struct {
	io.ReadCloser
	file *os.File
}

func (u *unpacked) Close() error { return errors.Join(u.ReadCloser.Close(), u.file.Close()) }

func nothing() error { return nil }

const copyDir = hosts.Dir + "/cp"

// copied archives with cp, and with another command after it.
func (s *site) copied(name, after string) *contender {
	return &contender{
		name:    name,
		archive: "cp %p " + copyDir + "/%f" + after,
		restore: "cp " + copyDir + "/%f %p",
		reset:   func() error { return s.Empty(copyDir) },
		store:   s.Path(copyDir),
		ended:   nothing,
	}
}

func (s *site) copiedAndSynced() *contender {
	return s.copied("cp && sync FILE", " && sync "+copyDir+"/%f")
}

// ceiling archives nothing: what PostgreSQL's archiver takes by itself.
func (s *site) ceiling() *contender {
	return &contender{name: "/bin/true", archive: "/bin/true", reset: nothing, ended: nothing}
}
