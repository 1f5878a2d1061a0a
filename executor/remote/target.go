package remote

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// target is a host with everything known that is needed to reach it.
type target struct {
	label          string // what messages call it
	alias          string
	host           string
	port           int
	user           string
	identities     []string // named by the operator: offered first
	defaults       []string // OpenSSH's usual files
	certificates   []string
	identitiesOnly bool
	agentSocket    string
	jumps          []string
	knownHosts     []string
	hostKeyAlias   string
	hostKeys       []string
	timeout        time.Duration
	keepalive      time.Duration
	notes          []string
}

func (t *target) address() string { return net.JoinHostPort(t.host, strconv.Itoa(t.port)) }

// resolve fills in what the options leave open.
func resolve(o Options) (*target, error) {
	if o.Host == "" {
		return nil, errors.New("no host address is given")
	}
	if strings.HasPrefix(o.Host, "-") || strings.ContainsAny(o.Host, " \t\n\x00") {
		return nil, fmt.Errorf("%q is no host name", o.Host)
	}
	me := currentAccount()
	files := o.ConfigFiles
	if files == nil {
		files = []string{me.sshDir("config"), "/etc/ssh/ssh_config"}
	}
	c, err := loadConfig(files, me, o.Host, o.User)
	if err != nil {
		return nil, err
	}
	t := &target{
		alias: o.Host, host: c.hostname(), port: o.Port, user: c.loginUser(), notes: c.notes,
		hostKeyAlias: c.get("hostkeyalias"), hostKeys: o.HostKeys,
		identitiesOnly: strings.EqualFold(c.get("identitiesonly"), "yes"),
		timeout:        o.Timeout, keepalive: o.Keepalive,
	}
	if t.port == 0 {
		t.port = 22
		if p := c.get("port"); p != "" {
			if t.port, err = strconv.Atoi(p); err != nil || t.port < 1 || t.port > 65535 {
				return nil, fmt.Errorf("the SSH configuration sets Port %q for %s", p, o.Host)
			}
		}
	}
	if t.timeout <= 0 {
		t.timeout = DefaultTimeout
		if s, err := strconv.Atoi(c.get("connecttimeout")); err == nil && s > 0 {
			t.timeout = time.Duration(s) * time.Second
		}
	}
	if t.keepalive <= 0 {
		t.keepalive = DefaultKeepalive
	}
	t.label = fmt.Sprintf("%s@%s", t.user, t.address())
	if o.Name != "" {
		t.label = fmt.Sprintf("%s (%s)", o.Name, t.label)
	}
	if err := t.resolveKeys(o, c); err != nil {
		return nil, err
	}
	if err := t.resolveKnownHosts(o, c); err != nil {
		return nil, err
	}
	return t, t.resolveProxy(o, c)
}

func (t *target) resolveKeys(o Options, c *sshConfig) error {
	if o.IdentityFile != "" {
		t.identities = append(t.identities, expandHome(o.IdentityFile, c.me))
	}
	for _, key := range []string{"identityfile", "certificatefile"} {
		for _, f := range c.values[key] {
			if strings.EqualFold(f, "none") {
				continue
			}
			f, err := t.expand(f, c.me)
			if err != nil {
				return err
			}
			if key == "identityfile" {
				t.identities = append(t.identities, f)
			} else {
				t.certificates = append(t.certificates, f)
			}
		}
	}
	if len(c.values["identityfile"]) == 0 {
		// Ed25519 first: it is the likeliest today, and each refused key costs a round trip.
		for _, n := range []string{"id_ed25519", "id_ecdsa", "id_rsa"} {
			t.defaults = append(t.defaults, c.me.sshDir(n))
		}
	}
	t.agentSocket = o.AgentSocket
	if t.agentSocket == "" {
		switch a := c.get("identityagent"); {
		case a == "" || a == "SSH_AUTH_SOCK":
			t.agentSocket = os.Getenv("SSH_AUTH_SOCK")
		case strings.EqualFold(a, "none"):
		case strings.HasPrefix(a, "$"):
			t.agentSocket = os.ExpandEnv(a)
		default:
			var err error
			if t.agentSocket, err = t.expand(a, c.me); err != nil {
				return err
			}
		}
	}
	if strings.EqualFold(t.agentSocket, "none") {
		t.agentSocket = ""
	}
	return nil
}

func (t *target) resolveKnownHosts(o Options, c *sshConfig) error {
	if o.KnownHostsFiles != nil {
		t.knownHosts = o.KnownHostsFiles
		return nil
	}
	for _, k := range []struct {
		key  string
		deft []string
	}{
		{"userknownhostsfile", []string{"~/.ssh/known_hosts", "~/.ssh/known_hosts2"}},
		{"globalknownhostsfile", []string{"/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2"}},
	} {
		files := c.values[k.key]
		if len(files) == 0 {
			files = k.deft
		}
		for _, f := range files {
			if strings.EqualFold(f, "none") || f == "/dev/null" {
				continue
			}
			f, err := t.expand(f, c.me)
			if err != nil {
				return err
			}
			t.knownHosts = append(t.knownHosts, f)
		}
	}
	return nil
}

func (t *target) resolveProxy(o Options, c *sshConfig) error {
	jumps := o.ProxyJump
	if jumps == "" {
		jumps = strings.Join(c.values["proxyjump"], ",")
		cmd := c.get("proxycommand")
		if jumps == "" && cmd != "" && !strings.EqualFold(cmd, "none") {
			return &ConnectError{Host: t.label, Err: fmt.Errorf("the SSH configuration sets `ProxyCommand %s` for %s, which is not supported: use ProxyJump", cmd, o.Host)}
		}
	}
	if jumps == "" || strings.EqualFold(jumps, "none") {
		return nil
	}
	for _, j := range strings.Split(jumps, ",") {
		hop, err := parseJump(strings.TrimSpace(j))
		if err != nil {
			return err
		}
		// `Host * / ProxyJump bastion` matches the bastion too, which is not reached through itself.
		if strings.EqualFold(hop.Host, t.alias) && (hop.Port == 0 || hop.Port == t.port) {
			t.jumps = nil
			return nil
		}
		t.jumps = append(t.jumps, j)
	}
	return nil
}

// parseJump reads "[user@]host[:port]" or "ssh://[user@]host[:port]".
func parseJump(s string) (Options, error) {
	rest := strings.TrimSuffix(strings.TrimPrefix(s, "ssh://"), "/")
	var o Options
	if i := strings.LastIndexByte(rest, '@'); i >= 0 {
		o.User, rest = rest[:i], rest[i+1:]
	}
	o.Host = rest
	if h, p, err := net.SplitHostPort(rest); err == nil {
		o.Host = h
		if o.Port, err = strconv.Atoi(p); err != nil || o.Port < 1 || o.Port > 65535 {
			return o, fmt.Errorf("ProxyJump %q: %q is no port", s, p)
		}
	}
	o.Host = strings.TrimSuffix(strings.TrimPrefix(o.Host, "["), "]")
	if o.Host == "" {
		return o, fmt.Errorf("ProxyJump %q names no host", s)
	}
	return o, nil
}

func expandHome(path string, me account) string {
	if path == "~" || strings.HasPrefix(path, "~/") {
		return filepath.Join(me.home, path[1:])
	}
	return path
}

// expand resolves ~, ${VARIABLES} and the tokens of ssh_config(5), section TOKENS.
func (t *target) expand(s string, me account) (string, error) {
	s = expandHome(s, me)
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '$' && i+1 < len(s) && s[i+1] == '{':
			end := strings.IndexByte(s[i:], '}')
			if end < 0 {
				return "", fmt.Errorf("SSH configuration: %q: ${ is not closed", s)
			}
			b.WriteString(os.Getenv(s[i+2 : i+end]))
			i += end
		case s[i] == '%' && i+1 < len(s):
			i++
			v, ok := map[byte]string{
				'%': "%", 'd': me.home, 'h': t.host, 'i': me.uid, 'n': t.alias,
				'p': strconv.Itoa(t.port), 'r': t.user, 'u': me.name,
			}[s[i]]
			if s[i] == 'k' {
				if v, ok = t.hostKeyAlias, true; v == "" {
					v = t.alias
				}
			}
			if !ok {
				return "", fmt.Errorf("SSH configuration: %q: the token %%%c is not supported", s, s[i])
			}
			b.WriteString(v)
		default:
			b.WriteByte(s[i])
		}
	}
	return b.String(), nil
}
