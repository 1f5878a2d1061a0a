package schema

import (
	"crypto/subtle"
	"fmt"
	"io"
)

// Redacted is what stands where a sensitive value would.
const Redacted = "(sensitive value)"

// Secret is a value that is never printed, logged or put into a plan: every
// way of formatting or marshalling it gives Redacted.
//
// The value lies behind a pointer, because fmt stops asking for methods once it
// reports a wrong verb, and then prints the fields.
type Secret struct{ value *string }

// NewSecret wraps a sensitive value.
func NewSecret(v string) Secret { return Secret{&v} }

// Reveal gives the value itself, for the one place that needs it.
func (s Secret) Reveal() string {
	if s.value == nil {
		return ""
	}
	return *s.value
}

// IsZero says that no value was given.
func (s Secret) IsZero() bool { return s.Reveal() == "" }

// Equal compares two secrets in constant time.
func (s Secret) Equal(o Secret) bool {
	return subtle.ConstantTimeCompare([]byte(s.Reveal()), []byte(o.Reveal())) == 1
}

// String is Redacted.
func (s Secret) String() string { return Redacted }

// Format writes Redacted for every verb of package fmt, so that none leaks.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, Redacted) }

// MarshalText is Redacted, so that JSON leaks nothing.
func (s Secret) MarshalText() ([]byte, error) { return []byte(Redacted), nil }
