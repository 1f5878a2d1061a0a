package codec

import (
	"bufio"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
)

// readAhead is how much is read of a source at once.
const readAhead = 64 << 10

// Reader gives the plain content of an object that r gives, of one of Extensions. An
// object that is damaged gives a *DamagedError in place of io.EOF or before it, never
// a shorter content that ends as if it were whole; only plain files (the extension
// "") bear nothing to tell it by. An error of r passes through. One that nothing
// here can open gives a *NoIdentityError, at once. Closing it does not close r.
func (c *Codec) Reader(r io.Reader, ext string) (io.ReadCloser, error) {
	plain := ext
	if Encrypted(ext) {
		plain = ext[:len(ext)-len(ageExt)]
	}
	pool, ok := c.read[plain]
	if !ok {
		return nil, fmt.Errorf("objects of the kind %q can't be read: this program knows %q", ext, Extensions())
	}
	src := &source{r: r}
	out := &reader{src: src, pool: pool, unsummed: ext == ""}
	if ext == "" {
		out.plain = src
		return out, nil
	}
	ahead, ok := c.ahead.Get().(*bufio.Reader)
	if !ok {
		ahead = bufio.NewReaderSize(nil, readAhead)
	}
	ahead.Reset(src)
	out.codec, out.ahead = c, ahead
	payload := io.Reader(ahead)
	if Encrypted(ext) {
		dec, sum, err := c.decrypt(payload)
		if err != nil {
			return nil, out.explain(err)
		}
		payload = dec
		if sum != nil {
			out.hash, out.sum = sha256.New(), *sum
		}
	}
	if ext == pairExt {
		start, _ := ahead.Peek(announcementSize) // an error comes again when the content is read
		out.size, out.sized = announced(start)
	}
	if !Encrypted(ext) {
		out.unsummed = !hasSum(ahead, plain)
	}
	packed := &source{r: payload}
	out.plain, out.payload = packed, packed
	if pool.decoder != nil {
		dec, err := take(&pool.decoders, pool.decoder)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", pool.name, err)
		}
		if err := dec.reset(packed); err != nil {
			return nil, out.explain(err)
		}
		out.dec, out.plain = dec, dec
	}
	return out, nil
}

// source remembers how reading the stored object went: decoders change errors, and
// some take an empty source for an empty file.
type source struct {
	r     io.Reader
	some  bool // it gave something
	fault error
}

func (s *source) Read(b []byte) (int, error) {
	n, err := s.r.Read(b)
	s.some = s.some || n > 0
	if err != nil && err != io.EOF && s.fault == nil {
		s.fault = err
	}
	return n, err
}

type reader struct {
	codec   *Codec
	src     *source
	ahead   *bufio.Reader // of the source
	payload *source       // what the decoder reads: the source, decrypted
	plain   io.Reader     // the content
	pool    *pooled
	dec     decoder   // nil: no compression
	size    uint64    // of the content, when sized
	sized   bool      // the object announces its size
	given   uint64    // of the content by now
	hash    hash.Hash // of the content, when the header has its sum
	sum     [32]byte
	err     error // of an earlier call

	unsummed bool // the object has no checksum of its content
}

func (r *reader) Read(b []byte) (int, error) {
	if r.err != nil {
		return 0, r.err
	}
	n, err := r.plain.Read(b)
	r.given += uint64(n)
	if r.hash != nil {
		r.hash.Write(b[:n])
	}
	switch {
	case err == nil:
		return n, nil
	case err == io.EOF:
		r.err = r.end()
	default:
		r.err = r.explain(err)
	}
	return n, r.err
}

// end is the error that the content ends with: io.EOF once everything has been checked.
func (r *reader) end() error {
	switch {
	case r.src.fault != nil:
		return r.explain(r.src.fault)
	case r.payload == nil:
		return io.EOF // a plain file
	}
	// Decoders that know their end leave the last of the decryption unread.
	n, err := io.ReadFull(r.payload, make([]byte, 1))
	switch {
	case n > 0:
		return &DamagedError{errTrailing}
	case err != io.EOF:
		return r.explain(err)
	case r.dec != nil && !r.payload.some:
		return &DamagedError{errCutShort}
	case r.sized && r.given < r.size:
		return &DamagedError{errCutShort}
	case r.sized && r.given > r.size:
		return &DamagedError{errTrailing}
	case r.hash != nil && [32]byte(r.hash.Sum(nil)) != r.sum:
		return &DamagedError{errors.New("its content is not of the checksum in its header")}
	}
	r.release()
	return io.EOF
}

// explain tells a source that failed from an object that is damaged. An error of this
// kind never is io.ErrUnexpectedEOF, which io.ReadFull gives at the ordinary end of a
// short file.
func (r *reader) explain(err error) error {
	var none *NoIdentityError
	var file *identityFileError
	switch {
	case errors.As(err, &none), errors.As(err, &file):
		return err
	case errors.Is(r.src.fault, io.ErrUnexpectedEOF):
		return fmt.Errorf("reading the stored object: the connection or file ended early (%v)", r.src.fault)
	case r.src.fault != nil:
		return fmt.Errorf("reading the stored object: %w", r.src.fault)
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return &DamagedError{errCutShort}
	}
	return &DamagedError{err}
}

// release keeps a decoder that came to its end for the next object.
func (r *reader) release() {
	r.ahead.Reset(nil)
	r.codec.ahead.Put(r.ahead)
	if r.dec != nil && r.dec.reset(nil) == nil {
		r.pool.decoders.Put(r.dec)
	}
	r.dec, r.ahead, r.plain, r.payload = nil, nil, nil, nil
}

// Close ends reading. A decoder that was left in the middle of a file is not used again.
func (r *reader) Close() error {
	if r.err == nil {
		r.err = errEnded
	}
	return nil
}
