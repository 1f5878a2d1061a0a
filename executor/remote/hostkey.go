package remote

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"

	"github.com/skeema/knownhosts"
	"golang.org/x/crypto/ssh"
	xknownhosts "golang.org/x/crypto/ssh/knownhosts"
)

// hostKeyCheck decides whether a host's key is the one that is known.
type hostKeyCheck struct {
	label    string
	lookup   string // host:port to look for in known_hosts
	bare     string // the same with port 22, as OpenSSH looks when the port's own entry is missing; or ""
	db       *knownhosts.HostKeyDB
	declared []ssh.PublicKey
	err      error // why a key was refused; written once, before the handshake fails
	accepted bool
}

func newHostKeyCheck(t *target) (*hostKeyCheck, error) {
	c := &hostKeyCheck{label: t.label}
	host := strings.ToLower(t.host)
	c.lookup = net.JoinHostPort(host, fmt.Sprint(t.port))
	if t.hostKeyAlias != "" {
		c.lookup = net.JoinHostPort(strings.ToLower(t.hostKeyAlias), "22")
	} else if t.port != 22 {
		c.bare = net.JoinHostPort(host, "22")
	}
	for _, line := range t.hostKeys {
		key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(line))
		if err != nil {
			return nil, fmt.Errorf("%s: the declared host key %q is not of the form \"ssh-ed25519 AAAA...\": %w", t.label, line, err)
		}
		c.declared = append(c.declared, key)
	}
	var files []string
	for _, f := range t.knownHosts {
		if _, err := os.Stat(f); err == nil {
			files = append(files, f)
		}
	}
	var err error
	if c.db, err = knownhosts.NewDB(files...); err != nil {
		return nil, fmt.Errorf("%s: cannot read the known hosts (correct or remove that line): %w", t.label, err)
	}
	return c, nil
}

// algorithms puts those of the known keys first, so that the host shows a key that
// can be checked, and then the rest, so that another key is named in the error.
func (c *hostKeyCheck) algorithms() []string {
	var list []string
	for _, k := range c.declared {
		switch k.Type() {
		case ssh.KeyAlgoRSA:
			list = append(list, ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256)
		default:
			list = append(list, k.Type())
		}
	}
	for _, name := range []string{c.lookup, c.bare} {
		if name == "" {
			continue
		}
		// A certificate need not be of the type of the authority's own key.
		if slices.ContainsFunc(c.db.HostKeys(name), func(k knownhosts.PublicKey) bool { return k.Cert }) {
			list = append(list, ssh.CertAlgoED25519v01, ssh.CertAlgoECDSA256v01, ssh.CertAlgoECDSA384v01,
				ssh.CertAlgoECDSA521v01, ssh.CertAlgoRSASHA512v01, ssh.CertAlgoRSASHA256v01)
		}
		list = append(list, c.db.HostKeyAlgorithms(name)...)
	}
	list = append(list, ssh.KeyAlgoED25519, ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521,
		ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256)
	seen := map[string]bool{ssh.KeyAlgoRSA: true, "ssh-dss": true, ssh.CertAlgoRSAv01: true} // SHA-1, DSA: refused
	return slices.DeleteFunc(list, func(a string) bool {
		dup := seen[a]
		seen[a] = true
		return dup
	})
}

func (c *hostKeyCheck) check(_ string, remote net.Addr, key ssh.PublicKey) error {
	c.err = c.decide(remote, key)
	c.accepted = c.err == nil
	return c.err
}

func (c *hostKeyCheck) decide(remote net.Addr, key ssh.PublicKey) error {
	if _, _, err := net.SplitHostPort(remote.String()); err != nil {
		remote = &net.TCPAddr{IP: net.IPv4zero} // through a jump host
	}
	callback := c.db.HostKeyCallback()
	err := callback(c.lookup, remote, key)
	if err != nil && c.bare != "" && knownhosts.IsHostUnknown(err) {
		if bareErr := callback(c.bare, remote, key); bareErr == nil {
			err = nil
		}
	}
	bad := &HostKeyError{Host: c.label, Fingerprint: ssh.FingerprintSHA256(key), KeyLine: knownhosts.Line([]string{c.lookup}, key)}
	var revoked *xknownhosts.RevokedError
	if errors.As(err, &revoked) {
		bad.Known = fmt.Sprintf("%s:%d", revoked.Revoked.Filename, revoked.Revoked.Line)
		bad.Revoked = true
		return bad
	}
	for _, d := range c.declared {
		if bytes.Equal(d.Marshal(), key.Marshal()) {
			return nil
		}
	}
	var keyErr *xknownhosts.KeyError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &keyErr) && len(keyErr.Want) > 0:
		bad.Changed = true
		bad.Known = fmt.Sprintf("%s:%d", keyErr.Want[0].Filename, keyErr.Want[0].Line)
	case len(c.declared) > 0:
		bad.Changed = true
		bad.Known = "the host keys declared for it"
	case keyErr == nil:
		bad.Err = err // a certificate that does not hold
	}
	return bad
}
