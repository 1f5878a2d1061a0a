package codec

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"filippo.io/age"
	"filippo.io/age/agessh"
	"golang.org/x/crypto/ssh"

	"pg_manage/executor/repo/secretfile"
)

// NoIdentityError is an encrypted object for which there is no private key here.
type NoIdentityError struct {
	File       string   // the identities that were tried; "": the target has none
	Recipients []string // of the target
}

func (e *NoIdentityError) Error() string {
	whose := "one of the recipients that the target had when it was stored"
	if len(e.Recipients) > 0 {
		whose += " (now: " + strings.Join(e.Recipients, ", ") + ")"
	}
	if e.File == "" {
		return "the object is encrypted, and the target has no private key here: set the target's age_identity_file to a file on this node with the private key of " + whose
	}
	return fmt.Sprintf("the object is encrypted for others than the keys in %s: add to this file, which is the target's age_identity_file, the private key of %s", e.File, whose)
}

// identity is a file of private keys, which is read once.
type identity struct {
	file string
	mu   sync.Mutex
	keys []age.Identity
}

// identityFileError is an identity file that can't be used.
type identityFileError struct {
	file string
	err  error
}

func (e *identityFileError) Error() string {
	return fmt.Sprintf("the target's age_identity_file %s: %v", e.file, e.err)
}

func (e *identityFileError) Unwrap() error { return e.err }

func (i *identity) load() ([]age.Identity, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.keys == nil {
		keys, err := readIdentities(i.file)
		if err != nil {
			return nil, &identityFileError{i.file, err}
		}
		i.keys = keys
	}
	return i.keys, nil
}

// readIdentities reads private keys. Its errors show nothing of what the file holds.
func readIdentities(file string) ([]age.Identity, error) {
	text, err := secretfile.Read(file)
	if err != nil {
		return nil, err
	}
	if bytes.HasPrefix(bytes.TrimSpace(text), []byte("-----BEGIN ")) {
		return sshIdentity(text)
	}
	keys, err := age.ParseIdentities(bytes.NewReader(text))
	if err != nil {
		return nil, errors.New("it holds something else than age identities (AGE-SECRET-KEY-...), one in each line; a file that is encrypted itself can't be used")
	}
	return keys, nil
}

func sshIdentity(text []byte) ([]age.Identity, error) {
	key, err := agessh.ParseIdentity(text)
	var locked *ssh.PassphraseMissingError
	switch {
	case errors.As(err, &locked):
		return nil, errors.New("the SSH key has a passphrase, which nobody could type when it is needed: use a key without one")
	case err != nil:
		return nil, errors.New("it holds no SSH private key of the kinds ed25519 and RSA without a passphrase")
	}
	return []age.Identity{key}, nil
}

// noIdentity says that none of the keys here opens an object.
func (c *Codec) noIdentity() error { return &NoIdentityError{c.identity.file, c.recipients} }

// keyring gives the keys that are here.
func (c *Codec) keyring() (*keyring, error) {
	if c.identity.file == "" {
		return nil, c.noIdentity()
	}
	keys, err := c.identity.load()
	return &keyring{keys: keys}, err
}

// decrypt gives the payload of an encrypted object, and the checksum in its header, if any.
func (c *Codec) decrypt(r io.Reader) (io.Reader, *[32]byte, error) {
	k, err := c.keyring()
	if err != nil {
		return nil, nil, err
	}
	payload, err := age.Decrypt(r, k)
	var noMatch *age.NoIdentityMatchError
	switch {
	case errors.As(err, &noMatch):
		return nil, nil, c.noIdentity()
	case err != nil:
		return nil, nil, err
	}
	return payload, k.sum, nil
}

// keyring tries keys on a header, and reads the checksum there.
type keyring struct {
	keys []age.Identity
	sum  *[32]byte
}

// Unwrap is part of age.Identity.
func (k *keyring) Unwrap(stanzas []*age.Stanza) ([]byte, error) {
	for _, s := range stanzas {
		if s.Type != sumStanza {
			continue
		}
		sum, err := sumOf(s.Args)
		if err != nil {
			return nil, err
		}
		k.sum = &sum
	}
	for _, key := range k.keys {
		fileKey, err := key.Unwrap(stanzas)
		if !errors.Is(err, age.ErrIncorrectIdentity) {
			return fileKey, err
		}
	}
	return nil, age.ErrIncorrectIdentity
}
