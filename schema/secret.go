package schema

import "crypto/subtle"

// Redacted is what stands where a sensitive value would.
const Redacted = "(sensitive value)"

// Secret is a value that is never printed, logged or put into a plan: every
// way of formatting or marshalling it gives Redacted.
type Secret struct{ value string }

// NewSecret wraps a sensitive value.
func NewSecret(v string) Secret { return Secret{v} }

// Reveal gives the value itself, for the one place that needs it.
func (s Secret) Reveal() string { return s.value }

// IsZero says that no value was given.
func (s Secret) IsZero() bool { return s.value == "" }

// Equal compares two secrets in constant time.
func (s Secret) Equal(o Secret) bool {
	return subtle.ConstantTimeCompare([]byte(s.value), []byte(o.value)) == 1
}

// String is Redacted, so that %v and %s leak nothing.
func (s Secret) String() string { return Redacted }

// GoString is Redacted, so that %#v leaks nothing.
func (s Secret) GoString() string { return Redacted }

// MarshalText is Redacted, so that JSON leaks nothing.
func (s Secret) MarshalText() ([]byte, error) { return []byte(Redacted), nil }
