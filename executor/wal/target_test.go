package wal

import (
	"bytes"
	"encoding/pem"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/age"
	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"

	"pg_manage/executor/repo"
)

// TestEveryTarget keeps the contract at each kind of target, plain and encrypted.
func TestEveryTarget(t *testing.T) {
	for kind, prepare := range map[string]func(t *testing.T, in *instance) repo.Target{
		"file": func(_ *testing.T, in *instance) repo.Target { return repo.Target{Scheme: "file", Path: in.target} },
		"ssh":  sshTarget,
		"s3":   s3Target,
	} {
		forms := []string{"zstd", "lz4", "gzip", "none", "zstd and age", "none and age"}
		if kind == "ssh" { // which has no other name or byte to carry, and a login for each call
			forms = []string{"zstd", "none", "zstd and age"}
		}
		for _, form := range forms {
			t.Run(kind+", "+form, func(t *testing.T) {
				in := newInstance(t)
				target := prepare(t, in)
				target.Name, target.ArchiveDir, target.Required = "nas", "pg_archlog", true
				compression, encrypted := strings.CutSuffix(form, " and age")
				target.Compression = compression
				if encrypted {
					ageKey(t, in, &target)
				}
				in.writeConfig(func(c *Config) { c.Targets = []repo.Target{target} })
				in.keepsContract()
				if encrypted {
					in.withoutKey(target)
				}
			})
		}
	}
}

func sshTarget(t *testing.T, in *instance) repo.Target {
	s := &server{t: t, root: t.TempDir(), uid: os.Getuid(), gid: os.Getgid()}
	s.mkdir(s.root + "/state")
	d := startSSHD(t, s)
	return repo.Target{Scheme: "ssh", Host: "127.0.0.1", Port: d.port, User: d.user, Path: in.target, HostKeys: []string{d.hostKey}, IdentityFile: d.identity}
}

func s3Target(t *testing.T, _ *instance) repo.Target {
	backend := s3mem.New()
	if err := backend.CreateBucket("wal"); err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(gofakes3.New(backend).Server())
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	dir := t.TempDir()
	ca, keys := filepath.Join(dir, "ca.pem"), filepath.Join(dir, "credentials")
	for file, text := range map[string]string{
		ca:   string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})),
		keys: "[default]\naws_access_key_id = ACCESS\naws_secret_access_key = SECRET\n",
	} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return repo.Target{Scheme: "s3", Host: "wal", Path: "pre/fix", Endpoint: s.URL, PathStyle: true, CAFile: ca, CredentialsFile: keys}
}

func ageKey(t *testing.T, in *instance, target *repo.Target) {
	t.Helper()
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	target.Recipients = []string{id.Recipient().String()}
	target.AgeIdentityFile = filepath.Join(filepath.Dir(in.config), "age.key")
	if err := os.WriteFile(target.AgeIdentityFile, []byte(id.String()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
}

const history = "00000002.history"

// keepsContract archives, archives again, and restores each kind of file.
func (in *instance) keepsContract() {
	t := in.t
	t.Helper()
	in.init()
	files := map[string][]byte{
		seg1: segment(t, seg1, 1), seg2 + ".partial": segment(t, seg2, 2), history: []byte("1\t0/1000000\tno reason\n"),
		seg1 + ".00000028.backup": []byte("START WAL LOCATION: 0/100028 (file " + seg1 + ")\n"),
	}
	for name, content := range files {
		in.must(ExitAbsent, "restore", name, "pg_wal/RECOVERYXLOG")
		in.write("pg_wal/"+name, content)
		in.must(ExitOK, "archive", "pg_wal/"+name)
		in.must(ExitOK, "archive", "pg_wal/"+name)
		in.restores(name, content)
	}
	in.write("pg_wal/"+seg1, segment(t, seg1, 99))
	in.write("pg_wal/"+history, []byte("1\t0/2000000\tno reason\n"))
	for _, name := range []string{seg1, history} {
		if said := in.must(ExitRefused, "archive", "pg_wal/"+name); !strings.Contains(said, "OTHER content") {
			t.Error(said)
		}
		in.restores(name, files[name])
		in.write("pg_wal/"+name, files[name])
	}
}

func (in *instance) restores(name string, want []byte) {
	in.t.Helper()
	in.must(ExitOK, "restore", name, "pg_wal/RECOVERYXLOG")
	got, err := os.ReadFile(filepath.Join(in.data, "pg_wal/RECOVERYXLOG"))
	if err != nil || !bytes.Equal(got, want) {
		in.t.Errorf("%s came back as other content: %v", name, err)
	}
	if err := os.Remove(filepath.Join(in.data, "pg_wal/RECOVERYXLOG")); err != nil {
		in.t.Error(err)
	}
}

// withoutKey: a node that can only encrypt archives all the same, and can tell the same
// content from other content; it never says that a file is absent which it cannot read.
func (in *instance) withoutKey(target repo.Target) {
	t := in.t
	t.Helper()
	target.AgeIdentityFile = ""
	in.writeConfig(func(c *Config) { c.Targets = []repo.Target{target} })
	in.must(ExitOK, "archive", "pg_wal/"+seg1)
	in.must(ExitOK, "archive", "pg_wal/"+history)
	in.write("pg_wal/"+seg1, segment(t, seg1, 99))
	if said := in.must(ExitRefused, "archive", "pg_wal/"+seg1); !strings.Contains(said, "OTHER content") {
		t.Error(said)
	}
	if said := in.must(ExitUnclear, "restore", "--retries", "0", seg1, "pg_wal/RECOVERYXLOG"); !strings.Contains(said, "age_identity_file") {
		t.Error(said)
	}
	in.must(ExitAbsent, "restore", "000000010000000000000009", "pg_wal/RECOVERYXLOG")
}
