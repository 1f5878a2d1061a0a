package wal

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"

	"pg_manage/executor/repo/codec"
	"pg_manage/schema/postgres"
)

// source is a file that is to be stored: one of pg_wal that has been looked at.
type source struct {
	f    postgres.WALFile
	path string
	file *os.File
	size int64
	hash func() ([sha256.Size]byte, error)
}

// openSource opens a file of pg_wal and checks that its content fits its name and cluster.
func openSource(path string, f postgres.WALFile, system uint64) (src *source, err error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, file.Close())
		}
	}()
	st, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() {
		return nil, refuse("%s is not a regular file", path)
	}
	head := make([]byte, min(st.Size(), postgres.SegmentHeaderSize))
	if !f.IsSegment() {
		if st.Size() > postgres.MaxNoteSize {
			return nil, refuse("%s has %d bytes, too many for a %s", path, st.Size(), f.Kind)
		}
		head = make([]byte, st.Size())
	}
	if _, err := file.ReadAt(head, 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if err := checkContent(f, head, st.Size(), system); err != nil {
		return nil, &RefusedError{err}
	}
	src = &source{f: f, path: path, file: file, size: st.Size()}
	src.hash = sync.OnceValues(src.sum)
	return src, nil
}

func (s *source) close() { s.file.Close() } //nolint:errcheck // read only

// reader gives the content from its start. Nobody writes to a finished segment; should
// it shrink, that is an error and no end.
func (s *source) reader() io.Reader {
	return &sized{r: io.NewSectionReader(s.file, 0, s.size), left: s.size}
}

// sized makes an early end an error.
type sized struct {
	r    io.Reader
	left int64
}

func (s *sized) Read(b []byte) (int, error) {
	n, err := s.r.Read(b)
	s.left -= int64(n)
	if err == io.EOF && s.left != 0 { //nolint:errorlint // a reader's own
		err = fmt.Errorf("the file ended %d bytes early", s.left) // wraps nothing that could be taken for the end
	}
	return n, err
}

func (s *source) sum() (sum [sha256.Size]byte, err error) {
	h := sha256.New()
	if _, err := io.Copy(h, s.reader()); err != nil {
		return sum, err
	}
	return [sha256.Size]byte(h.Sum(nil)), nil
}

// encoded gives the content in the form of a codec, as it is read. Closing it early
// ends the encoder. A segment may be encoded in two halves: all segments of an archive
// have one size, so that whoever reads one knows where it ends.
func (s *source) encoded(c *codec.Codec) (io.ReadCloser, error) {
	var sum [sha256.Size]byte
	if codec.Encrypted(c.Extension()) {
		var err error
		if sum, err = s.hash(); err != nil {
			return nil, err
		}
	}
	pr, pw := io.Pipe()
	go func() {
		pw.CloseWithError(c.Encode(pw, s.file, s.size, sum, s.f.Kind == postgres.WALSegment))
	}()
	return pr, nil
}

// same compares the plain content of a stored file with the source, byte by byte. Only
// an error of the source itself is in local.
func (s *source) same(stored io.Reader) (same bool, remote, local error) {
	a, b := make([]byte, 128<<10), make([]byte, 128<<10)
	own := s.reader()
	for {
		n, err1 := io.ReadFull(stored, a)
		m, err2 := io.ReadFull(own, b)
		end1, end2 := ended(err1), ended(err2)
		switch {
		case err1 != nil && !end1:
			return false, err1, nil
		case err2 != nil && !end2:
			return false, nil, err2
		case !bytes.Equal(a[:n], b[:m]) || end1 != end2:
			return false, nil, nil
		case end1:
			return true, nil, nil
		}
	}
}

func ended(err error) bool { return err == io.EOF || err == io.ErrUnexpectedEOF } //nolint:errorlint // ReadFull gives these as they are

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
