package wal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"pg_manage/executor/repo/storage"
	"pg_manage/schema/postgres"
)

// maxSmall bounds .history and .backup files, in bytes.
const maxSmall = 1 << 20

// leftoverAge is how old an unfinished file must be to be taken for one whose writer died.
const leftoverAge = time.Hour

// Archive stores one file of pg_wal, given as PostgreSQL's %p. It returns nil if and
// only if the file is durable at the target under its final name. A file that is
// there already is left as it is: the same content is success, another one a *RefusedError.
func Archive(ctx context.Context, d storage.Driver, c *Config, path string) error {
	f, err := postgres.ClassifyWALName(filepath.Base(path))
	if err != nil {
		return refuse("%w", err)
	}
	if err := c.checkInstance(path); err != nil {
		return err
	}
	system, err := c.systemIdentifier()
	if err != nil {
		return refuse("%w", err)
	}
	src, err := openSource(path, f, system)
	if err != nil {
		return err
	}
	defer src.file.Close() //nolint:errcheck // read only
	id, err := readIdentity(ctx, d, c)
	if err != nil {
		return err
	}
	if err := id.check(d, c, system); err != nil {
		return err
	}
	if f.IsSegment() && src.size != id.SegmentSize {
		return refuse("%s has %d bytes, and the archive's segments have %d", path, src.size, id.SegmentSize)
	}
	name := c.objectName(f)
	if err := put(ctx, d, name, f, src); !errors.Is(err, storage.ErrExists) {
		if err == nil && f.Kind == postgres.WALSegment && f.Seg&0x3F == 0 {
			// Now and then; what it finds has long lost its writer, and none of it matters to this file.
			_ = d.Sweep(ctx, c.dir()+"/"+f.Name[:16], leftoverAge)
		}
		return err
	}
	same, err := identical(ctx, d, name, f, src)
	if err != nil {
		return err
	}
	if !same {
		return refuse("%s: %s is archived already with OTHER content, and what is stored stays untouched: two instances archive into one place, or a copy was promoted; give one of them an archive of its own", d, name)
	}
	return d.Sync(ctx, name)
}

// source is a file of pg_wal that has been looked at.
type source struct {
	file *os.File
	size int64
}

func (s source) reader() io.Reader { return io.NewSectionReader(s.file, 0, s.size) }

// openSource opens a file of pg_wal and checks that its content fits its name and cluster.
func openSource(path string, f postgres.WALFile, system uint64) (src source, err error) {
	file, err := os.Open(path)
	if err != nil {
		return source{}, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, file.Close())
		}
	}()
	st, err := file.Stat()
	if err != nil {
		return source{}, err
	}
	if !st.Mode().IsRegular() {
		return source{}, refuse("%s is not a regular file", path)
	}
	head := make([]byte, min(st.Size(), postgres.SegmentHeaderSize))
	if !f.IsSegment() {
		if st.Size() > maxSmall {
			return source{}, refuse("%s has %d bytes, too many for a %s", path, st.Size(), f.Kind)
		}
		head = make([]byte, st.Size())
	}
	if _, err := file.ReadAt(head, 0); err != nil && !errors.Is(err, io.EOF) {
		return source{}, err
	}
	if err := checkContent(f, head, st.Size(), system); err != nil {
		return source{}, &RefusedError{err}
	}
	return source{file, st.Size()}, nil
}

// checkContent says whether a file can be what its name promises. head is its
// beginning, for other files than segments all of it.
func checkContent(f postgres.WALFile, head []byte, size int64, system uint64) error {
	switch f.Kind {
	case postgres.WALHistory:
		_, err := postgres.ParseHistory(f.Timeline, string(head))
		return err
	case postgres.WALBackup:
		first, _, _ := strings.Cut(string(head), "\n")
		if !strings.HasPrefix(first, "START WAL LOCATION: ") || !strings.HasSuffix(first, "(file "+f.SegmentName()+")") {
			return fmt.Errorf("%s: its first line is not that of a backup history file of this segment", f.Name)
		}
		return nil
	}
	info, err := postgres.CheckSegment(head, f, size)
	if err != nil {
		return err
	}
	if info.SystemIdentifier != system {
		return fmt.Errorf("%s is WAL of the cluster with system identifier %d, and this instance has %d", f.Name, info.SystemIdentifier, system)
	}
	return nil
}

func put(ctx context.Context, d storage.Driver, name string, f postgres.WALFile, src source) error {
	if !compressed(f) {
		return d.Put(ctx, name, src.reader())
	}
	// Nobody writes to a finished segment; should it shrink, that must not go unseen.
	counted := &countingReader{r: src.reader()}
	z := compress(exactly(counted, src.size))
	defer z.Close() //nolint:errcheck // a pipe's reading end
	return d.Put(ctx, name, z)
}

type countingReader struct {
	r io.Reader
	n int64
}

func (c *countingReader) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	c.n += int64(n)
	return n, err
}

// exactly makes an early end of c an error.
func exactly(c *countingReader, size int64) io.Reader {
	return io.MultiReader(c, readerFunc(func([]byte) (int, error) {
		if c.n != size {
			return 0, fmt.Errorf("the file ended after %d of %d bytes: %w", c.n, size, io.ErrUnexpectedEOF)
		}
		return 0, io.EOF
	}))
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(b []byte) (int, error) { return f(b) }

// identical compares what is stored with the file, byte by byte.
func identical(ctx context.Context, d storage.Driver, name string, f postgres.WALFile, src source) (bool, error) {
	r, err := openStored(ctx, d, name, f)
	if err != nil {
		return false, err
	}
	a, b := make([]byte, 128<<10), make([]byte, 128<<10)
	local := src.reader()
	for {
		n, err1 := io.ReadFull(r, a)
		m, err2 := io.ReadFull(local, b)
		end1, end2 := ended(err1), ended(err2)
		switch {
		case err1 != nil && !end1:
			return false, errors.Join(refuse("%s: %s is stored already and cannot be read, so it may be damaged: %w", d, name, err1), r.Close())
		case err2 != nil && !end2:
			return false, errors.Join(err2, r.Close())
		case !bytes.Equal(a[:n], b[:m]) || end1 != end2:
			return false, r.Close()
		case end1:
			return true, r.Close()
		}
	}
}

func ended(err error) bool { return err == io.EOF || err == io.ErrUnexpectedEOF } //nolint:errorlint // ReadFull gives these as they are

// openStored opens a stored file in its plain form.
func openStored(ctx context.Context, d storage.Driver, name string, f postgres.WALFile) (io.ReadCloser, error) {
	raw, err := d.Open(ctx, name)
	if err != nil || !compressed(f) {
		return raw, err
	}
	z, err := decompress(raw)
	if err != nil {
		return nil, errors.Join(err, raw.Close())
	}
	return &stored{Reader: z, close: func() error { return errors.Join(z.Close(), raw.Close()) }}, nil
}

type stored struct {
	io.Reader
	close func() error
}

func (s *stored) Close() error { return s.close() }
