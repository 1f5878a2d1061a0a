package wal

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/crypto/ssh"

	"pg_manage/executor/remote"
	"pg_manage/executor/repo"
)

// keyFile is the private key that this instance logs in to its target with, when the
// operating system user has none of his own.
func (c *Config) keyFile(t repo.Target) string {
	if t.IdentityFile != "" {
		return t.IdentityFile
	}
	return c.beside("ssh", "id_ed25519")
}

// EnsureKey makes an SSH key pair unless there is one, and gives the public key's line
// for authorized_keys. comment stands at its end.
func EnsureKey(file, comment string) (line string, err error) {
	if line, err := publicLine(file); err == nil || !errors.Is(err, fs.ErrNotExist) {
		return line, err
	}
	pub, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return "", err
	}
	block, err := ssh.MarshalPrivateKey(private, comment)
	if err != nil {
		return "", err
	}
	key, err := ssh.NewPublicKey(pub)
	if err != nil {
		return "", err
	}
	line = strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key))) + " " + comment
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return "", err
	}
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return "", err
	}
	_, err = f.Write(pem.EncodeToMemory(block))
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return "", errors.Join(err, os.Remove(file))
	}
	return line, os.WriteFile(file+".pub", []byte(line+"\n"), 0o644)
}

func publicLine(file string) (string, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	signer, err := ssh.ParsePrivateKey(text)
	if err != nil {
		if pub, perr := os.ReadFile(file + ".pub"); perr == nil {
			return strings.TrimSpace(string(pub)), nil
		}
		return "", fmt.Errorf("%s: %w", file, err)
	}
	if pub, err := os.ReadFile(file + ".pub"); err == nil {
		return strings.TrimSpace(string(pub)), nil
	}
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(signer.PublicKey()))), nil
}

// explainLogin adds to a refused login the line that the target's account needs. With
// create it makes a key when the user has none.
func (c *Config) explainLogin(err error, t repo.Target, create bool) error {
	var auth *remote.AuthError
	if !errors.As(err, &auth) {
		return err
	}
	var lines []string
	own := c.keyFile(t)
	home, _ := os.UserHomeDir()
	for _, f := range []string{own, filepath.Join(home, ".ssh", "id_ed25519"), filepath.Join(home, ".ssh", "id_ecdsa"), filepath.Join(home, ".ssh", "id_rsa")} {
		if line, err := publicLine(f); err == nil {
			lines = append(lines, line)
			break
		}
	}
	if len(lines) == 0 {
		if !create {
			return fmt.Errorf("%w (this user has no SSH key; pg_manage apply makes one and prints the line to add there)", err)
		}
		line, kerr := EnsureKey(own, "pg_manage "+c.Cluster+"/"+c.Node)
		if kerr != nil {
			return errors.Join(err, fmt.Errorf("making an SSH key: %w", kerr))
		}
		lines = append(lines, line)
	}
	// On a line of its own, which is shown unbroken: it is there to be copied.
	return fmt.Errorf("%w; the line to add to ~%s/.ssh/authorized_keys on %s:\n    %s", err, auth.User, t.Host, lines[0])
}
