package postgres

import (
	"fmt"
	"strconv"
	"strings"
)

// Version is PostgreSQL's version in the form of the setting server_version_num:
// major * 10000 + minor, such as 170002 for 17.2. Development versions (17devel,
// 17beta1) have the minor number 0.
type Version int

// Major is the major version, such as 17.
func (v Version) Major() int { return int(v) / 10000 }

// Minor is the minor version, such as 2 of 17.2.
func (v Version) Minor() int { return int(v) % 10000 }

// String is the form people write: 17.2.
func (v Version) String() string { return fmt.Sprintf("%d.%d", v.Major(), v.Minor()) }

// ParseVersion reads a version in one of the forms that PostgreSQL prints: "17.2",
// "17beta1", "170002" (server_version_num), "15.18 (Debian 15.18-0+deb12u1)", and
// the output of --version, such as "pg_ctl (PostgreSQL) 15.18". Releases before 10,
// which count in another way, are refused.
func ParseVersion(s string) (Version, error) {
	text := strings.TrimSpace(s)
	if _, after, ok := strings.Cut(text, "(PostgreSQL)"); ok {
		text = strings.TrimSpace(after)
	}
	text = strings.TrimPrefix(text, "PostgreSQL ")
	digits, rest := cutDigits(text)
	major, err := strconv.Atoi(digits)
	if err != nil {
		return 0, fmt.Errorf("%q is not a PostgreSQL version: want one such as 17.2", s)
	}
	if len(digits) >= 6 && rest == "" {
		if major/10000 < 10 || major/10000 > 999 {
			return 0, fmt.Errorf("%q is not a server_version_num of PostgreSQL 10 or later", s)
		}
		return Version(major), nil
	}
	if major < 10 || major > 999 {
		return 0, fmt.Errorf("%q is not a version of PostgreSQL 10 or later", s)
	}
	minor := 0
	if strings.HasPrefix(rest, ".") {
		d, after := cutDigits(rest[1:])
		if minor, err = strconv.Atoi(d); err != nil || minor > 9999 {
			return 0, fmt.Errorf("%q is not a PostgreSQL version: want one such as 17.2", s)
		}
		rest = after
	} else {
		for _, kind := range []string{"devel", "alpha", "beta", "rc"} {
			if after, ok := strings.CutPrefix(rest, kind); ok {
				_, rest = cutDigits(after)
				break
			}
		}
	}
	if rest != "" && !strings.ContainsAny(rest[:1], " \t-+") {
		return 0, fmt.Errorf("%q is not a PostgreSQL version: want one such as 17.2", s)
	}
	return Version(major*10000 + minor), nil
}

func cutDigits(s string) (digits, rest string) {
	i := 0
	for i < len(s) && s[i] >= '0' && s[i] <= '9' {
		i++
	}
	return s[:i], s[i:]
}
