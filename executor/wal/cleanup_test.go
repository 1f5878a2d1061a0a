package wal

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"pg_manage/executor/repo"
	"pg_manage/executor/repo/catalog"
)

// TestCleanupKeepsWhatBaseBackupsNeed: also one of a standby, of which PostgreSQL writes no
// .backup file, and one that is being taken.
func TestCleanupKeepsWhatBaseBackupsNeed(t *testing.T) {
	in := newInstance(t)
	in.init()
	names := []string{seg1, seg2, "000000010000000000000003", "000000010000000000000004"}
	for _, n := range names {
		in.write("pg_wal/"+n, segment(t, n, 1))
		in.must(ExitOK, "archive", "pg_wal/"+n)
	}
	c, err := LoadConfig(in.config)
	if err != nil {
		t.Fatal(err)
	}
	d, err := repo.Open(t.Context(), c.Targets[0])
	if err != nil {
		t.Fatal(err)
	}
	backups, err := catalog.New(d, "pg_hotbackup/main", c.Targets[0])
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 11, 22, 1, 0, 0, 0, time.UTC)
	i := &catalog.Info{
		Version: catalog.Version, Label: catalog.Label(at, "node2", catalog.Full), Kind: catalog.Full, Cluster: "main", Node: "node2", FromStandby: true,
		SystemIdentifier: strconv.FormatUint(system, 10), PostgreSQL: "17.6", Timeline: 1, SegmentSize: segSize, BlockSize: 8192,
		StartTime: at, StopTime: at, StartLSN: 2*segSize + 40, StopLSN: 2*segSize + 80, WAL: catalog.WALArchived, Compression: "zstd",
	}
	if err := backups.Begin(t.Context(), i.Label, ""); err != nil {
		t.Fatal(err)
	}
	if said := in.must(ExitFailed, "cleanup", names[3]); !strings.Contains(said, i.Label+" is being taken") {
		t.Error(said)
	}
	create := func(name string) catalog.Object {
		o, err := backups.Create(t.Context(), i.Label, name, strings.NewReader("x"))
		if err != nil {
			t.Fatal(err)
		}
		return o
	}
	i.Parts, i.Index, i.Manifest = []catalog.Object{create(backups.PartName(0))}, create(backups.IndexName()), create(backups.ManifestName())
	if err := backups.Commit(t.Context(), i); err != nil {
		t.Fatal(err)
	}
	in.must(ExitOK, "cleanup", names[3])
	for k, n := range names {
		want := ExitOK
		if k < 1 {
			want = ExitAbsent
		}
		in.must(want, "restore", n, "pg_wal/RECOVERYXLOG")
	}
	in.writeConfig(func(c *Config) { c.Elsewhere = []string{"vault"} })
	in.must(ExitRefused, "cleanup", names[3])
	in.writeConfig(func(c *Config) { c.Targets[0].BackupDir = "" })
	in.must(ExitRefused, "cleanup", names[3])
}
