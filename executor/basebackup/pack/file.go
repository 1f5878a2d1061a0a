package pack

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"pg_manage/executor/basebackup/crc"
	"pg_manage/executor/basebackup/index"
	"pg_manage/executor/basebackup/page"
)

// file is one that is being copied.
type file struct {
	entry    index.Entry
	fd       int
	full     string // path to read
	modified time.Time
	users    atomic.Int32 // tasks that read it, and the writer

	pages   bool // it consists of pages that are to be verified
	segment int64

	known bool   // the parent has it
	size  int64  // the parent's
	sums  []byte // the parent's

	blocks func(int64) bool // what the WAL summaries say; nil: nothing
	limit  int64

	crc    crc.File // of what was stored so far
	summed int64    // bytes in it
}

// errGone is a file that vanished.
var errGone = errors.New("the file is gone")

// open opens a file. Its size is the one at this moment: what is appended later the WAL has.
func (p *Packer) open(it *item) (*file, error) {
	f := &file{full: p.o.DataDir + "/" + it.path()}
	if it.from != nil {
		f.full = it.from.path
	}
	f.entry.Path = it.path()
	err := retry(func() (err error) {
		f.fd, err = unix.Open(f.full, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
		return err
	})
	if errors.Is(err, unix.ENOENT) && it.from == nil {
		return nil, errGone
	} else if err != nil {
		return nil, fmt.Errorf("%s cannot be read: %w", f.full, err)
	}
	if err := p.prepare(f, it); err != nil {
		unix.Close(f.fd) //nolint:errcheck // only read
		return nil, err
	}
	f.users.Store(1)
	return f, nil
}

func (p *Packer) prepare(f *file, it *item) error {
	var st unix.Stat_t
	if err := retry(func() error { return unix.Fstat(f.fd, &st) }); err != nil {
		return fmt.Errorf("%s: %w", f.full, err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return errGone // another thing took its place
	}
	if st.Size > maxFile {
		return fmt.Errorf("%s has grown to %d bytes, more than can be backed up", f.full, st.Size)
	}
	f.entry.Size, f.entry.Mode = st.Size, st.Mode&0o7777
	f.modified = time.Unix(st.Mtim.Unix())
	f.entry.MTime = f.modified.Unix()
	if it.from != nil {
		f.entry.Mode = it.from.mode
		return nil
	}
	if rel, ok := page.Relation(f.entry.Path); ok {
		f.pages, f.segment = p.o.Checksums, rel.Segment
	}
	return p.compare(f)
}

// compare finds out what the parent has of a file.
func (p *Packer) compare(f *file) error {
	if p.o.Previous == nil {
		return nil
	}
	p.previous.Lock()
	defer p.previous.Unlock()
	size, sums, ok, err := p.o.Previous.File(f.entry.Path)
	if err != nil {
		return fmt.Errorf("what the parent has of %s: %w", f.entry.Path, err)
	}
	if !ok {
		return nil
	}
	if int64(len(sums)) != index.Blocks(size)*index.SumSize {
		return fmt.Errorf("the parent has %d bytes of sums for %s, of %d bytes", len(sums), f.entry.Path, size)
	}
	f.known, f.size, f.sums = true, size, append([]byte(nil), sums...)
	// The rules of the server itself (basebackup_incremental.c): the free space map isn't
	// reliably in the WAL, and a relation has whole blocks. Init forks are small.
	rel, ok := page.Relation(f.entry.Path)
	if p.o.Summary == nil || !ok || p.o.BlockSize != index.BlockSize || rel.Fork != "" && rel.Fork != "vm" ||
		f.entry.Size%index.BlockSize != 0 || f.size%index.BlockSize != 0 || f.entry.Size/index.BlockSize > p.o.SegmentBlocks {
		return nil
	}
	if changed, limit, known := p.o.Summary.Changed(f.entry.Path); known {
		f.blocks, f.limit = changed, min(limit, f.size/index.BlockSize)
	}
	return nil
}

// unread says whether a block is known to be the parent's.
func (f *file) unread(block int64) bool {
	return f.blocks != nil && block < f.limit && !f.blocks(block)
}

// parent gives the parent's sum of a block, nil when its block has another length.
func (f *file) parent(block int64) []byte {
	if !f.known || f.length(block, f.size) != f.length(block, f.entry.Size) {
		return nil
	}
	return f.sums[block*index.SumSize:][:index.SumSize]
}

// length is how many bytes a block has in a file of size bytes.
func (f *file) length(block, size int64) int64 {
	return max(0, min(index.BlockSize, size-block*index.BlockSize))
}

// release lets go of a file.
func (f *file) release() {
	if f.users.Add(-1) == 0 {
		unix.Close(f.fd) //nolint:errcheck // only read
		f.sums = nil
	}
}

// read fills b from an offset. What a file that has shrunk lacks is zeroes: the WAL has
// that it was cut.
func (p *Packer) read(ctx context.Context, f *file, b []byte, off int64) error {
	if err := p.pace.wait(ctx, len(b)); err != nil {
		return err
	}
	for len(b) > 0 {
		var n int
		err := retry(func() (err error) {
			n, err = unix.Pread(f.fd, b, off)
			return err
		})
		if err != nil {
			return fmt.Errorf("%s cannot be read at byte %d: %w", f.full, off, err)
		}
		if n == 0 {
			clear(b)
			return nil
		}
		b, off = b[n:], off+int64(n)
	}
	return nil
}

// retry calls again what a signal has interrupted.
func retry(call func() error) error {
	for {
		if err := call(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
