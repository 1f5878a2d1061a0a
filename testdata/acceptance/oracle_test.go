package acceptance

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pg_manage/testdata/lab"
)

// commit is one transaction of the writer, as PostgreSQL's own pg_waldump tells of it.
type commit struct {
	lsn string // where its record begins
	xid string
	at  time.Time
	row int // 0 for transactions that are not the writer's
}

// history is what was committed on one timeline and on those that it came from, in the order of the WAL.
type history []commit

var commitLine = regexp.MustCompile(`tx: +([0-9]+), lsn: ([0-9A-F]+/[0-9A-F]+), .*desc: COMMIT ([0-9-]+ [0-9:.]+ [A-Z]+)`)

// commits reads the archive with pg_waldump. rows maps transaction IDs to rows.
func commits(t testing.TB, n *lab.Node, dir string, timeline int, rows map[string]int) history {
	t.Helper()
	out := n.Shell(t, "postgres", fmt.Sprintf(`cd %s
		first=$(ls | grep '^%08X' | grep -v history | head -n 1) last=$(ls | grep '^%08[2]X' | grep -v history | tail -n 1)
		TZ=UTC /usr/lib/postgresql/%[3]d/bin/pg_waldump -p . -r Transaction $first $last 2>/dev/null || true`, dir, timeline, n.Postgres))
	var h history
	for line := range strings.Lines(out) {
		m := commitLine.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		at, err := time.Parse("2006-01-02 15:04:05.999999 MST", m[3])
		if err != nil {
			t.Fatal(err)
		}
		h = append(h, commit{lsn: m[2], xid: m[1], at: at, row: rows[m[1]]})
	}
	return h
}

// position makes LSNs comparable.
func position(lsn string) uint64 {
	hi, lo, _ := strings.Cut(lsn, "/")
	a, _ := strconv.ParseUint(hi, 16, 64) // an LSN of PostgreSQL's own
	b, _ := strconv.ParseUint(lo, 16, 64)
	return a<<32 | b
}

// before gives the commits whose record begins before an LSN.
func (h history) before(lsn string) history {
	i := slices.IndexFunc(h, func(c commit) bool { return position(c.lsn) >= position(lsn) })
	if i < 0 {
		return h
	}
	return h[:i:i]
}

// until gives the rows that are there when recovery goes on as long as it may (PostgreSQL manual, "Recovery Target").
func (h history) until(stops func(commit) bool, inclusive bool) []int {
	var rows []int
	for _, c := range h {
		stop := stops(c)
		if stop && !inclusive {
			break
		}
		if c.row > 0 {
			rows = append(rows, c.row)
		}
		if stop {
			break
		}
	}
	slices.Sort(rows)
	return rows
}

// untilTime is until for a time: it stops before the first commit that is later.
func (h history) untilTime(at time.Time, inclusive bool) []int {
	return h.until(func(c commit) bool { return c.at.After(at) || !inclusive && c.at.Equal(at) }, false)
}

func (h history) all() []int { return h.until(func(commit) bool { return false }, true) }

// of finds the commit of a row.
func (h history) of(t testing.TB, row int) commit {
	t.Helper()
	i := slices.IndexFunc(h, func(c commit) bool { return c.row == row })
	if i < 0 {
		t.Fatalf("row %d was never committed", row)
	}
	return h[i]
}

// writeRows commits n rows, one a transaction, in two sessions at a time, and notes whose transaction made which.
func (s *site) writeRows(node string, from, n int, rows map[string]int) {
	s.t.Helper()
	out := s.node(node).Shell(s.t, "postgres", fmt.Sprintf(`session() {
		for i in $(seq $1 2 $2); do
			echo "WITH row AS (INSERT INTO oracle VALUES ($i, repeat('x', 500))) SELECT $i, pg_current_xact_id()::text;"
		done | psql -qAtX -F ' ' postgres
	}
	session %d %[2]d & session %[3]d %[2]d; wait`, from, from+n-1, from+1))
	got := 0
	for line := range strings.Lines(out) {
		var row int
		var xid string
		if _, err := fmt.Sscan(line, &row, &xid); err != nil {
			s.t.Fatalf("%q: %v", line, err)
		}
		rows[xid] = row
		got++
	}
	if got != n {
		s.t.Fatalf("%d rows were written, not %d", got, n)
	}
}
