package catalog

import (
	"context"
	"errors"
	"fmt"
	"io"

	"pg_manage/executor/repo/codec"
)

// Open gives an object of a backup as it was before encryption, from its start. What is
// encrypted for others gives a *codec.NoIdentityError; damage of an encrypted one, a
// *codec.DamagedError in place of its end or before.
func (c *Catalog) Open(ctx context.Context, label, name string) (io.ReadCloser, error) {
	r, err := c.open(ctx, label, name)
	if err != nil {
		return nil, c.fail("reading "+name+" of", label, err)
	}
	return r, nil
}

func (c *Catalog) open(ctx context.Context, label, name string) (io.ReadCloser, error) {
	if err := errors.Join(checkLabel(label), checkObjectName(name)); err != nil {
		return nil, err
	}
	raw, err := c.d.Open(ctx, c.path(label, name))
	if err != nil || !codec.Encrypted(name) {
		return raw, err
	}
	plain, err := c.codec.Reader(raw, ageExt)
	if err != nil {
		return nil, errors.Join(err, raw.Close())
	}
	return &opened{plain, raw}, nil
}

// ageExt is the extension of objects that are encrypted and nothing else.
const ageExt = ".age"

type opened struct {
	io.ReadCloser
	raw io.Closer
}

func (o *opened) Close() error { return errors.Join(o.ReadCloser.Close(), o.raw.Close()) }

// Reader reads parts of an object. Its methods may be called by several goroutines at once.
type Reader struct {
	c           *Catalog
	label, name string
	stored      int64  // size as stored
	size        int64  // before encryption
	sealed      *seals // nil: not encrypted
}

// Object gives a reader of an object, which is described by backup.json. Of an encrypted
// one the header and the end are read and checked at once; when no key here opens it
// the error is a *codec.NoIdentityError.
func (c *Catalog) Object(ctx context.Context, label string, o Object) (*Reader, error) {
	r := &Reader{c: c, label: label, name: o.Name, stored: o.Size, size: o.Size}
	err := errors.Join(checkLabel(label), checkObjectName(o.Name))
	if err == nil && codec.Encrypted(o.Name) {
		r.sealed, r.size, err = r.unseal(ctx)
	}
	if err != nil {
		return nil, c.fail("reading "+o.Name+" of", label, err)
	}
	return r, nil
}

// Size is that of the object before encryption, in bytes.
func (r *Reader) Size() int64 { return r.size }

// Range gives n bytes of the object before encryption, from off on, and then io.EOF. The
// rest of the object is not read, save the rest of what is encrypted together (64 KiB).
// One that ends before gives io.ErrUnexpectedEOF after what it has.
func (r *Reader) Range(ctx context.Context, off, n int64) (io.ReadCloser, error) {
	fail := func(err error) error { return r.c.fail("reading "+r.name+" of", r.label, err) }
	if r.sealed == nil {
		got, err := r.c.d.OpenRange(ctx, r.path(), off, n)
		if err != nil {
			return nil, fail(err)
		}
		return got, nil
	}
	got, err := r.decrypt(ctx, off, n)
	if err != nil {
		return nil, fail(err)
	}
	return &failing{got, func(err error) error { return fail(fmt.Errorf("at %d: %w", off, err)) }}, nil
}

func (r *Reader) path() string { return r.c.path(r.label, r.name) }

// failing says where reading failed.
type failing struct {
	io.ReadCloser
	fail func(error) error
}

func (f *failing) Read(b []byte) (int, error) {
	n, err := f.ReadCloser.Read(b)
	if err != nil && err != io.EOF {
		err = f.fail(err)
	}
	return n, err
}
