package wal

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"pg_manage/executor/repo"
)

// TestWhatWaitedBeforeATargetHadRecipientsIsEncryptedForIt: segments in every form, and a
// history file.
func TestWhatWaitedBeforeATargetHadRecipientsIsEncryptedForIt(t *testing.T) {
	recipient, file := keys(t)
	in := newInstance(t)
	second := func(change func(t *repo.Target)) {
		in.writeConfig(func(c *Config) {
			other := repo.Target{Name: "cloud", Scheme: "file", Path: in.target + "2", ArchiveDir: "pg_archlog"}
			change(&other)
			c.Targets = append(c.Targets, other)
		})
	}
	in.writeConfig(in.second(nil))
	in.init()
	back := in.cut()
	files := map[string][]byte{}
	for i, form := range []string{"zstd", "lz4", "gzip", "none"} {
		name := seg1[:23] + string("1234"[i])
		files[name] = segment(t, name, uint64(i))
		second(func(t *repo.Target) { t.Compression = form })
		in.write("pg_wal/"+name, files[name])
		in.must(ExitOK, "archive", "pg_wal/"+name)
	}
	files["00000002.history"] = []byte("1\t0/1000000\tx\n")
	in.write("pg_wal/00000002.history", files["00000002.history"])
	in.must(ExitOK, "archive", "pg_wal/00000002.history")
	back()
	second(func(t *repo.Target) { t.Recipients, t.AgeIdentityFile = []string{recipient}, file })
	in.drain(len(files))
	found := 0
	for path, content := range in.inArchiveOf(in.target + "2") {
		if strings.HasSuffix(path, "archive.json") {
			continue
		}
		found++
		if !strings.HasSuffix(path, ".age") || !strings.HasPrefix(content, "age-encryption.org/v1\n") {
			t.Errorf("%s is not encrypted", path)
		}
	}
	if found != len(files) {
		t.Errorf("%d files of %d are there", found, len(files))
	}
	if err := os.RemoveAll(in.target); err != nil { // the second one alone
		t.Fatal(err)
	}
	for name, content := range files {
		in.must(ExitOK, "restore", "--retries", "0", name, "pg_wal/RECOVERYXLOG")
		if got, err := os.ReadFile("pg_wal/RECOVERYXLOG"); err != nil || !bytes.Equal(got, content) {
			t.Errorf("%s came back other than it went: %v", name, err)
		}
		if err := os.Remove("pg_wal/RECOVERYXLOG"); err != nil {
			t.Fatal(err)
		}
	}
}
