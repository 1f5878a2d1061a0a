package codec

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"

	"filippo.io/age"
)

var errChanged = errors.New("the content is not what its checksum was taken of: it changed while it was being stored")

// Writer gives what turns plain content into an object with c's Extension, written to
// w. sum is the SHA-256 of the plain content, which must be known before; it is used
// only when encrypting. Close ends the object, and nothing is whole before it
// returned nil; it does not close w. A writer that is given up need not be closed.
func (c *Codec) Writer(w io.Writer, sum [32]byte) (io.WriteCloser, error) {
	out := &writer{pool: c.write, sum: sum, dst: w}
	if len(c.wrap) > 0 {
		enc, err := age.Encrypt(w, withSum(c.wrap, sum)...)
		if err != nil {
			return nil, fmt.Errorf("encrypting: %w", err)
		}
		out.age, out.dst, out.hash = enc, enc, sha256.New()
	}
	if c.write.encoder != nil {
		enc, err := take(&c.write.encoders, c.write.encoder)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c.write.name, err)
		}
		enc.Reset(out.dst)
		out.enc, out.dst = enc, enc
	}
	return out, nil
}

type writer struct {
	pool *pooled
	dst  io.Writer      // the first of the stages
	enc  encoder        // nil: no compression
	age  io.WriteCloser // nil: no encryption
	hash hash.Hash      // of the plain content, when encrypting
	sum  [32]byte
	err  error // of an earlier call
}

func (w *writer) Write(b []byte) (int, error) {
	if w.err != nil {
		return 0, w.err
	}
	n, err := w.dst.Write(b)
	if err != nil {
		w.err = err
		return n, err
	}
	if w.hash != nil {
		w.hash.Write(b)
	}
	return n, nil
}

// ReadFrom spares a copy where the content goes into an encoder that can read by itself.
func (w *writer) ReadFrom(r io.Reader) (int64, error) {
	from, ok := w.dst.(io.ReaderFrom)
	if w.err != nil || !ok || w.hash != nil {
		return io.Copy(struct{ io.Writer }{w}, r)
	}
	n, err := from.ReadFrom(r)
	if err != nil {
		w.err = err
	}
	return n, err
}

func (w *writer) Close() error {
	switch w.err {
	case nil:
	case errEnded:
		return nil
	default:
		return w.err
	}
	if w.err = w.close(); w.err != nil {
		return w.err
	}
	w.err = errEnded
	return nil
}

func (w *writer) close() error {
	// Checked before anything is ended, so that such an object can't pass for a whole one.
	if w.hash != nil && [32]byte(w.hash.Sum(nil)) != w.sum {
		return errChanged
	}
	if w.enc != nil {
		if err := w.enc.Close(); err != nil {
			return err
		}
		w.enc.Reset(nil)
		w.pool.encoders.Put(w.enc)
		w.enc, w.dst = nil, nil
	}
	if w.age != nil {
		return w.age.Close()
	}
	return nil
}
