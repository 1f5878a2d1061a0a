package archiver

import (
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"pg_manage/executor/repo"
	"pg_manage/executor/wal"
)

// TestInstancesWithASharedSpoolDirectoryHaveSpoolsOfTheirOwn has names that are alike when
// they are joined, and what an earlier version left.
func TestInstancesWithASharedSpoolDirectoryHaveSpoolsOfTheirOwn(t *testing.T) {
	shared := t.TempDir()
	config := func(cluster, node string) *wal.Config {
		text, err := json.Marshal(wal.Config{
			Version: wal.ConfigVersion, Cluster: cluster, Node: node, DataDir: t.TempDir(), SpoolDir: shared,
			Targets: []repo.Target{{Name: "nas", Scheme: "file", Path: t.TempDir(), ArchiveDir: "a", Required: true}},
		})
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(t.TempDir(), "hook.json")
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := wal.LoadConfig(file)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	one, other := config("a-b", "c"), config("a", "b-c")
	left := filepath.Join(one.FormerSpool(), "1", "000000010000000000000001")
	if err := os.MkdirAll(filepath.Dir(left), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(left, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	start := func(c *wal.Config) {
		t.Helper()
		a, err := newArchiver(c, func() bool { return true }, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			a.cancel(nil)
			a.queued()
			a.drains.Wait()
			a.fetch.close()
			if err := a.in.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	start(one)
	if _, err := os.Stat(one.FormerSpool()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what an earlier version left is there still: %v", err)
	}
	mine := filepath.Join(one.Spool(), "mine")
	if err := os.WriteFile(mine, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	start(other)
	if _, err := os.Stat(mine); err != nil {
		t.Errorf("the other instance emptied this one's spool: %v", err)
	}
}
