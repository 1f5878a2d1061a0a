package take

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pg_manage/executor/basebackup/restore"
	"pg_manage/executor/repo/catalog"
)

func TestIncrementalBackup(t *testing.T) {
	s := newPG(t).primary("autovacuum = off")
	s.sql("CREATE TABLE t (n int, x text); INSERT INTO t SELECT i, repeat(md5(i::text), 4) FROM generate_series(1, 40000) i; CREATE TABLE other (n int)")
	s.sql("VACUUM FREEZE") // else reading sets hint bits everywhere
	o, events := s.options()
	o.Incremental = true
	full := s.mustTake(o)
	if full.Kind != catalog.Full || !strings.Contains(events.notices(), "a full backup is taken, since there is none") {
		t.Errorf("%+v, %s", full, events.notices())
	}
	s.sql("UPDATE t SET x = 'y' WHERE n % 4000 = 0; CREATE TABLE more AS SELECT generate_series(1, 1000); DROP TABLE other; CHECKPOINT")
	first := s.mustTake(o)
	s.sql("UPDATE t SET x = 'z' WHERE n % 3000 = 0")
	second := s.mustTake(o)
	if first.Kind != catalog.Incremental || first.Parent != full.Label || second.Parent != first.Label {
		t.Errorf("%+v, %+v", first, second)
	}
	if first.Stored > full.Stored/5 || first.Size < full.Size/2 {
		t.Errorf("the incremental one has %d bytes of %d, the full %d of %d", first.Stored, first.Size, full.Stored, full.Size)
	}
	o.Parent = full.Label
	if third := s.mustTake(o); third.Parent != full.Label {
		t.Errorf("%+v", third)
	}
	o.Parent = "20200101T000000Z-node1-full"
	s.mustFail(t.Context(), o, "there is no backup 20200101T000000Z-node1-full")

	// A parent that is damaged: a full one by itself, an error when it is named.
	o, events = s.options()
	o.Incremental = true
	newest := s.listed(o)[3]
	index := filepath.Join(s.root, "target", "pg_hotbackup", "main", newest, "index.json.zst")
	text, err := os.ReadFile(index)
	if err != nil {
		t.Fatal(err)
	}
	text[len(text)/2] ^= 0xff
	if err := os.WriteFile(index, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if i := s.mustTake(o); i.Kind != catalog.Full || !strings.Contains(events.notices(), "a full backup is taken instead of an incremental one, since "+newest+" cannot be built upon now") {
		t.Errorf("%+v: %s", i, events.notices())
	}
	o.Parent = newest
	s.mustFail(t.Context(), o, newest+" cannot be the parent of this backup")
}

// TestChainIsWhatTheServerWas changes a database in every way that decides which blocks are
// read again, also from a summary, and compares what a chain of backups restores to.
func TestChainIsWhatTheServerWas(t *testing.T) {
	p := newPG(t)
	settings := []string{"autovacuum = off"}
	if p.major >= 17 {
		settings = append(settings, "summarize_wal = on")
	}
	s := p.primary(settings...)
	p.mkdir(p.root + "/space")
	p.mkdir(p.root + "/space2")
	s.sql("CREATE TABLESPACE space LOCATION '" + p.root + "/space'")
	s.sql("CREATE DATABASE app TABLESPACE space")
	s.sql("CREATE DATABASE moved")
	s.sql("CREATE TABLE plain AS SELECT i, repeat(md5(i::text), 8) AS x FROM generate_series(1, 20000) i; CREATE INDEX ON plain (i)")
	s.sql("CREATE TABLE cut AS SELECT * FROM plain; CREATE TABLE emptied AS SELECT * FROM plain; CREATE TABLE rewritten AS SELECT * FROM plain")
	s.sql("CREATE TABLE there TABLESPACE space AS SELECT * FROM plain; CREATE UNLOGGED TABLE unlogged AS SELECT * FROM plain; CREATE TABLE gone AS SELECT * FROM plain")
	s.sql("VACUUM FREEZE")
	o, events := s.options()
	o.Incremental = true
	s.mustTake(o)
	for round, change := range []string{
		"UPDATE plain SET x = 'a' WHERE i % 2000 = 1; DELETE FROM cut WHERE i > 10000; TRUNCATE emptied; INSERT INTO emptied SELECT * FROM plain LIMIT 100; ALTER TABLE rewritten ALTER i TYPE bigint; DROP TABLE gone; UPDATE there SET x = 'b' WHERE i < 10",
		"INSERT INTO cut SELECT * FROM plain; CREATE TABLE later AS SELECT * FROM plain; ALTER TABLE there SET TABLESPACE pg_default; ALTER TABLE plain SET TABLESPACE space; ALTER TABLE unlogged SET LOGGED",
	} {
		s.sql(change)
		if s.sql("VACUUM"); round == 0 {
			s.sql("DROP DATABASE app")
			s.sql("CREATE DATABASE app TABLESPACE space" + map[bool]string{true: " STRATEGY file_copy"}[p.major >= 15])
			s.sql("CREATE TABLESPACE space2 LOCATION '" + p.root + "/space2'")
			s.sql("ALTER DATABASE moved SET TABLESPACE space2")
		}
		if i := s.mustTake(o); i.Kind != catalog.Incremental || i.Summaries != (p.major >= 17) {
			t.Errorf("%+v\n%s", i, events.notices())
		}
	}
	newest := s.listed(o)[2]
	want := s.contents()

	r := &server{p, p.root + "/restored", s.port + 10}
	info, err := o.Catalog.Info(t.Context(), newest)
	if err != nil {
		t.Fatal(err)
	}
	spaces := map[string]string{}
	for i, space := range info.Tablespaces {
		spaces[itoa(space.OID)] = p.root + "/restored-space" + itoa(uint32(i))
	}
	if len(spaces) != 2 {
		t.Errorf("the backup has the tablespaces %v", info.Tablespaces)
	}
	if _, err := restore.Restore(t.Context(), restore.Options{Catalog: o.Catalog, Label: newest, DataDir: r.data, Tablespaces: spaces, TempDir: t.TempDir()}); err != nil {
		t.Fatal(err)
	}
	p.ownAll(r.data)
	for _, dir := range spaces {
		p.ownAll(dir)
	}
	p.run(p.bin+"/pg_verifybackup", "-n", r.data)
	r.configure("archive_mode = off", "restore_command = 'cp "+s.archive+"/$(echo %f | cut -c 1-16)/%f %p'")
	r.write(r.data+"/recovery.signal", "")
	r.start()
	if got := r.contents(); got != want {
		t.Errorf("restored is\n%s\nand should be\n%s", got, want)
	}
	if p.major < 14 { // which has no pg_amcheck
		return
	}
	p.run(p.bin+"/pg_amcheck", "-h", p.root, "-p", itoa(uint32(r.port)), "-U", "postgres", "--install-missing", "--heapallindexed", "--all")
}

// contents sums up all tables of the database.
func (s *server) contents() string {
	s.t.Helper()
	var all []string
	for _, table := range strings.Fields(s.sql("SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace ORDER BY 1")) {
		all = append(all, table+" "+s.sql("SELECT count(*), md5(string_agg(i || x, ',' ORDER BY i, x)) FROM "+table))
	}
	return strings.Join(all, "\n")
}
