package remote

import (
	"fmt"
	"strings"
	"time"
)

// CommandError is a command that ran to its end and failed.
type CommandError struct {
	Host     string
	Command  string // as a person would type it
	Status   int    // exit status; -1 when a signal ended it
	Signal   string // such as "KILL"; "" when it exited
	Stderr   string // the end of it
	Duration time.Duration
}

func (e *CommandError) Error() string {
	how := fmt.Sprintf("exit status %d", e.Status)
	if n := e.Status - 128; n > 0 && n < 32 {
		how += fmt.Sprintf(" (128+%d: a shell's way to say killed by signal %d)", n, n)
	}
	if e.Signal != "" {
		how = "killed by SIG" + e.Signal
	}
	msg := fmt.Sprintf("%s: %s: %s after %s", e.Host, e.Command, how, e.Duration.Round(time.Millisecond))
	if s := strings.TrimSpace(e.Stderr); s != "" {
		msg += ": " + s
	}
	return msg
}

// LostError is a connection that broke under a command: how the command ended is not known.
type LostError struct {
	Host    string
	Command string
	Err     error
}

func (e *LostError) Error() string {
	return fmt.Sprintf("%s: connection lost during %s, so its outcome is not known: %v", e.Host, e.Command, e.Err)
}

func (e *LostError) Unwrap() error { return e.Err }

// HostKeyError is a host whose key is not known, or is not the one that is known.
type HostKeyError struct {
	Host        string
	Changed     bool
	Revoked     bool
	Fingerprint string // SHA256:...
	KeyLine     string // the line for known_hosts
	Known       string // file:line of the key that is known, when Changed or Revoked
	Err         error  // what is wrong with a host certificate
}

func (e *HostKeyError) Error() string {
	switch {
	case e.Revoked:
		return fmt.Sprintf("%s: the host key %s is revoked at %s: do not connect before the host has a new key", e.Host, e.Fingerprint, e.Known)
	case e.Changed:
		return fmt.Sprintf("%s: the host key has CHANGED (%s; another one is known at %s): somebody may be listening in, or the host was set up anew; if you know that it was, remove that line", e.Host, e.Fingerprint, e.Known)
	case e.Err != nil:
		return fmt.Sprintf("%s: the host certificate is not valid (%s): %v", e.Host, e.Fingerprint, e.Err)
	}
	return fmt.Sprintf("%s: unknown host key %s; when this is the fingerprint that the host's console shows, add this line to ~/.ssh/known_hosts:\n    %s", e.Host, e.Fingerprint, e.KeyLine)
}

func (e *HostKeyError) Unwrap() error { return e.Err }

// AuthError is a host that accepted none of our keys.
type AuthError struct {
	Host    string
	User    string
	Tried   []string // what was offered, such as "agent: 2 keys", "/root/.ssh/id_ed25519"
	Skipped []string // what could not be offered, and why
	Err     error
}

func (e *AuthError) Error() string {
	tried := "no key at hand"
	if len(e.Tried) > 0 {
		tried = "offered " + strings.Join(e.Tried, ", ")
	}
	for _, s := range e.Skipped {
		tried += "; not offered: " + s
	}
	// What a server says when it merely takes none of the keys adds nothing.
	if e.Err != nil && !strings.Contains(e.Err.Error(), "unable to authenticate") {
		tried += "; " + e.Err.Error()
	}
	return fmt.Sprintf("%s: login as %s refused (%s): add the public key to ~%s/.ssh/authorized_keys there", e.Host, e.User, tried, e.User)
}

func (e *AuthError) Unwrap() error { return e.Err }

// ConnectError is a host that could not be reached at all.
type ConnectError struct {
	Host string
	Err  error
}

func (e *ConnectError) Error() string { return fmt.Sprintf("%s: cannot connect: %v", e.Host, e.Err) }

func (e *ConnectError) Unwrap() error { return e.Err }

// PrivilegeError is a login user that may not become the user a command needs.
type PrivilegeError struct {
	Host, From, To string
	Stderr         string
}

func (e *PrivilegeError) Error() string {
	return fmt.Sprintf("%s: %s may not run commands as %s: %s; allow it in sudoers (%s ALL=(%s) NOPASSWD: ALL) or log in as %s", e.Host, e.From, e.To, strings.TrimSpace(e.Stderr), e.From, e.To, e.To)
}
