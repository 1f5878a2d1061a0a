package s3

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"

	"pg_manage/executor/repo/storage"
)

// Sweep gives up uploads in parts that were left, and removes temporary objects: those
// in the directory, and those of the root, where a server is tried out; see storage.Driver.
func (s *Store) Sweep(ctx context.Context, dir string, age time.Duration) error {
	return s.fail(ctx, "sweeping", dir, s.sweep(ctx, dir, age))
}

func (s *Store) sweep(ctx context.Context, dir string, age time.Duration) error {
	all, err := s.list(ctx, dir)
	if err != nil && !errors.Is(err, storage.ErrNotExist) {
		return err
	}
	absent := err
	prefix := s.dirKey(dir)
	for u := range s.client.ListIncompleteUploads(ctx, s.o.Bucket, prefix, true) {
		if code(u.Err) == minio.NoSuchUpload {
			break // some servers' word for none
		}
		if u.Err != nil {
			return u.Err
		}
		if strings.HasPrefix(u.Key, prefix) && time.Since(u.Initiated) > age {
			if err := s.abort(ctx, u.Key, u.UploadID); err != nil {
				return err
			}
		}
	}
	for _, i := range all {
		if err := s.sweepOne(ctx, prefix, i, age); err != nil {
			return err
		}
	}
	if dir != "" {
		root, err := s.list(ctx, "")
		if err != nil {
			return err
		}
		for _, i := range root {
			if err := s.sweepOne(ctx, s.prefix, i, age); err != nil {
				return err
			}
		}
	}
	return absent
}

func (s *Store) sweepOne(ctx context.Context, prefix string, i storage.Info, age time.Duration) error {
	if i.Dir || !storage.IsTemp(i.Name) || time.Since(i.ModTime) <= age {
		return nil
	}
	return s.client.RemoveObject(ctx, s.o.Bucket, prefix+i.Name, minio.RemoveObjectOptions{})
}
