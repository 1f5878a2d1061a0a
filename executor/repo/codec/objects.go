package codec

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"filippo.io/age"
)

// Encrypts says whether objects are encrypted: whether the target has recipients.
func (c *Codec) Encrypts() bool { return len(c.wrap) > 0 }

// Encryption is what the names of objects end in that Encrypt gives: ".age" or "".
func (c *Codec) Encryption() string {
	if c.Encrypts() {
		return ageExt
	}
	return ""
}

// Compression is the name of the method that objects are compressed with, such as "zstd".
func (c *Codec) Compression() string { return c.write.name }

// Encrypt gives what r gives, encrypted where the target has recipients, in the ordinary
// form of age. Nothing is compressed, and the header bears no checksum.
func (c *Codec) Encrypt(r io.Reader) (io.Reader, error) {
	if !c.Encrypts() {
		return r, nil
	}
	out, err := age.EncryptReader(r, c.wrap...)
	if err != nil {
		return nil, fmt.Errorf("encrypting: %w", err)
	}
	return out, nil
}

// untilEnd remembers that all was read: age's errors don't tell.
type untilEnd struct {
	r     io.Reader
	ended bool
}

func (u *untilEnd) Read(b []byte) (int, error) {
	n, err := u.r.Read(b)
	u.ended = u.ended || err != nil
	return n, err
}

// Seal is the header of an encrypted object that a key here opens.
type Seal struct {
	header []byte
	key    age.Identity
}

// Size is that of the header in bytes: what is encrypted follows it.
func (s *Seal) Size() int64 { return int64(len(s.header)) }

// OpenSeal reads the header that an encrypted object begins with, from start, which may
// end anywhere behind it; io.ErrUnexpectedEOF says that it ends in it. No key that opens
// it is a *NoIdentityError.
func (c *Codec) OpenSeal(start []byte) (*Seal, error) {
	r := &untilEnd{r: bytes.NewReader(start)}
	header, err := age.ExtractHeader(r)
	switch {
	case err != nil && r.ended:
		return nil, io.ErrUnexpectedEOF
	case err != nil:
		return nil, &DamagedError{err}
	}
	keys, err := c.keyring()
	if err != nil {
		return nil, err
	}
	key, err := age.DecryptHeader(header, keys)
	var noMatch *age.NoIdentityMatchError
	switch {
	case errors.As(err, &noMatch):
		return nil, c.noIdentity()
	case err != nil:
		return nil, &DamagedError{err}
	}
	return &Seal{header, age.NewInjectedFileKeyIdentity(key)}, nil
}

// ReaderAt gives the plain content of the object whose header it is, and its size, by
// what src reads of the encrypted one, which has size bytes. At once it reads the header
// again, a few bytes behind it, and the last 64 KiB, by whose presence it knows the end.
func (s *Seal) ReaderAt(src io.ReaderAt, size int64) (io.ReaderAt, int64, error) {
	return age.DecryptReaderAt(src, size, s.key)
}
