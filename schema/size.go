package schema

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// ParseSize reads a number of bytes such as 256MB or 1.5TB: a number with one of
// PostgreSQL's units kB, MB, GB and TB, each 1024 of the one before (PostgreSQL
// manual, "Parameter Names and Values"). Nothing and less than a byte are errors.
func ParseSize(s string) (int64, error) {
	bad := func(why string) (int64, error) {
		return 0, fmt.Errorf(`%q is not a size: %s; write for example "256MB" or "50GB"`, s, why)
	}
	text := strings.TrimSpace(s)
	if text == "" {
		return bad("it is empty")
	}
	if text[0] == '-' {
		return bad("it is negative")
	}
	n := strings.IndexFunc(text, func(r rune) bool { return (r < '0' || r > '9') && r != '.' })
	switch n {
	case -1:
		return bad("the unit is missing after " + text)
	case 0:
		return bad("it does not begin with a number")
	}
	value, err := strconv.ParseFloat(text[:n], 64)
	if err != nil {
		return bad(fmt.Sprintf("%q is not a number", text[:n]))
	}
	unit, hint := sizeUnit(strings.TrimSpace(text[n:]))
	if unit == 0 {
		return bad(hint)
	}
	total := math.Round(value * unit)
	switch {
	case total >= math.MaxInt64:
		return bad("it is too large")
	case total < 1:
		return bad("it is nothing")
	}
	return int64(total), nil
}

// sizeUnit is 0 for what is no unit, with what is wrong.
func sizeUnit(name string) (unit float64, hint string) {
	for i, u := range []string{"kB", "MB", "GB", "TB"} {
		switch {
		case name == u:
			return math.Pow(1024, float64(i+1)), ""
		case strings.EqualFold(name, u), strings.EqualFold(name, u[:1]), strings.EqualFold(name, u[:1]+"iB"):
			return 0, fmt.Sprintf("the unit is written %s", u)
		}
	}
	return 0, fmt.Sprintf("%q is not a unit of size (kB, MB, GB, TB)", name)
}
