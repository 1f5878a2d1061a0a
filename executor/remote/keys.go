package remote

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// keyring is what we can offer to a host, the likeliest key first.
type keyring struct {
	signers []ssh.Signer
	tried   []string
	skipped []string
	agent   io.Closer
}

func (k *keyring) close() {
	if k.agent != nil {
		k.agent.Close()
	}
}

// loadKeys collects the operator's keys in the order in which they are offered: files
// named for the host, other keys of the agent, OpenSSH's usual files. Hosts give up
// after a few refused keys (MaxAuthTries), so the order matters.
func loadKeys(t *target) *keyring {
	k := &keyring{}
	fromAgent := k.openAgent(t.agentSocket)
	used := map[string]bool{}
	add := func(s ssh.Signer) bool {
		id := string(s.PublicKey().Marshal())
		if used[id] {
			return false
		}
		used[id] = true
		k.signers = append(k.signers, s)
		return true
	}
	files := func(paths []string, must bool) {
		for _, p := range paths {
			signers, err := loadKeyFile(p, t.certificates, fromAgent)
			switch {
			case errors.Is(err, fs.ErrNotExist) && !must:
				continue
			case err != nil:
				k.skipped = append(k.skipped, err.Error())
				continue
			}
			for _, s := range signers {
				add(s)
			}
			k.tried = append(k.tried, p)
		}
	}
	files(t.identities, true)
	if !t.identitiesOnly {
		n := 0
		for _, s := range fromAgent {
			if add(s) {
				n++
			}
		}
		if n > 0 {
			k.tried = append(k.tried, fmt.Sprintf("agent: %d keys", n))
		}
	}
	files(t.defaults, false)
	return k
}

func (k *keyring) openAgent(socket string) []ssh.Signer {
	if socket == "" {
		return nil
	}
	conn, err := net.Dial("unix", socket)
	if err != nil {
		k.skipped = append(k.skipped, fmt.Sprintf("the agent at %s cannot be reached: %v", socket, err))
		return nil
	}
	k.agent = conn
	signers, err := agent.NewClient(conn).Signers()
	if err != nil {
		k.skipped = append(k.skipped, fmt.Sprintf("the agent at %s: %v", socket, err))
	}
	return signers
}

// loadKeyFile gives the signers of one private key: with its certificates first, then
// plain. A key that is encrypted, or lies here as its public half only, is used
// through the agent when that has it.
func loadKeyFile(path string, certificates []string, fromAgent []ssh.Signer) ([]ssh.Signer, error) {
	signer, err := parseKeyFile(path, fromAgent)
	if err != nil {
		return nil, err
	}
	signers := []ssh.Signer{signer}
	for _, file := range append([]string{path + "-cert.pub"}, certificates...) {
		text, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		pub, _, _, _, err := ssh.ParseAuthorizedKey(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		cert, ok := pub.(*ssh.Certificate)
		if !ok || !bytes.Equal(cert.Key.Marshal(), signer.PublicKey().Marshal()) {
			continue
		}
		cs, err := ssh.NewCertSigner(cert, signer)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		signers = append([]ssh.Signer{cs}, signers...)
	}
	return signers, nil
}

func parseKeyFile(path string, fromAgent []ssh.Signer) (ssh.Signer, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		if pub := publicHalf(path + ".pub"); pub != nil {
			if s := findSigner(fromAgent, pub); s != nil {
				return s, nil
			}
		}
		return nil, err
	}
	if info, err := os.Stat(path); err == nil && info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%s is readable by others (mode %04o): chmod 600 %s", path, info.Mode().Perm(), path)
	}
	signer, err := ssh.ParsePrivateKey(text)
	if err == nil {
		return signer, nil
	}
	var locked *ssh.PassphraseMissingError
	if !errors.As(err, &locked) {
		if pub, _, _, _, pubErr := ssh.ParseAuthorizedKey(text); pubErr == nil { // IdentityFile x.pub
			if s := findSigner(fromAgent, pub); s != nil {
				return s, nil
			}
			return nil, fmt.Errorf("%s is a public key, and the agent does not have its private half", path)
		}
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	pub := locked.PublicKey
	if pub == nil {
		pub = publicHalf(path + ".pub")
	}
	if pub != nil {
		if s := findSigner(fromAgent, pub); s != nil {
			return s, nil
		}
	}
	return nil, fmt.Errorf("%s is encrypted with a passphrase: run `ssh-add %s` first", path, path)
}

func publicHalf(path string) ssh.PublicKey {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	pub, _, _, _, err := ssh.ParseAuthorizedKey(text)
	if err != nil {
		return nil
	}
	return pub
}

func findSigner(signers []ssh.Signer, pub ssh.PublicKey) ssh.Signer {
	for _, s := range signers {
		if bytes.Equal(s.PublicKey().Marshal(), pub.Marshal()) {
			return s
		}
	}
	return nil
}
