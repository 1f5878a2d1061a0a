package pack

import (
	"bytes"
	"hash/crc32"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pg_manage/executor/basebackup/index"
	"pg_manage/executor/basebackup/manifest"
)

// unpack writes what a chain of backups, the newest first, makes of a data directory.
func (s *server) unpack(chain []*backup, dir string) {
	s.T.Helper()
	s.Mkdir(dir)
	b := chain[0]
	for _, e := range b.entries {
		if e.Dir != "" {
			s.Run("mkdir", "-p", "-m", "700", dir+"/"+e.Dir)
		}
	}
	for path, e := range b.entries {
		if e.Path == "" {
			continue
		}
		if err := os.WriteFile(dir+"/"+path, content(s.T, path, chain), os.FileMode(e.Mode)); err != nil {
			s.T.Fatal(err)
		}
		s.Own(dir + "/" + path)
	}
	s.Run("cp", b.path(b.ManifestName()), dir+"/backup_manifest")
}

// TestIncrementalBackups takes a chain of three, the last one with what summaries would say, and
// verifies and starts what they make.
func TestIncrementalBackups(t *testing.T) {
	s := newServer(t)
	s.Start(s.Data)
	s.load("-i -s 2")
	s.SQL("create table shrinks as select repeat('x', 1000) t from generate_series(1, 2000)")
	s.SQL("create table grows as select 1 i; create table goes as select 1 i; create table stays as select generate_series(1, 100000) i")
	s.SQL("vacuum stays")
	full := s.take(s.store("zstd"), nil, nil)
	s.SQL("delete from shrinks; insert into grows select generate_series(1, 50000); drop table goes; create table comes as select generate_series(1, 10000) i")
	s.SQL("vacuum shrinks")
	s.SQL("update pgbench_accounts set abalance = 1 where aid in (1, 5000, 100000)")
	incremental := func(chain previous) func(*Options) {
		return func(o *Options) {
			o.Label, o.Parent, o.Previous = strings.Replace(o.Label, "-full", "-incr", 1), "20260101T000000Z-node1-full", chain
		}
	}
	second := s.take(s.store("lz4"), incremental(previous{full}), nil)
	if second.result.Stored*5 > full.result.Stored || second.result.Size < full.result.Size/2 {
		t.Errorf("%d bytes stored, %d of the full one; %d bytes in all", second.result.Stored, full.result.Stored, second.result.Size)
	}
	path := s.SQL("select pg_relation_filepath('pgbench_accounts')")
	if e := second.entries[path]; len(e.Chunks) == 0 || len(e.Sums) > 40*index.SumSize {
		t.Errorf("%s: %+v", path, e)
	}
	if e := second.entries[s.SQL("select pg_relation_filepath('stays')")]; !e.Same || len(e.Chunks) != 0 {
		t.Errorf("%+v", e)
	}
	s.SQL("update pgbench_accounts set abalance = 2 where aid = 70000; checkpoint")
	chain := previous{second, full}
	sum := &summary{t: t, data: s.Data, chain: chain}
	third := s.take(s.store("gzip"), func(o *Options) {
		incremental(chain)(o)
		o.Summary = sum
	}, nil)
	if sum.asked == 0 {
		t.Error("the summaries were not asked")
	}
	s.Stop(s.Data)
	for i, all := range []previous{{full}, {second, full}, {third, second, full}} {
		dir := s.Root + "/restored" + string(rune('1'+i))
		s.unpack(all, dir)
		s.Run(s.Bin+"/pg_verifybackup", dir)
		checkSums(t, dir)
		s.Start(dir)
		if n := s.SQL("select count(*) from stays"); n != "100000" {
			t.Error(n)
		}
		if n, want := s.SQL("select count(*) from pgbench_accounts where abalance > 0"), []string{"0", "3", "4"}[i]; n != want {
			t.Errorf("%s rows, want %s", n, want)
		}
		s.Run(s.Bin+"/pg_amcheck", "-h", s.Root, "-U", "postgres", "--install-missing", "--heapallindexed", "postgres")
		s.Stop(dir)
	}
}

func checkSums(t *testing.T, dir string) {
	t.Helper()
	f, err := os.Open(dir + "/backup_manifest")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // only read
	if _, err := manifest.Read(f, func(f manifest.File) error {
		b, err := os.ReadFile(dir + "/" + f.Path)
		if err != nil {
			return err
		}
		if got := crc32.Checksum(b, castagnoli); got != f.CRC || int64(len(b)) != f.Size {
			t.Errorf("%s: %d bytes, sum %08x; want %d, %08x", f.Path, len(b), got, f.Size, f.CRC)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

// summary knows what changed by comparing.
type summary struct {
	t     *testing.T
	data  string
	chain previous
	asked int
}

func (s *summary) Changed(path string) (func(int64) bool, int64, bool) {
	if strings.HasPrefix(path, "base/1/") {
		return nil, 0, false
	}
	s.asked++
	now, err := os.ReadFile(filepath.Join(s.data, path))
	if err != nil {
		s.t.Error(err)
	}
	was := content(s.t, path, s.chain)
	return func(block int64) bool {
		at := block * 8192
		return at+8192 > int64(len(was)) || at+8192 > int64(len(now)) || !bytes.Equal(was[at:at+8192], now[at:at+8192])
	}, math.MaxInt64, true
}
