package codec

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"filippo.io/age"
	"golang.org/x/crypto/ssh"
)

// sshKeys makes an SSH key, with a passphrase if that is not "".
func sshKeys(t *testing.T, passphrase string) keys {
	t.Helper()
	pub, priv, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(priv, "")
	if passphrase != "" {
		block, err = ssh.MarshalPrivateKeyWithPassphrase(priv, "", []byte(passphrase))
	}
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "id_ed25519")
	if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
	line, err := ssh.NewPublicKey(pub)
	if err != nil {
		t.Fatal(err)
	}
	return keys{file, string(ssh.MarshalAuthorizedKey(line))}
}

func hybridKeys(t *testing.T) keys {
	t.Helper()
	id, err := age.GenerateHybridIdentity()
	if err != nil {
		t.Fatal(err)
	}
	return keys{writeKey(t, id.String(), 0o600), id.Recipient().String()}
}

func TestEachOfSeveralRecipientsCanRead(t *testing.T) {
	plain := wal(100_000)
	for name, group := range map[string][]keys{
		"classic":      {newKeys(t), newKeys(t), sshKeys(t, "")},
		"ssh alone":    {sshKeys(t, "")},
		"post-quantum": {hybridKeys(t), hybridKeys(t)},
	} {
		var recipients []string
		for _, k := range group {
			recipients = append(recipients, k.recipient)
		}
		writer := open(t, Settings{Recipients: recipients}, "")
		stored := encode(t, writer, plain)
		sum, ok, err := StoredSum(bytes.NewReader(stored))
		if err != nil || !ok || sum != sha256.Sum256(plain) {
			t.Errorf("%s: the header's checksum: %x, %v, %v", name, sum, ok, err)
		}
		for _, k := range group {
			got, err := decodeAll(open(t, Settings{}, k.file), bytes.NewReader(stored), ".zst.age")
			if err != nil || !bytes.Equal(got, plain) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

func TestWithoutTheKeyItIsSaidWhatToDo(t *testing.T) {
	k, other := newKeys(t), newKeys(t)
	s := Settings{Recipients: []string{k.recipient}}
	stored := encode(t, open(t, s, ""), []byte("text"))
	for file, want := range map[string]string{"": "set the target's age_identity_file", other.file: "for others than the keys in " + other.file} {
		_, err := decodeAll(open(t, s, file), bytes.NewReader(stored), ".zst.age")
		var none *NoIdentityError
		if !errors.As(err, &none) || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), k.recipient) {
			t.Errorf("%q: %v", file, err)
		}
	}
}

func TestIdentityFilesThatMustNotBeUsedAreRefused(t *testing.T) {
	k := newKeys(t)
	secret, err := os.ReadFile(k.file)
	if err != nil {
		t.Fatal(err)
	}
	stored := encode(t, open(t, Settings{Recipients: []string{k.recipient}}, ""), []byte("text"))
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{
		writeKey(t, string(secret), 0o604):                  "chmod 600",
		writeKey(t, string(secret), 0o620):                  "chmod 600",
		writeKey(t, string(secret)+"AGE-SECRET-XYZ", 0o600): "something else than age identities",
		writeKey(t, "", 0o600):                              "something else than age identities",
		t.TempDir():                                         "not a regular file",
		fifo:                                                "not a regular file",
		filepath.Join(t.TempDir(), "none"):                  "no such file",
		sshKeys(t, "secret").file:                           "passphrase",
	} {
		_, err := decodeAll(open(t, Settings{}, file), bytes.NewReader(stored), ".zst.age")
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "age_identity_file "+file) || strings.Contains(err.Error(), "SECRET-XYZ") {
			t.Errorf("%s: %v", file, err)
		}
	}
	if os.Getuid() == 0 { // root's file may be read by the group that it was given to
		file := writeKey(t, string(secret), 0o640)
		if _, err := decodeAll(open(t, Settings{}, file), bytes.NewReader(stored), ".zst.age"); err != nil {
			t.Error(err)
		}
		if err := os.Chown(file, 1, 1); err != nil {
			t.Fatal(err)
		}
		if _, err := decodeAll(open(t, Settings{}, file), bytes.NewReader(stored), ".zst.age"); err == nil {
			t.Error("another user's file that a group may read was used")
		}
	}
}

func TestTheIdentityFileIsReadWhenItIsNeededAndAgainAfterAFailure(t *testing.T) {
	k := newKeys(t)
	c := open(t, Settings{Recipients: []string{k.recipient}}, filepath.Join(t.TempDir(), "later"))
	stored := encode(t, c, []byte("text"))
	if _, err := decodeAll(c, bytes.NewReader(stored), ".zst.age"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	if err := os.Rename(k.file, c.identity.file); err != nil {
		t.Fatal(err)
	}
	if got, err := decodeAll(c, bytes.NewReader(stored), ".zst.age"); err != nil || string(got) != "text" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestContentThatChangedSinceItsChecksumWasTakenIsNeverWhole(t *testing.T) {
	k := newKeys(t)
	c := open(t, Settings{Recipients: []string{k.recipient}}, k.file)
	var stored bytes.Buffer
	w, err := c.Writer(&stored, sha256.Sum256([]byte("before")))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte("after")); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); !errors.Is(err, errChanged) {
		t.Errorf("Close: %v", err)
	}
	_, err = decodeAll(c, bytes.NewReader(stored.Bytes()), ".zst.age")
	if err == nil {
		t.Error("it is whole")
	}
	mustBeDamage(t, err)
}

func TestStoredSumOfHeadersThatAreNone(t *testing.T) {
	k := newKeys(t)
	stored := string(encode(t, open(t, Settings{Recipients: []string{k.recipient}}, ""), []byte("text")))
	sum := sha256.Sum256([]byte("text"))
	line := "-> " + sumStanza + " " + hex.EncodeToString(sum[:]) + "\n\n"
	if !strings.Contains(stored, line) {
		t.Fatalf("the header is %q", stored[:200])
	}
	if _, ok, err := StoredSum(strings.NewReader(strings.Replace(stored, line, "", 1))); ok || err != nil {
		t.Errorf("without a checksum: %v, %v", ok, err)
	}
	for name, bad := range map[string]string{
		"empty":         "",
		"something":     "PGDATA",
		"two checksums": strings.Replace(stored, line, line+line, 1),
		"half of one":   strings.Replace(stored, line, line[:40]+"\n\n", 1),
		"no hex":        strings.Replace(stored, line, "-> "+sumStanza+" "+strings.Repeat("x", 64)+"\n\n", 1),
		"none":          strings.Replace(stored, line, "-> "+sumStanza+"\n\n", 1),
		"long line":     strings.Replace(stored, line, "-> "+strings.Repeat("x", 1<<20)+"\n\n", 1),
		"no end":        headerLine + "\n" + strings.Repeat("-> a\n\n", 1<<19),
		"long body":     strings.Replace(stored, line, "-> a\n"+strings.Repeat("A", 68)+"\n", 1),
	} {
		_, ok, err := StoredSum(strings.NewReader(bad))
		var damaged *DamagedError
		if ok || !errors.As(err, &damaged) {
			t.Errorf("%s: %v, %v", name, ok, err)
		}
	}
	for n := range strings.Index(stored, "\n---") + 5 {
		if _, ok, err := StoredSum(strings.NewReader(stored[:n])); ok || err == nil {
			t.Fatalf("%d bytes of a header: %v, %v", n, ok, err)
		}
	}
}
