package chain

import (
	"context"
	"errors"
	"fmt"
	"io"

	"pg_manage/executor/basebackup/index"
	"pg_manage/executor/repo/catalog"
	"pg_manage/executor/repo/codec"
	"pg_manage/executor/repo/storage"
)

// DamageError is a backup whose object is not what it should be. An object that could not
// be read, because the target does not answer for instance, is not this error.
type DamageError struct {
	Backup string // its label
	Object string // name of the stored file
	Err    error
}

func (e *DamageError) Error() string {
	return fmt.Sprintf("backup %s is damaged: %s: %v", e.Backup, e.Object, e.Err)
}

func (e *DamageError) Unwrap() error { return e.Err }

func damaged(info *catalog.Info, object, format string, args ...any) error {
	return &DamageError{info.Label, object, fmt.Errorf(format, args...)}
}

// indexReader reads the index of one backup.
type indexReader struct {
	info  *catalog.Info
	src   *stored
	plain io.ReadCloser
	idx   *index.Reader
}

// stored is an object as it comes from the source. Its fault is kept: decoders change errors.
type stored struct {
	ctx   context.Context
	r     io.ReadCloser
	fault error
}

func (s *stored) Read(b []byte) (int, error) {
	if err := s.ctx.Err(); err != nil {
		s.fault = context.Cause(s.ctx)
		return 0, s.fault
	}
	n, err := s.r.Read(b)
	if err != nil && err != io.EOF {
		s.fault = err
	}
	return n, err
}

func openIndex(ctx context.Context, src Source, info *catalog.Info) (*indexReader, error) {
	name := info.Index.Name
	r, err := src.Whole(ctx, info.Label, info.Index)
	var bad *codec.DamagedError
	switch {
	case errors.Is(err, storage.ErrNotExist):
		return nil, damaged(info, name, "it is %w", err)
	case errors.As(err, &bad):
		return nil, damaged(info, name, "%w", bad.Err)
	case err != nil:
		return nil, fmt.Errorf("read backup %s: %s: %w", info.Label, name, err)
	}
	o := &indexReader{info: info, src: &stored{ctx: ctx, r: r}}
	_, ext := codec.Split(name)
	if codec.Encrypted(ext) {
		ext = ext[:len(ext)-len(".age")]
	}
	c, err := codec.New(codec.Settings{}, "")
	if err == nil {
		o.plain, err = c.Reader(o.src, ext)
	}
	if err == nil {
		o.idx, err = index.NewReader(o.plain)
	}
	if err != nil {
		o.close()
		return nil, o.explain(err)
	}
	if h := o.idx.Header; h.Label != info.Label || h.Parent != info.Parent {
		o.close()
		return nil, damaged(info, name, "it is the index of %q, built upon %q, and backup.json names %q as the parent", h.Label, h.Parent, info.Parent)
	}
	return o, nil
}

// next gives the next entry, and io.EOF behind the last.
func (o *indexReader) next() (*index.Entry, error) {
	e, err := o.idx.Next()
	if err == nil || err == io.EOF && o.src.fault == nil {
		return e, err
	}
	return nil, o.explain(err)
}

// explain tells a source that failed from an index that is damaged.
func (o *indexReader) explain(err error) error {
	var bad *codec.DamagedError
	switch {
	case o.src.fault == nil:
		return damaged(o.info, o.info.Index.Name, "%w", err)
	case errors.As(o.src.fault, &bad):
		return damaged(o.info, o.info.Index.Name, "%w", bad.Err)
	}
	return fmt.Errorf("read backup %s: %s: %w", o.info.Label, o.info.Index.Name, o.src.fault)
}

// finish reads to the end, where the source says whether all was as it was stored.
func (o *indexReader) finish() error {
	if _, err := io.Copy(io.Discard, o.plain); err != nil {
		return o.explain(err)
	}
	if _, err := io.Copy(io.Discard, o.src); err != nil {
		return o.explain(err)
	}
	return nil
}

func (o *indexReader) close() {
	if o.plain != nil {
		_ = o.plain.Close() // all was checked while reading
	}
	_ = o.src.r.Close()
}
