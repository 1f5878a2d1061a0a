package postgres

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
)

// QuoteLiteral writes s as an SQL string constant that means the same whatever
// standard_conforming_strings says. A zero byte, which no SQL text can hold, is an error.
func QuoteLiteral(s string) (string, error) {
	if strings.ContainsRune(s, 0) {
		return "", fmt.Errorf("%q holds a zero byte, which SQL cannot express", s)
	}
	q := "'" + strings.ReplaceAll(s, "'", "''") + "'"
	if strings.Contains(s, `\`) {
		q = " E" + strings.ReplaceAll(q, `\`, `\\`)
	}
	return q, nil
}

// QuoteIdentifier writes s as an SQL identifier, always in double quotes.
func QuoteIdentifier(s string) (string, error) {
	if s == "" || strings.ContainsRune(s, 0) {
		return "", fmt.Errorf("%q cannot be an SQL identifier", s)
	}
	return `"` + strings.ReplaceAll(s, `"`, `""`) + `"`, nil
}

// QuoteConf writes s as a value of postgresql.conf, always in single quotes: a quote
// is doubled, and a backslash too, because the server reads C escapes there
// (guc-file.l, DeescapeQuotedString). A line break is written as an escape, since
// a value ends with its line.
func QuoteConf(s string) (string, error) {
	if strings.ContainsRune(s, 0) {
		return "", fmt.Errorf("%q holds a zero byte, which postgresql.conf cannot express", s)
	}
	return "'" + strings.NewReplacer("'", "''", `\`, `\\`, "\n", `\n`, "\r", `\r`).Replace(s) + "'", nil
}

// QuoteConninfo writes s as the value of a keyword in a libpq connection string
// (PostgreSQL manual, "Keyword/Value Connection Strings").
func QuoteConninfo(s string) (string, error) {
	if strings.ContainsRune(s, 0) {
		return "", fmt.Errorf("%q holds a zero byte, which a connection string cannot express", s)
	}
	return "'" + strings.NewReplacer(`\`, `\\`, "'", `\'`).Replace(s) + "'", nil
}

// PassfileLine gives one line of a libpq password file, without the line break
// (PostgreSQL manual, "The Password File"). "*" as a field matches anything. The
// error doesn't show the password.
func PassfileLine(host, port, database, user, password string) (string, error) {
	fields := []string{host, port, database, user, password}
	for i, f := range fields {
		if strings.ContainsAny(f, "\x00\n\r") {
			return "", fmt.Errorf("field %d of a password file line holds a line break or a zero byte, which that file cannot express", i+1)
		}
		fields[i] = strings.NewReplacer(`\`, `\\`, ":", `\:`).Replace(f)
	}
	return strings.Join(fields, ":"), nil
}

// maxName is the longest name of an object: NAMEDATALEN - 1 bytes.
const maxName = 63

// SlotName is the name of the replication slot of a node: pg_manage_ and the node's
// name. Slots take lower-case letters, digits and underscores alone, so other names
// are changed and get a hash of the true name at their end, which keeps two nodes
// from sharing a slot.
func SlotName(node string) string {
	const prefix = "pg_manage_"
	var b strings.Builder
	for i := range len(node) {
		c := node[i]
		if c != '_' && (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			c = '_'
			if node[i] >= 'A' && node[i] <= 'Z' {
				c = node[i] + 'a' - 'A'
			}
		}
		b.WriteByte(c)
	}
	name := prefix + b.String()
	if b.String() == node && len(name) <= maxName && node != "" {
		return name
	}
	sum := sha256.Sum256([]byte(node))
	mark := "_" + hex.EncodeToString(sum[:4])
	return name[:min(len(name), maxName-len(mark))] + mark
}
