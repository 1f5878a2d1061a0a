package take

import (
	"strings"
	"testing"

	"pg_manage/executor/basebackup/restore"
	"pg_manage/executor/repo/catalog"
)

// TestChecksumsTurnedOnBetweenBackups lets pg_checksums write every page of the stopped
// server, of which no WAL and no summary tells. Pages that the parent has without a
// checksum must not get into a backup whose pg_control says that all have one.
func TestChecksumsTurnedOnBetweenBackups(t *testing.T) {
	p := newPG(t)
	settings := []string{"autovacuum = off"}
	if p.major >= 17 {
		settings = append(settings, "summarize_wal = on")
	}
	s := p.primary(settings...)
	s.sql("CREATE TABLE plain AS SELECT i, repeat(md5(i::text), 8) AS x FROM generate_series(1, 10000) i")
	s.stop()
	p.run(p.bin+"/pg_checksums", "--disable", "-D", s.data)
	// What was changed meanwhile has none.
	s.start()
	s.sql("UPDATE plain SET x = 'a'")
	s.sql("VACUUM FULL")
	o, events := s.options()
	o.Incremental = true
	if i := s.mustTake(o); i.Kind != catalog.Full || i.Checksums {
		t.Fatalf("%+v", i)
	}
	s.stop()
	p.run(p.bin+"/pg_checksums", "--enable", "-D", s.data)
	s.start()
	turned := s.mustTake(o)
	if turned.Kind != catalog.Incremental || !turned.Checksums || turned.Summaries {
		t.Errorf("%+v\n%s", turned, events.notices())
	}
	if p.major >= 17 && !strings.Contains(events.notices(), "checksums") {
		t.Errorf("nobody is told why all files are read: %s", events.notices())
	}
	s.sql("UPDATE plain SET x = 'b' WHERE i = 1")
	newest := s.mustTake(o)
	if newest.Parent != turned.Label || newest.Summaries != (p.major >= 17) {
		t.Errorf("%+v\n%s", newest, events.notices())
	}
	for _, label := range []string{turned.Label, newest.Label} {
		dir := p.root + "/" + label
		if _, err := restore.Restore(t.Context(), restore.Options{Catalog: o.Catalog, Label: label, DataDir: dir, TempDir: t.TempDir()}); err != nil {
			t.Fatal(err)
		}
		p.ownAll(dir)
		// No page was changed during the backups, so that they are right without recovery. The
		// program refuses a server that was not stopped.
		p.run(p.bin+"/pg_resetwal", "-f", "-D", dir)
		if out, err := p.try(p.bin+"/pg_checksums", "--check", "-D", dir); err != nil {
			t.Errorf("%s: %s", label, out)
		}
	}
}
