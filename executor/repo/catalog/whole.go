package catalog

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"pg_manage/executor/repo/codec"
)

// Whole gives an object as Open does, and compares what is stored with what backup.json says
// of it: another size or SHA-256 gives a *codec.DamagedError in place of io.EOF.
func (c *Catalog) Whole(ctx context.Context, label string, o Object) (io.ReadCloser, error) {
	fail := func(err error) error { return c.fail("reading "+o.Name+" of", label, err) }
	if err := errors.Join(checkLabel(label), checkObjectName(o.Name)); err != nil {
		return nil, fail(err)
	}
	raw, err := c.d.Open(ctx, c.path(label, o.Name))
	if err != nil {
		return nil, fail(err)
	}
	w := &whole{o: o, stored: &summed{r: raw, hash: sha256.New()}, raw: raw}
	w.plain = w.stored
	if codec.Encrypted(o.Name) {
		plain, err := c.codec.Reader(w.stored, ageExt)
		if err != nil {
			return nil, fail(errors.Join(w.why(err), raw.Close()))
		}
		w.plain, w.opened = plain, plain
	}
	return &failing{w, fail}, nil
}

type whole struct {
	o      Object
	stored *summed
	plain  io.Reader
	opened io.Closer // nil: not encrypted
	raw    io.Closer
}

func (w *whole) Read(b []byte) (int, error) {
	n, err := w.plain.Read(b)
	if err != io.EOF {
		return n, err
	}
	if err := w.check(); err != nil {
		return n, err
	}
	return n, io.EOF
}

// check compares all that is stored with backup.json.
func (w *whole) check() error {
	if w.stored.size != w.o.Size {
		return &codec.DamagedError{Err: fmt.Errorf("it has %d bytes, and backup.json says %d", w.stored.size, w.o.Size)}
	}
	if sum := hex.EncodeToString(w.stored.hash.Sum(nil)); sum != w.o.SHA256 {
		return &codec.DamagedError{Err: fmt.Errorf("its SHA-256 is %s, and backup.json says %s", sum, w.o.SHA256)}
	}
	return nil
}

// why tells an object that no key opens since its header was damaged from one that is
// encrypted for others, which reading it does not show.
func (w *whole) why(err error) error {
	var none *codec.NoIdentityError
	if !errors.As(err, &none) {
		return err
	}
	if _, rerr := io.Copy(io.Discard, w.stored); rerr != nil {
		return err
	}
	if bad := w.check(); bad != nil {
		return bad
	}
	return err
}

// Close ends reading.
func (w *whole) Close() error {
	if w.opened != nil {
		return errors.Join(w.opened.Close(), w.raw.Close())
	}
	return w.raw.Close()
}
