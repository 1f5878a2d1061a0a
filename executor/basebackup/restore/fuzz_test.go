package restore

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"testing"

	"pg_manage/executor/basebackup/backuptest"
	"pg_manage/executor/basebackup/frame"
	"pg_manage/executor/basebackup/verify"
	"pg_manage/executor/repo"
	"pg_manage/executor/repo/catalog"
)

// tampered puts another index into a backup, with its size and sum in backup.json.
func (w *world) tampered(info catalog.Info, plain []byte) {
	w.t.Helper()
	coder, err := frame.NewCoder("zstd")
	if err != nil {
		w.t.Fatal(err)
	}
	var packed []byte
	for rest := plain; len(rest) > 0; rest = rest[min(len(rest), frame.Max):] {
		if packed, err = coder.Encode(packed, rest[:min(len(rest), frame.Max)]); err != nil {
			w.t.Fatal(err)
		}
	}
	sum := sha256.Sum256(packed)
	info.Index.Size, info.Index.SHA256 = int64(len(packed)), hex.EncodeToString(sum[:])
	text, err := info.Encode()
	if err != nil {
		w.t.Fatal(err)
	}
	backuptest.Write(w.t, filepath.Join(w.target.Dir, info.Label), info.Index.Name, packed)
	backuptest.Write(w.t, filepath.Join(w.target.Dir, info.Label), "backup.json", text)
}

// plainIndex is the index of a backup as it is.
func (w *world) plainIndex(info *catalog.Info) []byte {
	w.t.Helper()
	b, err := os.ReadFile(filepath.Join(w.target.Dir, info.Label, info.Index.Name))
	if err != nil {
		w.t.Fatal(err)
	}
	coder, err := frame.NewCoder("zstd")
	if err != nil {
		w.t.Fatal(err)
	}
	plain, err := coder.Decode(nil, b)
	if err != nil {
		w.t.Fatal(err)
	}
	return plain
}

// An index that somebody wrote must not make us write outside of the places that we were
// told, nor bring the program down.
func FuzzAHostileIndexLeadsNowhere(f *testing.F) {
	w := newWorld(f, repo.Target{Name: "here"})
	full := w.target.Take(f, w.source, 0, "")
	plain := w.plainIndex(full)
	f.Add([]byte("base/5/big"), []byte("../../outside/x"))
	f.Add([]byte("base/5/big"), []byte("/outside/x"))
	f.Add([]byte("base/5/big"), []byte("pg_tblspc/16400"))
	f.Add([]byte("base/5/big"), []byte("pg_tblspc/16400/../../x"))
	f.Add([]byte(`{"dir":"base/5","mode":448}`), []byte(`{"link":"base/5","to":"`+w.dir+`/outside"}`))
	f.Add([]byte(`{"dir":"base/5","mode":448}`), []byte(`{"link":"pg_tblspc/5","to":"`+w.dir+`/outside"}`))
	f.Add([]byte(`"pg_tblspc/16400/PG_15`), []byte(`"pg_tblspc/16400/PG_x`))
	f.Add([]byte(`"mode":384`), []byte(`"mode":4095`))
	f.Add([]byte(`"chunks":[[0,128,0,`), []byte(`"chunks":[[0,128,7,`))
	f.Add([]byte(`"chunks":[[0,`), []byte(`"chunks":[[0,1`))
	f.Add([]byte(`"size":`), []byte(`"size":1`))
	f.Add([]byte("global/pg_control"), []byte("global/pg_contro1"))
	f.Add([]byte("base/5/1001"), []byte("postmaster.pid"))
	outside := w.mkdir("outside")
	f.Fuzz(func(t *testing.T, from, to []byte) {
		if len(from) == 0 {
			return
		}
		w.t = t
		w.tampered(*full, bytes.Replace(plain, from, to, 1))
		o := w.options(full.Label, "a")
		_, err := Restore(t.Context(), o)
		if left, rerr := os.ReadDir(outside); rerr != nil || len(left) > 0 {
			t.Fatalf("written outside: %v, %v", left, rerr)
		}
		for _, name := range []string{"outside/x", "x", "a/postmaster.pid"} {
			if _, err := os.Lstat(filepath.Join(w.dir, name)); err == nil {
				t.Fatalf("%s was written", name)
			}
		}
		if err == nil {
			if _, err := os.Stat(filepath.Join(o.DataDir, controlFile)); err != nil {
				t.Error(err)
			}
		} else if _, err := os.Stat(filepath.Join(o.DataDir, controlFile)); err == nil {
			t.Error("half a restore can be started")
		}
		if _, err := verify.Verify(context.Background(), w.target.Catalog, full.Label, verify.Options{TempDir: t.TempDir()}); err != nil {
			t.Errorf("what is there can be read: %v", err)
		}
		for _, name := range []string{"a", "a-space"} {
			if err := os.RemoveAll(filepath.Join(w.dir, name)); err != nil {
				t.Fatal(err)
			}
		}
	})
}
