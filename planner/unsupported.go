package planner

import (
	"fmt"

	"pg_manage/schema"
)

// unsupported tells of what is declared and cannot be done by this version. What
// would weaken a promise of the file (WAL stored unencrypted where encryption is
// declared) stops the whole cluster; what is merely not done yet is told with every plan.
func (b *builder) unsupported() (stop bool) {
	if a := b.c.Archive; a != nil {
		t := a.Target
		for _, c := range []struct {
			declared bool
			what     string
			instead  string
		}{
			{t.URL.Scheme == "s3", "an s3:// target", "Declare an ssh://, file://, nfs:// or cifs:// target for the archive."},
			{len(t.Recipients) > 0, "encryption (recipients)", "Take recipients out of the target that the archive uses; the WAL is stored unencrypted then."},
			{t.Compression != "zstd" && t.Compression != "", "compression " + t.Compression, `Write compression = "zstd".`},
		} {
			if c.declared {
				b.find(schema.SeverityError, nil, c.instead, "cluster %s: WAL archives do not support %s yet (target %s)", b.c.Name, c.what, t.Name)
				stop = true
			}
		}
	}
	for _, k := range b.c.Backups {
		b.find(schema.SeverityWarning, nil, "Take base backups with another tool until then, pg_basebackup for one.", "backup %q of cluster %s is read and checked, but this version takes no base backups", k.Name, b.c.Name)
	}
	for _, e := range b.c.Exports {
		b.find(schema.SeverityWarning, nil, fmt.Sprintf("Export it with pg_dump until then: pg_dump --format=custom %s", shellQuote(e.Database)), "export %q of cluster %s is read and checked, but this version makes no exports", e.Database, b.c.Name)
	}
	return stop
}
