package schema

import (
	"fmt"
	"maps"
	"net/netip"
	"regexp"
	"strings"
	"time"
)

const (
	defaultOwner          = "postgres"
	defaultConnectTimeout = 10 * time.Second
	connectionSSH         = "ssh"
	connectionLocal       = "local"
)

// nodeDefaults is what a cluster block sets for all its nodes.
type nodeDefaults struct {
	port                       int
	dataDir, configDir, binDir string
	parameters                 map[string]string
	hba                        []string
	connection                 Connection
	connectionBlock            *block
}

func (l *loader) nodeDefaults(b *block) nodeDefaults {
	d := nodeDefaults{
		port: b.number("port", 1, 65535), dataDir: b.absPath("data_dir"), configDir: b.absPath("config_dir"), binDir: b.absPath("bin_dir"),
		parameters: l.parameters(b), hba: l.hba(b),
		connection: Connection{Type: connectionSSH, Owner: defaultOwner, ConnectTimeout: defaultConnectTimeout},
	}
	if d.port == 0 {
		d.port = defaultPort
	}
	if c := b.only("connection"); c != nil {
		d.connectionBlock = c
		d.connection = l.connection(c, d.connection)
	}
	return d
}

// node reads a node block, on top of what the cluster sets.
func (l *loader) node(b, cluster *block, d nodeDefaults) *Node {
	n := &Node{
		Name: b.label(), Host: l.host(b, "host"), Address: l.host(b, "address"),
		Role:     Role(b.oneOf("role", string(RolePrimary), string(RoleStandby))),
		Upstream: b.text("upstream"), Delay: b.duration("delay"), SeedFrom: l.seedFrom(b),
		Port: d.port, DataDir: or(b.absPath("data_dir"), d.dataDir),
		ConfigDir: or(b.absPath("config_dir"), d.configDir), BinDir: or(b.absPath("bin_dir"), d.binDir),
		Parameters: maps.Clone(d.parameters), HBA: d.hba, Connection: d.connection, Range: rangeOf(b.def),
	}
	if p := b.number("port", 1, 65535); p != 0 {
		n.Port = p
	}
	maps.Copy(n.Parameters, l.parameters(b))
	b.require("role", `role = "primary" or role = "standby"`)
	decl := &nodeBlocks{node: b, cluster: cluster}
	if c := b.only("connection"); c != nil {
		n.Connection = l.connection(c, n.Connection)
		decl.connection = append(decl.connection, c)
	}
	if d.connectionBlock != nil {
		decl.connection = append(decl.connection, d.connectionBlock)
	}
	l.decls.nodes[n] = decl
	return n
}

// connection reads a connection block on top of what stands already.
func (l *loader) connection(b *block, base Connection) Connection {
	c := base
	c.Type = or(b.oneOf("type", connectionSSH, connectionLocal), c.Type)
	c.User = or(l.userName(b, "user"), c.User)
	c.Owner = or(l.userName(b, "owner"), c.Owner)
	c.IdentityFile = or(b.text("identity_file"), c.IdentityFile)
	c.ProxyJump = or(b.text("proxy_jump"), c.ProxyJump)
	if p := b.number("port", 1, 65535); p != 0 {
		c.Port = p
	}
	if b.has("connect_timeout") {
		t := b.duration("connect_timeout")
		if t == 0 && !b.bad["connect_timeout"] && b.attrs["connect_timeout"] != nil {
			b.wrong("connect_timeout", `"connect_timeout" is zero`, `Write for example "10s".`)
		}
		if t > 0 {
			c.ConnectTimeout = t
		}
	}
	return c
}

// userText is what useradd accepts on the distributions that we know, and names
// of directory services with a domain.
var userText = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.@\\-]{0,63}\$?$`)

func (l *loader) userName(b *block, name string) string {
	s := b.text(name)
	if s != "" && !userText.MatchString(s) {
		b.wrong(name, fmt.Sprintf("%q cannot be the name of an operating system user", s), "Write the login name alone.")
		return ""
	}
	return s
}

// host reads a host's name or address.
func (l *loader) host(b *block, name string) string {
	s := b.text(name)
	if s == "" {
		return ""
	}
	bare := strings.TrimSuffix(strings.TrimPrefix(s, "["), "]")
	h, port, hasPort := splitHostPort(s)
	_, notAddress := netip.ParseAddr(bare)
	user, rest, hasUser := strings.Cut(s, "@")
	switch {
	case strings.Contains(s, "://"):
		b.wrong(name, fmt.Sprintf("%q is a URL", s), "Write the host's name or address alone.")
	case hasUser:
		b.wrong(name, fmt.Sprintf("%q holds a user", s), fmt.Sprintf("Write %s = %q and connection { user = %q }.", name, rest, user))
	case notAddress == nil:
		return bare
	case hasPort:
		where := "connection { port = " + port + " }"
		if name == "address" {
			where = "port = " + port
		}
		b.wrong(name, fmt.Sprintf("%q holds a port", s), fmt.Sprintf("Write %s = %q and, for the port, %s.", name, h, where))
	case strings.HasPrefix(s, "-") || strings.ContainsAny(s, " \t/\\'\",;*?") || len(s) > 253:
		b.wrong(name, fmt.Sprintf("%q is not a host", s), "Write a host name or an address, for example \"db1.example.org\" or \"10.0.0.1\".")
	default:
		return s
	}
	return ""
}

// splitHostPort takes "host:port" and "[address]:port" apart. Package net would do it, but the planner rests on this
// package and must not link the network.
func splitHostPort(s string) (host, port string, ok bool) {
	i := strings.LastIndexByte(s, ':')
	if i < 0 {
		return "", "", false
	}
	host, port = s[:i], s[i+1:]
	if inner, bracketed := strings.CutPrefix(host, "["); bracketed {
		host, ok = strings.CutSuffix(inner, "]")
	} else {
		ok = !strings.Contains(host, ":")
	}
	return host, port, ok && host != "" && port != ""
}

func (l *loader) seedFrom(b *block) []string {
	list := b.texts("seed_from")
	seen := map[string]bool{}
	words := []string{"backup", "primary", "upstream"}
	for i, s := range list {
		switch {
		case s != "backup" && s != "primary" && s != "upstream":
			b.wrongElement("seed_from", i, fmt.Sprintf("%q is nothing to seed a standby from", s),
				joinSentences(suggestion(s, words), "Write "+listed(words, "or")+"."))
		case seen[s]:
			b.wrongElement("seed_from", i, fmt.Sprintf("%q stands twice", s), "Name each source once, the preferred one first.")
		}
		seen[s] = true
	}
	if b.has("seed_from") && !b.bad["seed_from"] && b.attrs["seed_from"] != nil && len(list) == 0 {
		b.wrong("seed_from", `"seed_from" is an empty list`, "Name a source or leave the argument out: "+listed(words, "or")+".")
	}
	return list
}

// hba reads lines for pg_hba.conf (PostgreSQL manual, "The pg_hba.conf File").
func (l *loader) hba(b *block) []string {
	lines := b.texts("hba")
	kinds := []string{"local", "host", "hostssl", "hostnossl", "hostgssenc", "hostnogssenc"}
	for i, line := range lines {
		fields := strings.Fields(line)
		need := 5 // type database user address method
		switch {
		case len(fields) == 0 || strings.HasPrefix(fields[0], "#"):
			b.wrongElement("hba", i, "Empty line or comment in hba", "Each element is one rule, for example \"host all all 10.0.0.0/24 scram-sha-256\".")
			continue
		case fields[0] == "local":
			need = 4
		case strings.HasPrefix(fields[0], "include"):
			b.wrongElement("hba", i, fmt.Sprintf("%q is no rule", line), "Write the rules themselves here.")
			continue
		}
		known := false
		for _, k := range kinds {
			known = known || k == fields[0]
		}
		switch {
		case !known:
			b.wrongElement("hba", i, fmt.Sprintf("%q is no type of connection", fields[0]),
				joinSentences(suggestion(fields[0], kinds), "A rule begins with "+listed(kinds, "or")+"."))
		case len(fields) < need && !strings.Contains(line, `"`):
			b.wrongElement("hba", i, fmt.Sprintf("The rule %q is too short", line),
				"Write type, database, user, address (not for local) and method, for example \"host all all 10.0.0.0/24 scram-sha-256\".")
		}
	}
	return lines
}
