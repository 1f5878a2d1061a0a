package planner

import (
	"fmt"

	"pg_manage/schema"
)

// unsupported tells, with every plan, of what is declared and not done by this version.
func (b *builder) unsupported() {
	for _, e := range b.c.Exports {
		b.find(schema.SeverityWarning, nil, fmt.Sprintf("Export it with pg_dump until then: pg_dump --format=custom %s", shellQuote(e.Database)), "export %q of cluster %s is read and checked, but this version makes no exports", e.Database, b.c.Name)
	}
}
