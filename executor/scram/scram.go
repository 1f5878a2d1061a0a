// Package scram prepares passwords for SCRAM-SHA-256 as PostgreSQL does.
package scram

import (
	"unicode/utf8"

	"github.com/xdg-go/stringprep"
)

// Prepare gives the form of a password that both PostgreSQL and libpq hash: SASLprep
// (RFC 4013), so that the same letters typed on two systems are the same password.
// Plain ASCII stays as it is. So does, as in PostgreSQL, what SASLprep refuses and
// what is no UTF-8 (saslprep.c, pg_saslprep).
func Prepare(password string) string {
	ascii := true
	for i := range len(password) {
		ascii = ascii && password[i] < utf8.RuneSelf
	}
	if ascii || !utf8.ValidString(password) {
		return password
	}
	p, err := stringprep.SASLprep.Prepare(password)
	if err != nil || p == "" {
		return password
	}
	return p
}
