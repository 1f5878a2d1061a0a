package take

import (
	"os"
	"testing"

	"pg_manage/executor/basebackup/restore"
	"pg_manage/executor/repo/catalog"
)

// TestIncrementalOfAServerThatWentBack: without an archive a server that was brought back to
// an older backup goes on with the same timeline, and soon with the LSNs that a later backup
// of its earlier life has. Its summaries tell nothing of that life.
func TestIncrementalOfAServerThatWentBack(t *testing.T) {
	p := newPG(t)
	settings := []string{"autovacuum = off", "archive_mode = off"}
	if p.major >= 17 {
		settings = append(settings, "summarize_wal = on")
	}
	s := p.primary(settings...)
	s.sql("CREATE TABLE plain AS SELECT i, repeat(md5(i::text), 8) AS x FROM generate_series(1, 5000) i")
	o, _ := s.options()
	o.Archive = nil
	first := s.mustTake(o)
	s.sql("UPDATE plain SET x = 'of the earlier life'")
	later := s.mustTake(o)
	s.stop()
	if err := os.RemoveAll(s.data); err != nil {
		t.Fatal(err)
	}
	if _, err := restore.Restore(t.Context(), restore.Options{Catalog: o.Catalog, Label: first.Label, DataDir: s.data, TempDir: t.TempDir()}); err != nil {
		t.Fatal(err)
	}
	p.ownAll(s.data)
	s.start()
	s.sql("CREATE TABLE more AS SELECT i, repeat(md5(i::text), 8) AS x FROM generate_series(1, 40000) i; CHECKPOINT")
	o.Incremental, o.Parent = true, later.Label
	newest := s.mustTake(o)
	if newest.Kind != catalog.Incremental || newest.Timeline != later.Timeline || newest.StartLSN <= later.StopLSN {
		t.Fatalf("nothing is tried: %+v after %+v", newest, later)
	}
	want := s.contents()
	s.stop()
	r := &server{p, p.root + "/restored", s.port + 10}
	if _, err := restore.Restore(t.Context(), restore.Options{Catalog: o.Catalog, Label: newest.Label, DataDir: r.data, TempDir: t.TempDir()}); err != nil {
		t.Fatal(err)
	}
	p.ownAll(r.data)
	r.configure("archive_mode = off")
	r.start()
	if got := r.contents(); got != want {
		t.Errorf("restored is\n%s\nand should be\n%s", got, want)
	}
}
