package postgres

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// unitScale gives the units in which a parameter of a base unit may be written, each
// as a multiple of the base unit, from the largest down (guc.c, the tables of unit
// conversion). The order matters: a fraction is rounded to the next smaller unit.
type unitScale struct {
	unit string
	mult float64
}

func unitsOf(base string) ([]unitScale, error) {
	switch base {
	case "ms", "s", "min":
		us := map[string]float64{"ms": 1e3, "s": 1e6, "min": 60e6}[base]
		scale := []unitScale{{"d", 86400e6}, {"h", 3600e6}, {"min", 60e6}, {"s", 1e6}, {"ms", 1e3}, {"us", 1}}
		for i := range scale {
			scale[i].mult /= us
		}
		return scale, nil
	}
	// A memory unit: B, kB, MB, or a block size such as 8kB or 16MB.
	digits, name := cutDigits(base)
	n := 1.0
	if digits != "" {
		v, err := strconv.ParseFloat(digits, 64)
		if err != nil || v == 0 {
			return nil, fmt.Errorf("unknown base unit %q", base)
		}
		n = v
	}
	scale := []unitScale{{"TB", 1 << 40}, {"GB", 1 << 30}, {"MB", 1 << 20}, {"kB", 1 << 10}, {"B", 1}}
	for _, u := range scale {
		if u.unit == name {
			bytes := n * u.mult
			for i := range scale {
				scale[i].mult /= bytes
			}
			return scale, nil
		}
	}
	return nil, fmt.Errorf("unknown base unit %q", base)
}

// toBase converts a number with a unit to the base unit of a parameter
// (guc.c, convert_to_base_unit).
func toBase(value float64, unit, base string) (float64, error) {
	if base == "" {
		return 0, fmt.Errorf("this parameter takes no unit, so %q is out of place", unit)
	}
	scale, err := unitsOf(base)
	if err != nil {
		return 0, err
	}
	var names []string
	for i, u := range scale {
		if u.unit == unit {
			v := value * u.mult
			if i+1 < len(scale) {
				v = math.RoundToEven(v/scale[i+1].mult) * scale[i+1].mult
			}
			return v, nil
		}
		names = append([]string{u.unit}, names...)
	}
	return 0, fmt.Errorf("unknown unit %q: valid units are %s (in this spelling)", unit, strings.Join(names, ", "))
}

// parseSettingInt reads an integer parameter (guc.c, parse_int): decimal, hexadecimal
// or octal as in C, or a fraction, with or without a unit.
func parseSettingInt(s, base string) (int32, error) {
	v, rest, err := cInteger(s)
	if err != nil || (rest != "" && strings.ContainsAny(rest[:1], ".eE")) {
		if v, rest, err = cFloat(s); err != nil {
			return 0, errors.New("want an integer")
		}
	}
	if rest = strings.Trim(rest, cSpace); rest != "" {
		if v, err = toBase(v, rest, base); err != nil {
			return 0, err
		}
	}
	v = math.RoundToEven(v)
	if v > math.MaxInt32 || v < math.MinInt32 || math.IsNaN(v) {
		return 0, errors.New("value exceeds the range of an integer")
	}
	return int32(v), nil
}

// parseSettingReal reads a floating-point parameter (guc.c, parse_real).
func parseSettingReal(s, base string) (float64, error) {
	v, rest, err := cFloat(s)
	if err != nil {
		return 0, errors.New("want a number")
	}
	if rest = strings.Trim(rest, cSpace); rest != "" {
		return toBase(v, rest, base)
	}
	return v, nil
}

// formatReal prints as C's %g does, which is how pg_settings shows a real.
func formatReal(v float64) string {
	if v == 0 {
		return "0"
	}
	return strconv.FormatFloat(roundDigits(v), 'g', -1, 64)
}

// roundDigits keeps six significant digits, the precision of %g.
func roundDigits(v float64) float64 {
	r, err := strconv.ParseFloat(strconv.FormatFloat(v, 'e', 5, 64), 64)
	if err != nil {
		return v
	}
	return r
}

const cSpace = " \t\n\v\f\r"

// cInteger is strtol(s, &rest, 0).
func cInteger(s string) (v float64, rest string, err error) {
	t := strings.TrimLeft(s, cSpace)
	sign := ""
	if t != "" && (t[0] == '-' || t[0] == '+') {
		sign, t = strings.Trim(t[:1], "+"), t[1:]
	}
	base, digits := 10, "0123456789"
	switch {
	case len(t) > 2 && (t[:2] == "0x" || t[:2] == "0X") && strings.ContainsAny(t[2:3], "0123456789abcdefABCDEF"):
		base, digits, t = 16, "0123456789abcdefABCDEF", t[2:]
	case len(t) > 0 && t[0] == '0':
		base, digits = 8, "01234567"
	}
	n := len(t) - len(strings.TrimLeft(t, digits))
	i, err := strconv.ParseInt(sign+t[:n], base, 64)
	return float64(i), t[n:], err
}

// cFloat is strtod for decimal numbers: the longest beginning that is a number.
func cFloat(s string) (v float64, rest string, err error) {
	t := strings.TrimLeft(s, cSpace)
	i := 0
	digits := func() bool {
		from := i
		for i < len(t) && t[i] >= '0' && t[i] <= '9' {
			i++
		}
		return i > from
	}
	if i < len(t) && (t[i] == '-' || t[i] == '+') {
		i++
	}
	whole, fraction := digits(), false
	if i < len(t) && t[i] == '.' {
		i++
		fraction = digits()
	}
	if !whole && !fraction {
		return 0, s, errors.New("no number")
	}
	if i < len(t) && (t[i] == 'e' || t[i] == 'E') {
		end := i
		i++
		if i < len(t) && (t[i] == '-' || t[i] == '+') {
			i++
		}
		if !digits() {
			i = end
		}
	}
	v, err = strconv.ParseFloat(t[:i], 64)
	return v, t[i:], err
}

// ShowSetting is a live value as SHOW prints it: in the largest unit that leaves a
// whole number (guc.c, convert_int_from_base_unit). Values that mean something of
// their own (-1, 0) and values without a unit stay as they are.
func ShowSetting(s Setting) string {
	v, err := strconv.ParseInt(s.Value, 10, 64)
	if err != nil || v <= 0 || s.Unit == "" {
		return s.Value
	}
	scale, err := unitsOf(s.Unit)
	if err != nil {
		return s.Value + " x " + s.Unit
	}
	for _, u := range scale {
		n := float64(v) / u.mult
		if n >= 1 && n == math.Trunc(n) {
			return strconv.FormatFloat(n, 'f', -1, 64) + u.unit
		}
	}
	return s.Value + " x " + s.Unit
}
