package postgres

import (
	"fmt"
	"strconv"
	"strings"
)

// LSN is a byte position in the write-ahead log (PostgreSQL manual, "pg_lsn Type").
type LSN uint64

// Timeline numbers a branch of a cluster's history, from 1 up
// (PostgreSQL manual, "Continuous Archiving", section "Timelines").
type Timeline uint32

// ParseLSN reads the text form of an LSN, two hexadecimal numbers with a slash
// between them, such as 73A/27403A08.
func ParseLSN(s string) (LSN, error) {
	hi, lo, ok := strings.Cut(s, "/")
	if ok && len(hi) >= 1 && len(hi) <= 8 && len(lo) >= 1 && len(lo) <= 8 {
		h, err1 := strconv.ParseUint(hi, 16, 32)
		l, err2 := strconv.ParseUint(lo, 16, 32)
		if err1 == nil && err2 == nil {
			return LSN(h<<32 | l), nil
		}
	}
	return 0, fmt.Errorf("%q is not an LSN: want two hexadecimal numbers such as 73A/27403A08", s)
}

// String is the form PostgreSQL prints: 73A/27403A08.
func (l LSN) String() string { return fmt.Sprintf("%X/%X", uint32(l>>32), uint32(l)) }

// MarshalText makes JSON show the text form.
func (l LSN) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// UnmarshalText reads the text form.
func (l *LSN) UnmarshalText(b []byte) error {
	v, err := ParseLSN(string(b))
	if err == nil {
		*l = v
	}
	return err
}
