package s3

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"path"
	"slices"
	"strings"

	"github.com/minio/minio-go/v7"

	"pg_manage/executor/repo/storage"
)

var errDirectory = errors.New("it is a directory")

// Open reads a file; see storage.Driver.
func (s *Store) Open(ctx context.Context, name string) (io.ReadCloser, error) {
	if err := storage.CheckName(name); err != nil {
		return nil, err
	}
	body, info, _, err := s.core.GetObject(ctx, s.o.Bucket, s.key(name), minio.GetObjectOptions{Checksum: true})
	if err != nil {
		if err = s.absent(ctx, name, err); err == nil {
			err = errDirectory
		}
		return nil, s.fail(ctx, "reading", name, err)
	}
	r := &reader{ctx: ctx, s: s, name: name, body: body}
	if want := info.UserMetadata[sumMeta]; want != "" {
		r.want, r.crc = want, crc32.New(crc32.MakeTable(crc32.Castagnoli))
	}
	return r, nil
}

// reader checks what it reads against the checksum that it was stored with.
type reader struct {
	ctx  context.Context
	s    *Store
	name string
	body io.ReadCloser
	crc  hash.Hash32 // nil: there is no checksum
	want string
}

func (r *reader) Read(b []byte) (int, error) {
	n, err := r.body.Read(b)
	if r.crc != nil {
		r.crc.Write(b[:n])
	}
	switch {
	case err == nil:
		return n, nil
	case err == io.EOF && (r.crc == nil || crcText(r.crc.Sum32()) == r.want):
		return n, io.EOF
	case err == io.EOF:
		err = errors.New("it is damaged: its content is not of the checksum that it was stored with")
	case errors.Is(err, io.ErrUnexpectedEOF):
		err = errors.New("the connection ended early") // not what io.ReadFull says at a file's end
	}
	return n, r.s.fail(r.ctx, "reading", r.name, err)
}

func (r *reader) Close() error { return r.body.Close() }

// absent makes sure of an answer that a name isn't there: HEAD says the same of a bucket
// that is missing, and so may anything that stands in the server's place. It gives nil
// when the name is a directory.
func (s *Store) absent(ctx context.Context, name string, err error) error {
	if code(err) != minio.NoSuchKey {
		return err
	}
	found, err := s.some(ctx, s.dirKey(name))
	switch {
	case err != nil:
		return err
	case found:
		return nil
	}
	return storage.ErrNotExist
}

// some says whether any key begins with a prefix. The bucket must be there to tell.
func (s *Store) some(ctx context.Context, prefix string) (bool, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for o := range s.client.ListObjectsIter(ctx, s.o.Bucket, minio.ListObjectsOptions{Prefix: prefix, MaxKeys: 1, Recursive: true}) {
		return o.Err == nil, o.Err
	}
	return false, context.Cause(ctx)
}

// Stat describes a file; see storage.Driver.
func (s *Store) Stat(ctx context.Context, name string) (storage.Info, error) {
	if err := storage.CheckName(name); err != nil {
		return storage.Info{}, err
	}
	i, err := s.stat(ctx, name)
	return i, s.fail(ctx, "looking at", name, err)
}

func (s *Store) stat(ctx context.Context, name string) (storage.Info, error) {
	o, err := s.client.StatObject(ctx, s.o.Bucket, s.key(name), minio.StatObjectOptions{})
	if err == nil {
		return storage.Info{Name: path.Base(name), Size: o.Size, ModTime: o.LastModified}, nil
	}
	if err := s.absent(ctx, name, err); err != nil {
		return storage.Info{}, err
	}
	return storage.Info{Name: path.Base(name), Dir: true}, nil
}

// List lists a directory; see storage.Driver.
func (s *Store) List(ctx context.Context, dir string) ([]storage.Info, error) {
	all, err := s.list(ctx, dir)
	if err != nil {
		return nil, s.fail(ctx, "listing", dir, err)
	}
	return slices.DeleteFunc(all, func(i storage.Info) bool { return storage.IsTemp(i.Name) }), nil
}

func (s *Store) list(ctx context.Context, dir string) ([]storage.Info, error) {
	if err := storage.CheckDir(dir); err != nil {
		return nil, err
	}
	prefix := s.dirKey(dir)
	there := dir == ""
	var all []storage.Info
	for o := range s.client.ListObjectsIter(ctx, s.o.Bucket, minio.ListObjectsOptions{Prefix: prefix}) {
		if o.Err != nil {
			return nil, o.Err
		}
		there = true
		name, ok := strings.CutPrefix(o.Key, prefix)
		if !ok {
			return nil, fmt.Errorf("the server listed %q, which is not in it", o.Key)
		}
		name, isDir := strings.CutSuffix(name, "/")
		if name == "" {
			continue // an object that stands for the directory itself
		}
		all = append(all, storage.Info{Name: name, Size: o.Size, ModTime: o.LastModified, Dir: isDir})
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if !there {
		return nil, storage.ErrNotExist
	}
	slices.SortFunc(all, func(a, b storage.Info) int { return cmp.Compare(a.Name, b.Name) })
	return all, nil
}

// Remove takes a file away; see storage.Driver.
func (s *Store) Remove(ctx context.Context, name string) error {
	if err := storage.CheckName(name); err != nil {
		return err
	}
	// S3 doesn't say whether there was something to remove.
	i, err := s.stat(ctx, name)
	if err == nil && i.Dir {
		err = errDirectory
	}
	if err == nil {
		err = s.client.RemoveObject(ctx, s.o.Bucket, s.key(name), minio.RemoveObjectOptions{})
	}
	return s.fail(ctx, "removing", name, err)
}

// Sync makes sure that a file is there: what S3 shows is durable.
func (s *Store) Sync(ctx context.Context, name string) error {
	if err := storage.CheckName(name); err != nil {
		return err
	}
	i, err := s.stat(ctx, name)
	if err == nil && i.Dir {
		err = errDirectory
	}
	return s.fail(ctx, "syncing", name, err)
}
