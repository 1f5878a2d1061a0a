package wal

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/age"

	"pg_manage/executor/repo"
)

// keys makes a key pair, whose private half lies in a file.
func keys(t *testing.T) (recipient, file string) {
	t.Helper()
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(t.TempDir(), "key.txt")
	if err := os.WriteFile(file, []byte(id.String()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return id.Recipient().String(), file
}

// first changes the first target.
func first(change func(t *repo.Target)) func(c *Config) {
	return func(c *Config) { change(&c.Targets[0]) }
}

// TestANodeThatCanOnlyEncrypt archives, and sees by the checksum whether what is there
// already is the same. What it cannot read is not absent.
func TestANodeThatCanOnlyEncrypt(t *testing.T) {
	recipient, file := keys(t)
	in := newInstance(t)
	in.writeConfig(first(func(t *repo.Target) { t.Recipients = []string{recipient} }))
	s := in.init()
	history := []byte("1\t0/1000000\tx\n")
	in.write("pg_wal/00000002.history", history)
	files := map[string][]byte{seg1: s, "00000002.history": history}
	for name := range files {
		for range 2 {
			in.must(ExitOK, "archive", "pg_wal/"+name)
		}
	}
	for name := range in.inArchive() {
		if !strings.HasSuffix(name, ".age") && filepath.Base(name) != "archive.json" {
			t.Errorf("%s is not encrypted", name)
		}
	}
	in.write("pg_wal/"+seg1, segment(t, seg1, 99))
	in.write("pg_wal/00000002.history", []byte("1\t0/1000000\ty\n"))
	for name := range files {
		if said := in.must(ExitRefused, "archive", "pg_wal/"+name); !strings.Contains(said, "OTHER content") {
			t.Error(said)
		}
	}
	for _, standby := range []bool{false, true} {
		want := ExitUnclear
		if standby {
			in.write("standby.signal", nil)
			want = ExitRetry
		}
		for name := range files {
			in.must(want, "restore", "--retries", "0", name, "pg_wal/RECOVERYXLOG")
		}
		in.must(ExitAbsent, "restore", "--retries", "0", seg2, "pg_wal/RECOVERYXLOG")
	}
	_, other := keys(t)
	in.writeConfig(first(func(t *repo.Target) { t.Recipients, t.AgeIdentityFile = []string{recipient}, other }))
	in.must(ExitRetry, "restore", "--retries", "0", seg1, "pg_wal/RECOVERYXLOG")
	in.writeConfig(first(func(t *repo.Target) { t.Recipients, t.AgeIdentityFile = []string{recipient}, file }))
	for name, content := range files {
		in.must(ExitOK, "restore", "--retries", "0", name, "pg_wal/RECOVERYXLOG")
		if got, err := os.ReadFile("pg_wal/RECOVERYXLOG"); err != nil || !bytes.Equal(got, content) {
			t.Errorf("%s came back other than it went: %v", name, err)
		}
	}
}

// TestAnArchiveOfMixedForms: compression and recipients were changed in between. Every
// file comes back, and a name is never stored twice.
func TestAnArchiveOfMixedForms(t *testing.T) {
	recipient, file := keys(t)
	in := newInstance(t)
	in.init()
	var forms []func(t *repo.Target)
	for _, c := range []string{"zstd", "lz4", "gzip", "none"} {
		forms = append(forms,
			func(t *repo.Target) { t.Compression = c },
			func(t *repo.Target) { t.Compression, t.Recipients = c, []string{recipient} })
	}
	names := []string{}
	for i, form := range forms {
		name := seg1[:23] + string("123456789"[i])
		names = append(names, name)
		in.write("pg_wal/"+name, segment(t, name, uint64(i)))
		in.writeConfig(first(form))
		in.must(ExitOK, "archive", "pg_wal/"+name)
	}
	before := in.inArchive()
	for _, form := range forms {
		in.writeConfig(first(func(t *repo.Target) { form(t); t.AgeIdentityFile = file }))
		for i, name := range names {
			in.write("pg_wal/"+name, segment(t, name, uint64(i)))
			in.must(ExitOK, "archive", "pg_wal/"+name)
			in.must(ExitOK, "restore", "--retries", "0", name, "pg_wal/RECOVERYXLOG")
			if got, err := os.ReadFile("pg_wal/RECOVERYXLOG"); err != nil || !bytes.Equal(got, segment(t, name, uint64(i))) {
				t.Errorf("%s came back other than it went: %v", name, err)
			}
			in.write("pg_wal/"+name, segment(t, name, 99))
			in.must(ExitRefused, "archive", "pg_wal/"+name)
		}
	}
	after := in.inArchive()
	for name, content := range before {
		if after[name] != content {
			t.Errorf("%s was changed", name)
		}
	}
	if len(after) != len(before) {
		t.Errorf("%d files became %d", len(before), len(after))
	}
}

// TestASecondTargetStepsIn where the first is damaged, has not got the file, or is
// away; only when all were asked is anything absent.
func TestASecondTargetStepsIn(t *testing.T) {
	in := newInstance(t)
	both := in.second(func(t *repo.Target) { t.Required = true })
	in.writeConfig(both)
	s := in.init()
	in.must(ExitOK, "archive", "pg_wal/"+seg1)
	file := in.stored(seg1[:16] + "/" + seg1 + ".zst")
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	restored := func(what string) {
		t.Helper()
		in.must(ExitOK, "restore", "--retries", "0", seg1, "pg_wal/RECOVERYXLOG")
		if got, err := os.ReadFile("pg_wal/RECOVERYXLOG"); err != nil || !bytes.Equal(got, s) {
			t.Errorf("%s: %d other bytes, %v", what, len(got), err)
		}
	}
	for what, content := range map[string][]byte{"cut": whole[:len(whole)/2], "empty": {}, "garbage": bytes.Repeat([]byte("x"), 1000)} {
		if err := os.WriteFile(file, content, 0o600); err != nil {
			t.Fatal(err)
		}
		restored(what)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	restored("absent")
	in.must(ExitAbsent, "restore", "--retries", "0", seg2, "pg_wal/RECOVERYXLOG")
	if err := os.Rename(in.target, in.target+".away"); err != nil {
		t.Fatal(err)
	}
	restored("away")
	in.must(ExitUnclear, "restore", "--retries", "0", seg2, "pg_wal/RECOVERYXLOG")
	// A required one that is away is a failure, and the other has the file by then.
	in.write("pg_wal/"+seg2, segment(t, seg2, 2))
	in.must(ExitFailed, "archive", "pg_wal/"+seg2)
	if err := os.Rename(in.target+".away", in.target); err != nil {
		t.Fatal(err)
	}
	in.must(ExitOK, "archive", "pg_wal/"+seg2)
}

// TestReadyGivesPostgreSQLsOrder and passes over what is no WAL file.
func TestReadyGivesPostgreSQLsOrder(t *testing.T) {
	in := newInstance(t)
	want := []string{"00000002.history", "0000000A.history", seg1, seg1 + ".00000028.backup", seg2 + ".partial", "000000020000000000000001"}
	if err := os.Mkdir("pg_wal/archive_status", 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range append([]string{"x", "000000010000000000000009.done", ".."}, want...) {
		if strings.HasSuffix(name, ".done") {
			in.write("pg_wal/archive_status/"+name, nil)
			continue
		}
		in.write("pg_wal/archive_status/"+name+".ready", nil)
	}
	ready, err := in.config1(t).Ready()
	var got []string
	for _, f := range ready {
		got = append(got, f.Name)
	}
	if err != nil || strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("got %v, %v", got, err)
	}
}
