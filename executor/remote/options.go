package remote

import (
	"context"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"time"
)

// Defaults of Options.
const (
	DefaultTimeout   = 10 * time.Second
	DefaultKeepalive = 15 * time.Second
)

// Options say which host to reach and how. What is left zero comes from
// ssh_config(5), then from OpenSSH's own defaults. There is no option that turns
// host key checks off, and `StrictHostKeyChecking no` in ssh_config is not obeyed.
type Options struct {
	Name string // what messages call the host; "" is Host
	Type string // "ssh" (the default) or "local"
	Host string // address, or an alias of ssh_config
	User string
	Port int

	// IdentityFile is a private key that is offered before all others.
	IdentityFile string
	// ProxyJump is as in ssh_config: "[user@]host[:port]", several divided by commas; "none" for none.
	ProxyJump string
	// HostKeys are public keys ("ssh-ed25519 AAAA...") that are accepted beside those of known_hosts.
	HostKeys []string

	// Timeout bounds the connect and login of each hop: ConnectTimeout of ssh_config, else DefaultTimeout.
	Timeout time.Duration
	// Keepalive is the time of silence after which the host is asked whether it is there;
	// the connection is lost after three times that without an answer. 0 is DefaultKeepalive.
	Keepalive time.Duration

	ConfigFiles     []string // nil: ~/.ssh/config and /etc/ssh/ssh_config
	KnownHostsFiles []string // nil: as ssh_config says, else OpenSSH's usual four
	AgentSocket     string   // "": as ssh_config says, else $SSH_AUTH_SOCK; "none" for no agent
}

// Dial reaches a host. For SSH it connects and logs in, through jump hosts where the
// options or ssh_config name them. Errors: *ConnectError, *HostKeyError, *AuthError.
func Dial(ctx context.Context, o Options) (Host, error) {
	return dialHost(ctx, o, func(ctx context.Context, hop Options) (Host, bool, error) {
		h, err := Dial(ctx, hop)
		return h, true, err
	})
}

// dialHost is Dial with a way to get at jump hosts: own says that the jump host is
// this connection's alone and is closed with it.
func dialHost(ctx context.Context, o Options, jump jumpFunc) (Host, error) {
	switch o.Type {
	case "local":
		return NewLocal(o.Name), nil
	case "", "ssh":
		return dialSSH(ctx, o, jump)
	default:
		return nil, fmt.Errorf("%s: unknown connection type %q: ssh or local", o.Name, o.Type)
	}
}

type jumpFunc func(ctx context.Context, hop Options) (h Host, own bool, err error)

// account is the operating system account of this process.
type account struct {
	name, uid, home string
}

func currentAccount() account {
	var a account
	if u, err := user.Current(); err == nil {
		a = account{name: u.Username, uid: u.Uid, home: u.HomeDir}
	} else {
		a = account{name: os.Getenv("USER"), uid: fmt.Sprint(os.Getuid())}
	}
	if h := os.Getenv("HOME"); h != "" {
		a.home = h
	}
	return a
}

func (a account) sshDir(name string) string { return filepath.Join(a.home, ".ssh", name) }
