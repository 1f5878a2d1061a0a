package s3

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"time"

	"github.com/minio/minio-go/v7"

	"pg_manage/executor/repo/storage"
)

const (
	// sumMeta is the metadata with the CRC-32C of an object that was stored by one request.
	sumMeta = "Crc32c"
	// sumHeader has S3 check it, and keep it.
	sumHeader = "X-Amz-Checksum-Crc32c"
)

// Put stores a file; see storage.Driver.
func (s *Store) Put(ctx context.Context, name string, r io.Reader) error {
	if err := storage.CheckName(name); err != nil {
		return err
	}
	return s.fail(ctx, "storing", name, s.put(ctx, s.key(name), storage.ContextReader(ctx, r)))
}

func (s *Store) put(ctx context.Context, key string, r io.Reader) error {
	buf, ok := s.buffers.Get().(*bytes.Buffer)
	if !ok {
		buf = new(bytes.Buffer)
	}
	defer func() {
		buf.Reset()
		s.buffers.Put(buf)
	}()
	whole, err := s.fill(buf, r)
	if err != nil {
		return err
	}
	if err := s.once.checkPut(ctx, s); err != nil {
		return err
	}
	if whole {
		return again(ctx, func() error { return s.putOne(ctx, key, buf.Bytes()) })
	}
	if err := s.once.checkComplete(ctx, s); err != nil {
		return err
	}
	return s.putParts(ctx, key, buf, r)
}

// fill reads the next part, and says whether it was the last. A part that fills the
// buffer is not taken for the last one.
func (s *Store) fill(buf *bytes.Buffer, r io.Reader) (last bool, err error) {
	buf.Reset()
	n, err := buf.ReadFrom(io.LimitReader(r, s.single))
	return n < s.single, err
}

// conflictWait is the time between two tries of a request that met another one.
const conflictWait = 200 * time.Millisecond

// cleanUpTime is for taking away what a failed Put left, beyond the deadline.
const cleanUpTime = 3 * time.Second

// again repeats a conditional request that met another for the same name: S3 answers
// 409 then, and does nothing. What it answers in the end is for the name that is taken.
func again(ctx context.Context, f func() error) error {
	for left := 10; ; left-- {
		err := f()
		var resp minio.ErrorResponse
		switch errors.As(err, &resp); {
		case resp.StatusCode == http.StatusPreconditionFailed:
			return storage.ErrExists
		case resp.StatusCode != http.StatusConflict || left == 0:
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(conflictWait):
		}
	}
}

func ifFree() minio.PutObjectOptions {
	var o minio.PutObjectOptions
	o.SetMatchETagExcept("*")
	return o
}

// putOne stores an object by one request, if its name is free.
func (s *Store) putOne(ctx context.Context, key string, b []byte) error {
	o := ifFree()
	crc := crcText(crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)))
	o.UserMetadata = map[string]string{sumHeader: crc, sumMeta: crc}
	_, err := s.core.PutObject(ctx, s.o.Bucket, key, bytes.NewReader(b), int64(len(b)), "", sha256Hex(b), o)
	return err
}

func crcText(sum uint32) string {
	return base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, sum))
}

func sha256Hex(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// putParts stores an object that is larger than one request ought to be. Its parts
// show only once they are put together.
func (s *Store) putParts(ctx context.Context, key string, buf *bytes.Buffer, r io.Reader) (err error) {
	id, err := s.core.NewMultipartUpload(ctx, s.o.Bucket, key, minio.PutObjectOptions{})
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.abort(ctx, key, id))
		}
	}()
	var parts []minio.CompletePart
	for last := false; ; {
		b := buf.Bytes()
		if len(b) > 0 {
			p, err := s.core.PutObjectPart(ctx, s.o.Bucket, key, id, len(parts)+1, bytes.NewReader(b), int64(len(b)),
				minio.PutObjectPartOptions{Sha256Hex: sha256Hex(b)})
			if err != nil {
				return err
			}
			parts = append(parts, minio.CompletePart{PartNumber: p.PartNumber, ETag: p.ETag})
		}
		if last {
			break
		}
		if last, err = s.fill(buf, r); err != nil {
			return err
		}
	}
	return again(ctx, func() error {
		_, err := s.core.CompleteMultipartUpload(ctx, s.o.Bucket, key, id, parts, ifFree())
		return err
	})
}

// abort gives an upload up. What it can't take away, Sweep does later.
func (s *Store) abort(ctx context.Context, key, id string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanUpTime)
	defer cancel()
	if err := s.core.AbortMultipartUpload(ctx, s.o.Bucket, key, id); err != nil && code(err) != minio.NoSuchUpload {
		return fmt.Errorf("giving the upload up: %w", err)
	}
	return nil
}
