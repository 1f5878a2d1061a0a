// Package backuptest makes data directories and their backups for tests: real files, real
// parts, a real catalogue. Only the server is missing.
package backuptest

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"pg_manage/executor/basebackup/chain"
	"pg_manage/executor/basebackup/index"
	"pg_manage/executor/basebackup/manifest"
	"pg_manage/executor/basebackup/pack"
	"pg_manage/executor/repo"
	"pg_manage/executor/repo/catalog"
	"pg_manage/executor/repo/posix"
	"pg_manage/executor/repo/storage"
	"pg_manage/schema/postgres"
)

// SystemIdentifier is that of the data directories that DataDir makes.
const SystemIdentifier = "7345678901234567890"

// Version is the directory of PostgreSQL's version in tablespaces.
const Version = "PG_15_202209061"

// Control makes a pg_control of a system.
func Control(system string) []byte {
	id, err := strconv.ParseUint(system, 10, 64)
	if err != nil {
		panic(err)
	}
	b := make([]byte, 8192)
	binary.LittleEndian.PutUint64(b, id)
	binary.LittleEndian.PutUint32(b[8:], 1300)
	binary.LittleEndian.PutUint32(b[12:], 202209061)
	binary.LittleEndian.PutUint32(b[288:], crc32.Checksum(b[:288], crc32.MakeTable(crc32.Castagnoli)))
	return b
}

// Write puts a file below dir, and makes the directories above it.
func Write(t testing.TB, dir, name string, data []byte) {
	t.Helper()
	name = filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// Pages makes up n blocks that compress to something like a third.
func Pages(seed uint64, n int) []byte {
	rnd := rand.New(rand.NewPCG(seed, 2))
	b := make([]byte, n*index.BlockSize)
	for i := 0; i+24 <= len(b); i += 24 {
		binary.LittleEndian.PutUint64(b[i:], rnd.Uint64())
	}
	return b
}

// DataDir makes what looks like the data directory of a stopped server, with the tablespace 16400
// when space is not "".
func DataDir(t testing.TB, dir, space string) {
	t.Helper()
	for _, sub := range []string{
		"base/1", "base/5", "global", "pg_commit_ts", "pg_dynshmem", "pg_logical", "pg_multixact/members", "pg_multixact/offsets", "pg_notify",
		"pg_replslot", "pg_serial", "pg_snapshots", "pg_stat", "pg_stat_tmp", "pg_subtrans", "pg_tblspc", "pg_twophase", "pg_wal/archive_status", "pg_xact",
	} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	Write(t, dir, "PG_VERSION", []byte("15\n"))
	Write(t, dir, "global/pg_control", Control(SystemIdentifier))
	Write(t, dir, "postgresql.conf", []byte("port = 1\n"))
	Write(t, dir, "postgresql.auto.conf", []byte("# nothing\n"))
	Write(t, dir, "pg_xact/0000", Pages(9, 1))
	Write(t, dir, "base/1/empty", nil)
	Write(t, dir, "base/1/odd", []byte(strings.Repeat("odd", 5000)))
	Write(t, dir, "base/5/big", Pages(1, 700))
	for i := range 40 {
		Write(t, dir, fmt.Sprintf("base/5/%d", 1000+i), Pages(uint64(i), i%9))
	}
	if space == "" {
		return
	}
	if err := os.MkdirAll(filepath.Join(space, Version), 0o700); err != nil {
		t.Fatal(err)
	}
	Write(t, space, Version+"/5/16401", Pages(77, 150))
	if err := os.Symlink(space, filepath.Join(dir, "pg_tblspc/16400")); err != nil {
		t.Fatal(err)
	}
}

// Target is a directory as a backup target, and the catalogue of a cluster there.
type Target struct {
	*catalog.Catalog
	Dir    string // of the cluster's backups
	Driver storage.Driver
	To     repo.Target
}

// Open makes a target in a directory. wrap, when not nil, stands between the catalogue and its driver.
func Open(t testing.TB, dir string, to repo.Target, wrap func(storage.Driver) storage.Driver) *Target {
	t.Helper()
	d, err := posix.New("file://"+dir, "file", dir)
	if err != nil {
		t.Fatal(err)
	}
	var driver storage.Driver = d
	if wrap != nil {
		driver = wrap(driver)
	}
	c, err := catalog.New(driver, "backups/main", to)
	if err != nil {
		t.Fatal(err)
	}
	return &Target{c, filepath.Join(dir, "backups/main"), driver, to}
}

// previous makes a chain what an incremental backup is built on.
type previous struct{ c *chain.Chain }

func (p previous) File(path string) (int64, []byte, bool, error) {
	f, ok, err := p.c.File(path)
	if !ok || err != nil {
		return 0, nil, false, err
	}
	return f.Size, f.Sums, true, nil
}

// Begun is when the first backup is begun; each later one a minute later.
func Begun(i int) time.Time { return time.Date(2026, 1, 2, 3, 4+i, 0, 0, time.UTC) }

// Take takes a cold backup of a data directory; with a parent, an incremental one. i tells backups apart.
func (g *Target) Take(t testing.TB, dir string, i int, parent string) *catalog.Info {
	t.Helper()
	info, err := g.take(t.Context(), dir, i, parent, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return info
}

func (g *Target) take(ctx context.Context, dir string, i int, parent, temp string) (*catalog.Info, error) {
	kind := catalog.Full
	o := pack.Options{Store: g.Catalog, DataDir: dir, Parent: parent, Cold: true, Manifest: manifest.Header{Major: 15}}
	if parent != "" {
		kind = catalog.Incremental
		infos, err := g.Chain(ctx, parent)
		if err != nil {
			return nil, err
		}
		c, err := chain.Open(ctx, g.Catalog, infos, temp)
		if err != nil {
			return nil, err
		}
		defer func() { _ = c.Close() }()
		o.Previous = previous{c}
	}
	info := &catalog.Info{
		Version: catalog.Version, Label: catalog.Label(Begun(i), "node1", kind), Kind: kind, Parent: parent, Cluster: "main", Node: "node1", Cold: true,
		SystemIdentifier: SystemIdentifier, PostgreSQL: "15", Timeline: 1, StartLSN: postgres.LSN(0x1000028 + i), StopLSN: postgres.LSN(0x1000100 + i),
		StartTime: Begun(i), StopTime: Begun(i).Add(time.Second), SegmentSize: 16 << 20, BlockSize: 8192, Compression: g.Compression(), Encrypted: g.Encrypted(), WAL: catalog.WALArchived,
	}
	if control, err := os.ReadFile(filepath.Join(dir, "global/pg_control")); err == nil {
		info.SystemIdentifier = strconv.FormatUint(binary.LittleEndian.Uint64(control), 10)
	}
	if err := g.Begin(ctx, info.Label, parent); err != nil {
		return nil, err
	}
	o.Label = info.Label
	p, err := pack.New(ctx, o)
	if err != nil {
		return nil, err
	}
	defer p.Abort()
	if err := p.Files(ctx); err != nil {
		return nil, err
	}
	var extra []pack.File
	spaces, err := Spaces(dir)
	if err != nil {
		return nil, err
	}
	if len(spaces) > 0 {
		extra = append(extra, pack.File{Path: "tablespace_map", Data: []byte(spaces)})
	}
	r, err := p.Finish(ctx, extra, []manifest.Range{{Timeline: 1, Start: info.StartLSN, End: info.StopLSN}})
	if err != nil {
		return nil, err
	}
	info.Parts, info.Index, info.Manifest = r.Parts, r.Index, r.Manifest
	info.Size, info.Files, info.Stored = r.Size, r.Files, r.Stored
	return info, g.Commit(ctx, info)
}

// Spaces is the tablespace_map of a data directory.
func Spaces(dir string) (string, error) {
	entries, err := os.ReadDir(filepath.Join(dir, "pg_tblspc"))
	var text string
	for _, e := range entries {
		to, lerr := os.Readlink(filepath.Join(dir, "pg_tblspc", e.Name()))
		err = errors.Join(err, lerr)
		text += e.Name() + " " + to + "\n"
	}
	return text, err
}

// Tree reads a directory, links followed only where they lead to tablespaces: path to content,
// directories to "dir", each with its mode. skip leaves paths out.
func Tree(t testing.TB, dir string, skip ...string) map[string]string {
	t.Helper()
	all := map[string]string{}
	var walk func(at, prefix string)
	walk = func(at, prefix string) {
		err := filepath.WalkDir(at, func(name string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			rel, err := filepath.Rel(at, name)
			if err != nil || rel == "." {
				return err
			}
			rel = filepath.Join(prefix, rel)
			for _, s := range skip {
				if rel == s {
					return nil
				}
			}
			info, err := d.Info()
			if err != nil {
				return err
			}
			switch d.Type() {
			case fs.ModeDir:
				all[rel] = fmt.Sprintf("dir %o", info.Mode().Perm())
			case fs.ModeSymlink:
				to, err := os.Readlink(name)
				if err != nil {
					return err
				}
				all[rel] = "link"
				walk(to, rel)
			default:
				b, err := os.ReadFile(name)
				if err != nil {
					return err
				}
				all[rel] = fmt.Sprintf("file %o %d %s", info.Mode().Perm(), info.ModTime().Unix(), b)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	walk(dir, "")
	return all
}

// Same compares two trees.
func Same(t testing.TB, got, want map[string]string) {
	t.Helper()
	for name, w := range want {
		if g, ok := got[name]; !ok || g != w {
			t.Errorf("%s: %s, want %s", name, short(g), short(w))
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			t.Errorf("%s should not be there", name)
		}
	}
}

func short(s string) string {
	if len(s) > 40 {
		return fmt.Sprintf("%q... (%d bytes, CRC %08x)", s[:40], len(s), crc32.ChecksumIEEE([]byte(s)))
	}
	return strconv.Quote(s)
}
