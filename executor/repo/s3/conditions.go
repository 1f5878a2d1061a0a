package s3

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/minio/minio-go/v7"

	"pg_manage/executor/repo/storage"
)

// conditions are what a server was found to keep. It is asked once for each; an answer
// that didn't come is asked for again.
type conditions struct {
	turn          chan struct{} // holds one value, which whoever has taken it puts back
	put, complete *error        // the answers; nil: not asked yet
}

func newConditions() conditions {
	turn := make(chan struct{}, 1)
	turn <- struct{}{}
	return conditions{turn: turn}
}

// errOverwrites is a server that stores a file under a name that is taken.
var errOverwrites = errors.New(`the server stores objects under names that are taken, although the request says "If-None-Match: *": files kept there could be overwritten. Use a server that keeps this condition (Amazon S3, MinIO, Ceph and others do in their present versions)`)

// checkPut makes sure that the server refuses to overwrite with one request.
func (c *conditions) checkPut(ctx context.Context, s *Store) error {
	return c.check(ctx, s, &c.put, func(ctx context.Context, key string) error { return s.putOne(ctx, key, nil) })
}

// checkComplete makes sure of the same for uploads in parts.
func (c *conditions) checkComplete(ctx context.Context, s *Store) error {
	return c.check(ctx, s, &c.complete, func(ctx context.Context, key string) (err error) {
		id, err := s.core.NewMultipartUpload(ctx, s.o.Bucket, key, minio.PutObjectOptions{})
		if err != nil {
			return err
		}
		defer func() {
			if err != nil {
				err = errors.Join(err, s.abort(ctx, key, id))
			}
		}()
		b := []byte("x")
		p, err := s.core.PutObjectPart(ctx, s.o.Bucket, key, id, 1, bytes.NewReader(b), 1, minio.PutObjectPartOptions{Sha256Hex: sha256Hex(b)})
		if err != nil {
			return err
		}
		_, err = s.core.CompleteMultipartUpload(ctx, s.o.Bucket, key, id, []minio.CompletePart{{PartNumber: 1, ETag: p.ETag}}, ifFree())
		return err
	})
}

// check stores an object under a temporary name, and again by overwrite, which must be refused.
func (c *conditions) check(ctx context.Context, s *Store, answer **error, overwrite func(ctx context.Context, key string) error) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-c.turn:
	}
	defer func() { c.turn <- struct{}{} }()
	if *answer != nil {
		return **answer
	}
	key := s.key(storage.TempName("condition", rand.Text()))
	if err := again(ctx, func() error { return s.putOne(ctx, key, nil) }); err != nil {
		return fmt.Errorf("trying out whether the server refuses to overwrite: %w", hide(err))
	}
	err := again(ctx, func() error { return overwrite(ctx, key) })
	rerr := s.removeProbe(ctx, key)
	switch {
	case errors.Is(err, storage.ErrExists):
		err = nil
	case err == nil:
		err = errOverwrites
	case code(err) == minio.NotImplemented:
		err = fmt.Errorf("%w (it answers that it can't)", errOverwrites)
	default:
		return fmt.Errorf("trying out whether the server refuses to overwrite: %w", err)
	}
	if rerr != nil {
		return fmt.Errorf("removing what was stored to try the server out: %w", rerr)
	}
	*answer = &err
	return err
}

// hide keeps an answer for the temporary name from being taken for one of the file's.
func hide(err error) error {
	if errors.Is(err, storage.ErrExists) {
		return errors.New("a name that was made up is taken")
	}
	return err
}

// removeProbe takes the temporary object away. Keys that may not remove anything are
// a way to guard backups, and no reason to store none: it has no content.
func (s *Store) removeProbe(ctx context.Context, key string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanUpTime)
	defer cancel()
	err := s.client.RemoveObject(ctx, s.o.Bucket, key, minio.RemoveObjectOptions{})
	if code(err) == minio.AccessDenied {
		return nil
	}
	return err
}
