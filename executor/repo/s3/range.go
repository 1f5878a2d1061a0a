package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/minio/minio-go/v7"

	"pg_manage/executor/repo/storage"
)

// OpenRange reads a part of a file by one request; see storage.Driver. The checksum that a
// file was stored with is of the whole, and so is not checked.
func (s *Store) OpenRange(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	if err := storage.CheckName(name); err != nil {
		return nil, err
	}
	r, err := s.openRange(ctx, name, offset, length)
	if err != nil {
		return nil, s.fail(ctx, "reading", name, err)
	}
	return r, nil
}

func (s *Store) openRange(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	if err := storage.CheckRange(offset, length); err != nil {
		return nil, err
	}
	r := &rangeReader{ctx: ctx, s: s, name: name, left: length, body: io.NopCloser(strings.NewReader(""))}
	if length == 0 { // HTTP knows no such range
		i, err := s.stat(ctx, name)
		if err == nil && i.Dir {
			err = errDirectory
		}
		return r, err
	}
	var o minio.GetObjectOptions
	if err := o.SetRange(offset, offset+length-1); err != nil {
		return nil, err
	}
	body, _, header, err := s.core.GetObject(ctx, s.o.Bucket, s.key(name), o)
	switch {
	case code(err) == minio.InvalidRange: // it begins past the end
		return r, nil
	case err != nil:
		if err = s.absent(ctx, name, err); err == nil {
			err = errDirectory
		}
		return nil, err
	}
	r.body = body
	if got := header.Get("Content-Range"); !strings.HasPrefix(got, fmt.Sprintf("bytes %d-", offset)) {
		return nil, errors.Join(fmt.Errorf("the server was asked for the bytes from %d on and answers with others (%q)", offset, got), body.Close())
	}
	return r, nil
}

// rangeReader reads a part of an object.
type rangeReader struct {
	ctx  context.Context
	s    *Store
	name string
	body io.ReadCloser
	left int64 // of the part
}

func (r *rangeReader) Read(b []byte) (int, error) {
	if r.left == 0 {
		return 0, io.EOF
	}
	n, err := r.body.Read(b[:min(int64(len(b)), r.left)])
	r.left -= int64(n)
	switch {
	case err == nil, err == io.EOF && r.left == 0:
		return n, nil
	case err == io.EOF:
		err = fmt.Errorf("it ends %d bytes before the end of what is read: %w", r.left, io.ErrUnexpectedEOF)
	case errors.Is(err, io.ErrUnexpectedEOF):
		err = errors.New("the connection ended early")
	}
	return n, r.s.fail(r.ctx, "reading", r.name, err)
}

func (r *rangeReader) Close() error { return r.body.Close() }
