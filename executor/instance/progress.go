package instance

import (
	"bytes"
	"regexp"
	"strconv"
	"strings"
)

var progressLine = regexp.MustCompile(`^\s*(\d+)/(\d+) kB \(\s*\d+%\)`)

// progress reads what `pg_basebackup --progress` writes: "12345/67890 kB (18%), 0/1
// tablespace", lines that end in a carriage return.
type progress struct {
	report func(done, total int64)
	rest   []byte
}

func (p *progress) Write(b []byte) (int, error) {
	p.rest = append(p.rest, b...)
	for {
		n := bytes.IndexAny(p.rest, "\r\n")
		if n < 0 {
			if len(p.rest) > 4096 {
				p.rest = nil
			}
			return len(b), nil
		}
		if m := progressLine.FindSubmatch(p.rest[:n]); m != nil && p.report != nil {
			done, err1 := strconv.ParseInt(string(m[1]), 10, 64)
			total, err2 := strconv.ParseInt(string(m[2]), 10, 64)
			if err1 == nil && err2 == nil {
				p.report(done<<10, total<<10)
			}
		}
		p.rest = p.rest[n+1:]
	}
}

// withoutProgress keeps of an error output what is not progress.
func withoutProgress(s string) string {
	var kept []string
	for _, line := range strings.FieldsFunc(s, func(r rune) bool { return r == '\r' || r == '\n' }) {
		if !progressLine.MatchString(line) && strings.TrimSpace(line) != "" {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "\n")
}
