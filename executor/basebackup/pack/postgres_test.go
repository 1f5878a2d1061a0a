package pack

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
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
	s.Stop(s.Data)
	dir := s.Root + "/restored"
	s.untar(b, dir)
	s.Run(s.Bin+"/pg_verifybackup", "-n", dir)
	s.Run(s.Bin+"/pg_verifybackup", dir) // with the WAL
	s.Start(dir)
	if n := s.SQL("select count(*) = 300000 from pgbench_accounts"); n != "t" {
		t.Error("rows are missing")
	}
	if n := s.SQL("select sum(abalance) - (select sum(bbalance) from pgbench_branches) from pgbench_accounts"); n != "0" {
		t.Errorf("the balances differ by %s", n)
	}
	out, err := exec.Command("sh", "-c", "zstd -dc "+b.path(b.PartName(0))+" | tar tvf -").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "base/") {
		t.Errorf("%v: %s", err, out)
	}
	if _, err := os.Stat(b.path(b.PartName(len(b.result.Parts)))); err == nil {
		t.Error("there is a part more than told")
	}
}
