// Package codec is how files are kept at a backup target: compressed, and encrypted
// for age recipients where the target has some.
//
// A stored name tells it: the plain name, then ".zst", ".lz4", ".gz" or nothing, then
// ".age" when encrypted. Each form is the ordinary one of its program: `age -d`, and
// `zstd -d`, `lz4 -d` or `gzip -d`, give the content back without this package.
//
// An encrypted object names the SHA-256 of its plain content in its header (see
// StoredSum), so that a node which can only encrypt knows what is stored already.
//
// A ".zst" object may consist of two frames, behind one that announces the size of the
// content (see Codec.Encode), so that a cut between the two is damage as any other.
package codec

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"filippo.io/age"
)

// Settings say how objects are written. What is written otherwise can be read all the same.
type Settings struct {
	// Compression is "zstd", which "" means too, "lz4", "gzip" or "none".
	Compression string
	// Recipients are the public keys that objects are encrypted for: age's own
	// ("age1...", or the post-quantum "age1pq1...") or SSH's ("ssh-ed25519 ...",
	// "ssh-rsa ..."). With none nothing is encrypted.
	Recipients []string
}

const ageExt = ".age"

// method is one way of compressing.
type method struct {
	name, ext string
	encoder   func() (encoder, error)
	decoder   func() (decoder, error)
}

// methods lists the ways of compressing, the commonest first.
func methods() []method {
	return []method{
		{"zstd", ".zst", newZstdEncoder, newZstdDecoder},
		{"lz4", ".lz4", newLz4Encoder, newLz4Decoder},
		{"gzip", ".gz", newGzipEncoder, newGzipDecoder},
		{"none", "", nil, nil},
	}
}

// Codec writes objects in one form and reads them in all. Its methods may be called by
// several goroutines at once. What a stream needs (some 1 to 10 MB) is kept for
// the next one, so that a Codec ought to live as long as its target does.
type Codec struct {
	recipients []string
	wrap       []age.Recipient // of recipients
	write      *pooled
	read       map[string]*pooled // by extension without .age
	ahead      sync.Pool          // of *bufio.Reader
	encoding   atomic.Int32       // calls of Encode that are under way
	identity   identity
}

// pooled is a method with its idle encoders and decoders.
type pooled struct {
	method
	encoders, decoders sync.Pool
}

// New gives the codec that writes as s says. identityFile holds the private keys that
// open encrypted objects: the file of age-keygen, or an SSH private key without a
// passphrase. It is read when an encrypted object is, and so may be missing on a
// node that only writes; "" is none.
func New(s Settings, identityFile string) (*Codec, error) {
	c := &Codec{recipients: slices.Clone(s.Recipients), read: map[string]*pooled{}, identity: identity{file: identityFile}}
	name := s.Compression
	if name == "" {
		name = "zstd"
	}
	var known []string
	for _, m := range methods() {
		p := &pooled{method: m}
		c.read[m.ext] = p
		if m.name == name {
			c.write = p
		}
		known = append(known, m.name)
	}
	if c.write == nil {
		return nil, fmt.Errorf("%q is no compression: use one of %s", s.Compression, strings.Join(known, ", "))
	}
	var err error
	if c.wrap, err = parseRecipients(s.Recipients); err != nil {
		return nil, err
	}
	return c, nil
}

// Extension is what the names of objects that the codec writes end in, such as
// ".zst", ".zst.age", or "" for plain ones.
func (c *Codec) Extension() string {
	if len(c.wrap) > 0 {
		return c.write.ext + ageExt
	}
	return c.write.ext
}

// Extensions lists all that can be read, the commonest first.
func Extensions() []string {
	var all []string
	for _, m := range methods() {
		all = append(all, m.ext, m.ext+ageExt)
	}
	return all
}

// Split takes a stored name apart: "000000010000000000000001.zst.age" gives
// "000000010000000000000001" and ".zst.age".
func Split(stored string) (plain, ext string) {
	plain, encrypted := strings.CutSuffix(stored, ageExt)
	for _, m := range methods() {
		if p, ok := strings.CutSuffix(plain, m.ext); ok && m.ext != "" {
			plain, ext = p, m.ext
			break
		}
	}
	if encrypted {
		ext += ageExt
	}
	return plain, ext
}

// Encrypted says whether objects of an extension are encrypted.
func Encrypted(ext string) bool { return strings.HasSuffix(ext, ageExt) }

// DamagedError is an object that is not what was stored: cut short, changed, or with
// something behind its end. A source that could not be read is not this error.
type DamagedError struct{ Err error }

func (e *DamagedError) Error() string { return "the stored object is damaged: " + e.Err.Error() }

func (e *DamagedError) Unwrap() error { return e.Err }

var (
	errCutShort = errors.New("it is cut short")
	errTrailing = errors.New("something lies behind its end")
	errEnded    = errors.New("reading or writing went on after the end")
)

// encoder is what the compressors' writers have in common.
type encoder interface {
	io.WriteCloser
	Reset(w io.Writer)
}

// decoder is what the compressors' readers have in common.
type decoder interface {
	io.Reader
	// reset starts over with r; nil lets go of what was read.
	reset(r io.Reader) error
}

func take[T any](pool *sync.Pool, make func() (T, error)) (T, error) {
	if v, ok := pool.Get().(T); ok {
		return v, nil
	}
	return make()
}
