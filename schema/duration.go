package schema

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// ParseDuration reads a length of time such as 90s, 1h30m, 7d or 2w: numbers,
// each with a unit out of ms, s, m, h, d (24 hours) and w (7 days). A negative
// one is an error.
func ParseDuration(s string) (time.Duration, error) {
	bad := func(why string) (time.Duration, error) {
		return 0, fmt.Errorf(`%q is not a length of time: %s; write for example "90s", "1h30m", "7d" or "2w"`, s, why)
	}
	rest := strings.TrimSpace(s)
	switch {
	case rest == "":
		return bad("it is empty")
	case rest == "0":
		return 0, nil
	case rest[0] == '-':
		return bad("it is negative")
	}
	total := 0.0
	for rest != "" {
		n := strings.IndexFunc(rest, func(r rune) bool { return (r < '0' || r > '9') && r != '.' })
		if n < 0 {
			return bad("the unit is missing after " + rest)
		}
		if n == 0 {
			return bad(fmt.Sprintf("a number is missing before %q", rest))
		}
		value, err := strconv.ParseFloat(rest[:n], 64)
		if err != nil {
			return bad(fmt.Sprintf("%q is not a number", rest[:n]))
		}
		rest = rest[n:]
		u := strings.IndexFunc(rest, func(r rune) bool { return r >= '0' && r <= '9' || r == '.' })
		if u < 0 {
			u = len(rest)
		}
		unit, ok := durationUnit(strings.TrimSpace(rest[:u]))
		if !ok {
			return bad(fmt.Sprintf("%q is not a unit of time", rest[:u]))
		}
		rest = rest[u:]
		total += value * float64(unit)
	}
	if total >= math.MaxInt64 {
		return bad("it is too long")
	}
	return time.Duration(math.Round(total)), nil
}

func durationUnit(name string) (time.Duration, bool) {
	switch name {
	case "ms":
		return time.Millisecond, true
	case "s", "sec":
		return time.Second, true
	case "m", "min":
		return time.Minute, true
	case "h":
		return time.Hour, true
	case "d":
		return 24 * time.Hour, true
	case "w":
		return 7 * 24 * time.Hour, true
	}
	return 0, false
}
