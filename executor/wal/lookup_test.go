package wal

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pg_manage/executor/repo"
	"pg_manage/executor/repo/storage"
)

// cutOff is a driver whose connection can be cut.
type cutOff struct {
	storage.Driver
	err *error
}

func (c cutOff) List(ctx context.Context, dir string) ([]storage.Info, error) {
	if *c.err != nil {
		return nil, *c.err
	}
	return c.Driver.List(ctx, dir)
}

func TestLookup(t *testing.T) {
	root := t.TempDir()
	target := repo.Target{Name: "nas", Scheme: "file", Path: root, ArchiveDir: "pg_archlog"}
	dir := filepath.Join(root, "pg_archlog", "main")
	write := func(name, text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var away error
	opened := 0
	l := NewLookup(target, "main", system, func(ctx context.Context, t repo.Target) (storage.Driver, error) {
		if away != nil {
			return nil, away
		}
		opened++
		d, err := repo.Open(ctx, t)
		return cutOff{d, &away}, err
	})
	defer l.Close() //nolint:errcheck // a directory
	want := func(name string, want bool) {
		t.Helper()
		if has, err := l.Has(t.Context(), name); err != nil || has != want {
			t.Errorf("%s: %v, %v", name, has, err)
		}
	}
	if _, err := l.Has(t.Context(), seg1); !errors.Is(err, errNotInitialised) {
		t.Errorf("without archive.json: %v", err)
	}
	identity := `{"version": 1, "cluster": "main", "system_identifier": "7711132678460134211", "segment_size": 1048576}`
	write("archive.json", strings.Replace(identity, "77111", "77112", 1))
	var refused *RefusedError
	if _, err := l.Has(t.Context(), seg1); !errors.As(err, &refused) || !strings.Contains(err.Error(), "is the archive of the cluster with system identifier 7711232678460134211") {
		t.Errorf("another cluster's archive: %v", err)
	}
	write("archive.json", identity)
	want(seg1, false)
	write(seg1[:16]+"/"+seg1+".zst.age", "x")
	write(seg1[:16]+"/"+seg2+".partial", "x")
	write("00000002.history", "x")
	want(seg1, true)
	want(seg2, false)
	want("00000002.history", true)
	want("00000003.history", false)
	write(seg1[:16]+"/"+seg2, "x") // as cp stores it
	want(seg2, true)

	// What was seen needs no target, what was not does.
	away = storage.ErrLost
	want(seg1, true)
	if has, err := l.Has(t.Context(), "000000010000000000000003"); err == nil {
		t.Errorf("while the target is away: %v", has)
	}
	away = nil
	want("000000010000000000000003", false)
	if opened < 2 {
		t.Error("the connection that broke was not opened again")
	}
	if _, err := l.Has(t.Context(), "../../etc/passwd"); err == nil {
		t.Error("a path is taken for a file of WAL")
	}
}
