package codec

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"

	"filippo.io/age"
	"filippo.io/age/agessh"
)

// sumStanza is the type of the stanza in the header of encrypted objects that has the
// SHA-256 of the plain content, in hex, as its one argument. age ignores stanzas of
// unknown types (https://c2sp.org/age), and authenticates them with all others.
const sumStanza = "pg_manage-sha256"

// maxRecipients bounds what a header can grow to.
const maxRecipients = 100

// parseRecipients reads public keys, and makes sure that all can be used together.
func parseRecipients(keys []string) ([]age.Recipient, error) {
	if len(keys) > maxRecipients {
		return nil, fmt.Errorf("%d recipients are too many: at most %d can be", len(keys), maxRecipients)
	}
	var all []age.Recipient
	for _, key := range keys {
		r, err := parseRecipient(strings.TrimSpace(key))
		if err != nil {
			return nil, err
		}
		all = append(all, r)
	}
	if len(all) > 0 {
		// age tells of recipients that exclude each other, such as post-quantum and older ones, here.
		if _, err := age.Encrypt(io.Discard, withSum(all, [32]byte{})...); err != nil {
			return nil, fmt.Errorf("the recipients can't be used: %w", err)
		}
	}
	return all, nil
}

func parseRecipient(key string) (age.Recipient, error) {
	// A private key that got here by mistake must not be shown.
	if upper := strings.ToUpper(key); strings.HasPrefix(upper, "AGE-SECRET-KEY-") || strings.Contains(upper, "PRIVATE KEY") {
		return nil, errors.New("a recipient is a private key, which does not belong here: write its public key, which `age-keygen -y` or `ssh-keygen -y` prints")
	}
	var r age.Recipient
	var err error
	switch {
	case strings.HasPrefix(key, "age1pq1"):
		r, err = age.ParseHybridRecipient(key)
	case strings.HasPrefix(key, "age1"):
		r, err = age.ParseX25519Recipient(key)
	case strings.HasPrefix(key, "ssh-"):
		r, err = agessh.ParseRecipient(key)
	default:
		err = errors.New("its kind is unknown")
	}
	if err != nil {
		return nil, fmt.Errorf("%q is no recipient: %w (write a public key: age1..., age1pq1..., ssh-ed25519 ... or ssh-rsa ...)", key, err)
	}
	return r, nil
}

// withSum gives recipients that put sum into the header beside their own stanzas.
func withSum(all []age.Recipient, sum [32]byte) []age.Recipient {
	return append([]age.Recipient{summed{all[0], sum}}, all[1:]...)
}

// summed is a recipient that adds the stanza of a checksum.
type summed struct {
	age.Recipient
	sum [32]byte
}

func (s summed) stanza() *age.Stanza {
	return &age.Stanza{Type: sumStanza, Args: []string{hex.EncodeToString(s.sum[:])}}
}

// Wrap is part of age.Recipient.
func (s summed) Wrap(fileKey []byte) ([]*age.Stanza, error) {
	all, _, err := s.WrapWithLabels(fileKey)
	return all, err
}

// WrapWithLabels is part of age.RecipientWithLabels: labels say which recipients may share a file.
func (s summed) WrapWithLabels(fileKey []byte) (all []*age.Stanza, labels []string, err error) {
	if r, ok := s.Recipient.(age.RecipientWithLabels); ok {
		all, labels, err = r.WrapWithLabels(fileKey)
	} else {
		all, err = s.Recipient.Wrap(fileKey)
	}
	return append([]*age.Stanza{s.stanza()}, all...), labels, err
}

// sumOf is the checksum in a stanza.
func sumOf(args []string) (sum [32]byte, err error) {
	if len(args) == 1 && len(args[0]) == hex.EncodedLen(len(sum)) {
		if _, err := hex.Decode(sum[:], []byte(args[0])); err == nil {
			return sum, nil
		}
	}
	return sum, errors.New("the checksum in its header is none")
}
