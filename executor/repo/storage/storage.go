// Package storage is what every kind of backup target can do with files: the
// contract of the drivers posix and sftp, which package repotest tests.
package storage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"time"
)

// Only these two errors say something about a name. Any other error of a driver (an
// outage, a refused login, a time-out, a disk that is full) means that nothing is
// known, and must never be taken for "it isn't there".
var (
	// ErrNotExist is a name that the target surely doesn't have.
	ErrNotExist = errors.New("not there")
	// ErrExists is a name that the target has already; what is stored is untouched.
	ErrExists = errors.New("exists already")
)

// ErrLost is in the error of every operation of a driver whose connection to the target
// broke, of those that were under way and of all later ones, which fail at once. What
// became of the operation is not known, as with any other error. The driver does not
// connect again: close it and open another. Drivers that keep no connection (a
// directory; S3, where each request stands for itself) never give it.
var ErrLost = errors.New("the connection to the target is lost")

// Driver keeps files at a backup target under relative names with slashes, such as
// "main/0000000100000000/000000010000000000000001.zst". Its methods may be called
// by several goroutines at once. Deadlines come with the context.
type Driver interface {
	// Put stores what r gives under a name that is not taken yet. When it returns
	// nil the file is whole and durable: content, name and every directory above it
	// survive a loss of power. On an error nothing is to be seen under the name, save
	// when only the last sync failed or the connection broke there: Put again then gives
	// ErrExists, and Sync says whether the file is durable.
	Put(ctx context.Context, name string, r io.Reader) error
	// Open reads a file from its start.
	Open(ctx context.Context, name string) (io.ReadCloser, error)
	// OpenRange reads length bytes of a file from offset on, and then gives io.EOF. A file
	// that ends before gives io.ErrUnexpectedEOF after what it has, which no loss of the
	// connection does.
	OpenRange(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error)
	// Stat describes a file.
	Stat(ctx context.Context, name string) (Info, error)
	// List gives what lies directly in a directory, sorted by name, without files that
	// are still being written. "" is the root. A directory that isn't there gives ErrNotExist.
	List(ctx context.Context, dir string) ([]Info, error)
	// Remove takes a file away, durably; or an empty directory, of targets where there are such.
	Remove(ctx context.Context, name string) error
	// Sync makes sure that a file which is there is durable.
	Sync(ctx context.Context, name string) error
	// Sweep removes what writers that died have left unfinished in a directory and that
	// is older than age.
	Sweep(ctx context.Context, dir string, age time.Duration) error
	// String names the target as messages show it, such as "ssh://backup@10.0.0.100/backup".
	String() string
	// Close ends the connection.
	Close() error
}

// Info describes a file or directory at a target.
type Info struct {
	Name    string // without its directory
	Size    int64
	ModTime time.Time
	Dir     bool
}

// tempSuffix marks files that are being written.
const tempSuffix = ".pg_manage-tmp"

// TempName is the name under which a file is written before it gets its own. unique
// differs from writer to writer.
func TempName(base, unique string) string { return "." + base + "." + unique + tempSuffix }

// IsTemp says whether a name without directory is one of TempName's.
func IsTemp(base string) bool {
	return strings.HasPrefix(base, ".") && strings.HasSuffix(base, tempSuffix)
}

// CheckName refuses names that are not relative paths below the root: absolute ones,
// those with "." or "..", empty parts or control characters, and temporary names.
func CheckName(name string) error {
	for part := range strings.SplitSeq(name, "/") {
		if part == "" || part == "." || part == ".." || len(part) > 200 || IsTemp(part) {
			return fmt.Errorf("%q is no name for a file at a target", name)
		}
	}
	if strings.IndexFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f }) >= 0 {
		return fmt.Errorf("%q is no name for a file at a target: it holds a control character", name)
	}
	return nil
}

// CheckDir is CheckName for a directory, where "" is the root.
func CheckDir(dir string) error {
	if dir == "" {
		return nil
	}
	return CheckName(dir)
}

// CheckRange refuses ranges that no file can have.
func CheckRange(offset, length int64) error {
	if offset < 0 || length < 0 || offset > math.MaxInt64-length {
		return fmt.Errorf("%d bytes from %d on are no part of a file", length, offset)
	}
	return nil
}

// ContextReader makes reads fail once ctx has ended, so that copying ends between two blocks.
func ContextReader(ctx context.Context, r io.Reader) io.Reader { return &ctxReader{ctx, r} }

type ctxReader struct {
	ctx context.Context
	r   io.Reader
}

func (c *ctxReader) Read(b []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, context.Cause(c.ctx)
	}
	return c.r.Read(b)
}
