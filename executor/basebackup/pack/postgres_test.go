package pack

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pg_manage/executor/basebackup/manifest"
	"pg_manage/schema/postgres"
)

// untar unpacks a full backup with the programs that everybody has.
func (s *server) untar(b *backup, dir string) {
	s.T.Helper()
	s.Mkdir(dir)
	for _, e := range b.entries {
		if e.Link == "" || e.Link == "pg_wal" {
			continue
		}
		s.Run("mkdir", "-p", filepath.Dir(dir+"/"+e.Link), e.To)
		s.Run("ln", "-s", e.To, dir+"/"+e.Link)
	}
	program := map[string]string{"zstd": "zstd -dc", "lz4": "lz4 -dc", "gzip": "gzip -dc", "none": "cat"}[b.compression]
	for i := range b.result.Parts {
		s.Run("sh", "-ec", ``+program+` "$1" > "$2/../part.tar"; tar -xf "$2/../part.tar" -C "$2" --no-same-owner; rm "$2/../part.tar"`, "sh", b.path(b.PartName(i)), dir)
	}
	s.Run("cp", b.path(b.ManifestName()), dir+"/backup_manifest")
}

func (s *server) load(text string) {
	s.T.Helper()
	s.Run(s.Bin+"/pgbench", append([]string{"-h", s.Root, "-U", "postgres", "-q"}, append(strings.Fields(text), "postgres")...)...)
}

// TestFullBackupIsRestoredByTarAlone copies a server under load; what tar unpacks passes
// pg_verifybackup and starts.
func TestFullBackupIsRestoredByTarAlone(t *testing.T) {
	s := newServer(t)
	s.Start(s.Data)
	s.load("-i -s 3")
	space := s.Mkdir(s.Root + "/space")
	s.SQL("create tablespace other location '" + space + "'")
	s.SQL("create table elsewhere tablespace other as select generate_series(1, 10000) i")
	s.SQL("create unlogged table unlogged as select generate_series(1, 10000) i")
	bench := s.Command(s.Bin+"/pgbench", "-h", s.Root, "-U", "postgres", "-c", "2", "-T", "60", "postgres")
	if err := bench.Start(); err != nil {
		t.Fatal(err)
	}
	b := s.take(s.store("zstd"), nil, nil)
	bench.Process.Kill() //nolint:errcheck // it may have ended
	bench.Wait()         //nolint:errcheck // it was killed
	if b.result.Damaged != 0 {
		t.Errorf("%d damaged pages: %v", b.result.Damaged, b.result.DamagedPages)
	}
	path := s.SQL("select pg_relation_filepath('unlogged')")
	if b.entries[path] != nil || b.entries[path+"_init"] == nil {
		t.Error("of unlogged relations only the init fork is copied")
	}
	s.Stop(s.Data)
	if err := os.Rename(space, space+".away"); err != nil {
		t.Fatal(err)
	}
	dir := s.Root + "/restored"
	s.untar(b, dir)
	s.Run(s.Bin+"/pg_verifybackup", dir) // with the WAL, that is in the backup
	s.Start(dir)
	if n := s.SQL("select count(*) = 300000 from pgbench_accounts"); n != "t" {
		t.Error("rows are missing")
	}
	if n := s.SQL("select sum(abalance) - (select sum(bbalance) from pgbench_branches) from pgbench_accounts"); n != "0" {
		t.Errorf("the balances differ by %s", n)
	}
	if n := s.SQL("select (select count(*) from elsewhere) || ' ' || (select count(*) from unlogged)"); n != "10000 0" {
		t.Errorf("%s rows", n)
	}
	if _, err := os.Stat(b.path(b.PartName(len(b.result.Parts)))); err == nil {
		t.Error("there is a part more than told")
	}
}

// TestColdBackup copies a stopped server, with the WAL that its checkpoint is in, and its unlogged
// relations.
func TestColdBackup(t *testing.T) {
	s := newServer(t)
	s.Start(s.Data)
	s.SQL("create unlogged table unlogged as select generate_series(1, 10000) i")
	s.Stop(s.Data)
	control, err := postgres.ParseControlData(s.Run("env", "LC_ALL=C", s.Bin+"/pg_controldata", s.Data))
	if err != nil {
		t.Fatal(err)
	}
	o := s.options(s.store("zstd"))
	o.Cold = true
	p, err := New(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Files(context.Background()); err != nil {
		t.Fatal(err)
	}
	r, err := p.Finish(context.Background(), []File{{Path: "pg_wal/" + control.RedoFile}}, []manifest.Range{{Timeline: 1, Start: control.Redo, End: control.Checkpoint}})
	if err != nil {
		t.Fatal(err)
	}
	dir := s.Root + "/restored"
	s.untar(s.read(o.Store.(*store), r), dir)
	s.Run(s.Bin+"/pg_verifybackup", "-n", dir)
	s.Start(dir)
	if n := s.SQL("select count(*) from unlogged"); n != "10000" || r.Damaged != 0 {
		t.Errorf("%s rows, %d damaged pages", n, r.Damaged)
	}
}
