// Package remote reaches a host: over SSH or on this machine. It runs commands,
// reads and writes files atomically, and dials sockets there. It knows nothing of
// PostgreSQL.
//
// SSH is spoken by golang.org/x/crypto/ssh, set up as OpenSSH's client would be: by
// ssh_config(5), the agent, key files and their certificates, and known_hosts with
// certificate authorities and revoked keys. Of ssh_config it obeys Host, Match (all,
// host, originalhost, user, localuser, final), Include, HostName, User, Port,
// IdentityFile, CertificateFile, IdentitiesOnly, IdentityAgent, ProxyJump,
// UserKnownHostsFile, GlobalKnownHostsFile, HostKeyAlias and ConnectTimeout. It runs no
// command that a configuration names: a `Match exec` block never applies, and
// ProxyCommand is an error. Host keys are always checked: StrictHostKeyChecking and
// known hosts in /dev/null change nothing.
//
// One connection serves a host; commands are sessions on it, eight at once (OpenSSH's
// MaxSessions is ten), without a terminal and without changes to the environment. A
// host that is silent for three times Options.Keepalive is given up, and what runs on
// it returns a *LostError.
//
// Another user than the login user is reached by runuser when the login user is root,
// else by `sudo -n`. Files are handled by small POSIX shell scripts, so that this works
// for them as well; the host needs coreutils, and setsid of util-linux for leashes.
package remote
