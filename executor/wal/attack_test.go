package wal

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"pg_manage/executor/repo"
	"pg_manage/executor/repo/storage"
)

// before is a driver that lets something happen before Put.
type before struct {
	storage.Driver
	first func()
}

func (b *before) Put(ctx context.Context, name string, r io.Reader) error {
	b.first()
	return b.Driver.Put(ctx, name, r)
}

// TestAShareThatGoesAwayInBetweenSwallowsNothing: it is unmounted between the look at
// whose archive it is and the writing, which then lands on the disk below.
func TestAShareThatGoesAwayInBetweenSwallowsNothing(t *testing.T) {
	in := newInstance(t)
	in.init()
	open := func(ctx context.Context, tg repo.Target) (storage.Driver, error) {
		d, err := repo.Open(ctx, tg)
		return &before{d, func() {
			if err := errors.Join(os.Rename(in.target, in.target+".away"), os.Mkdir(in.target, 0o700)); err != nil {
				t.Error(err)
			}
		}}, err
	}
	if err := in.load(open).Archive(t.Context(), ".", "pg_wal/"+seg1); err == nil {
		t.Error("it says that the file is archived, and it lies below the mount point")
	}
}

// TestAForeignArchiveSaysNothing: not even by what it has. History and backup files
// don't bear the cluster's system identifier.
func TestAForeignArchiveSaysNothing(t *testing.T) {
	in := newInstance(t)
	in.init()
	backup := seg1 + ".00000028.backup"
	in.write("pg_wal/00000002.history", []byte("1\t0/1000000\tx\n"))
	in.write("pg_wal/"+backup, []byte("START WAL LOCATION: 0/1000028 (file "+seg1+")\n"))
	for _, name := range []string{"00000002.history", backup} {
		in.must(ExitOK, "archive", "pg_wal/"+name)
	}
	file := in.stored("archive.json")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var id Identity
	if err := json.Unmarshal(text, &id); err != nil {
		t.Fatal(err)
	}
	id.SystemIdentifier = "42"
	if text, err = json.Marshal(id); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"00000002.history", backup, "00000003.history", seg1} {
		in.must(ExitUnclear, "restore", "--retries", "0", name, "pg_wal/RECOVERYXLOG")
		if found, _ := filepath.Glob("pg_wal/*[XM]*"); len(found) > 0 {
			t.Fatalf("%s: restore left %v", name, found)
		}
	}
}

// TestAFileThatShrinksWhileItIsReadIsNotStored: and its error is none that a driver
// could take for the end.
func TestAFileThatShrinksWhileItIsReadIsNotStored(t *testing.T) {
	in := newInstance(t)
	in.init()
	path := filepath.Join(in.data, "pg_wal", seg1)
	src, err := openSource(path, wal(t, seg1), system)
	if err != nil {
		t.Fatal(err)
	}
	defer src.close()
	if err := os.Truncate(path, segSize/2); err != nil {
		t.Fatal(err)
	}
	r, err := src.encoded(in.load(nil).forms["nas"].segment)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, r); err == nil || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("got %v", err)
	}
}
