package remote

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

const maxIncludeDepth = 16 // as OpenSSH

// sshConfig holds what ssh_config(5) says for one host: for each keyword the
// arguments of the first line that sets it, and all lines of those that add up.
type sshConfig struct {
	me       account
	alias    string
	user     string // the login user asked for; "" when ssh_config may say
	values   map[string][]string
	notes    []string // what was passed over, for error messages
	final    bool     // the second pass, for `Match final`
	sawFinal bool
}

// loadConfig evaluates the files in order. Files that do not exist are passed over.
// `Match exec` runs nothing and never matches: a note tells of it.
func loadConfig(files []string, me account, alias, loginUser string) (*sshConfig, error) {
	c := &sshConfig{me: me, alias: alias, user: loginUser, values: map[string][]string{}}
	for pass := 0; pass < 2; pass++ {
		for _, f := range files {
			if err := c.read(f, true, 0); err != nil {
				return nil, err
			}
		}
		if !c.sawFinal {
			break
		}
		c.final = true
	}
	return c, nil
}

func (c *sshConfig) read(file string, active bool, depth int) error {
	f, err := os.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot read the SSH configuration: %w", err)
	}
	defer f.Close()
	// A Host or Match line inside an included file narrows what the including block allows.
	outer := active
	sc := bufio.NewScanner(f)
	for n := 1; sc.Scan(); n++ {
		key, args, err := splitConfigLine(sc.Text())
		if err != nil {
			return fmt.Errorf("%s:%d: %w", file, n, err)
		}
		switch key {
		case "":
		case "host":
			active = outer && matchPatterns(args, c.alias)
		case "match":
			active = outer && c.match(args, fmt.Sprintf("%s:%d", file, n))
		case "include":
			if !active {
				continue
			}
			if err := c.include(file, args, depth); err != nil {
				return fmt.Errorf("%s:%d: %w", file, n, err)
			}
		default:
			if active {
				c.set(key, args)
			}
		}
	}
	if err := sc.Err(); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	return nil
}

func (c *sshConfig) include(from string, args []string, depth int) error {
	if depth >= maxIncludeDepth {
		return errors.New("too many levels of Include")
	}
	for _, a := range args {
		switch {
		case strings.HasPrefix(a, "~/"):
			a = filepath.Join(c.me.home, a[2:])
		case filepath.IsAbs(a):
		case strings.HasPrefix(from, "/etc/ssh/"):
			a = filepath.Join("/etc/ssh", a)
		default:
			a = c.me.sshDir(a)
		}
		files, err := filepath.Glob(a)
		if err != nil {
			return fmt.Errorf("in `Include %s`: %w", a, err)
		}
		for _, f := range files {
			if err := c.read(f, true, depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *sshConfig) set(key string, args []string) {
	if len(args) == 0 {
		return
	}
	switch key {
	case "identityfile", "certificatefile":
		for _, have := range c.values[key] {
			if have == args[0] {
				return
			}
		}
		c.values[key] = append(c.values[key], args[0])
	default:
		if _, ok := c.values[key]; !ok {
			c.values[key] = args
		}
	}
}

// get is the first argument of a keyword, "" when no line sets it.
func (c *sshConfig) get(key string) string {
	if v := c.values[key]; len(v) > 0 {
		return v[0]
	}
	return ""
}

func (c *sshConfig) loginUser() string {
	switch {
	case c.user != "":
		return c.user
	case c.get("user") != "":
		return c.get("user")
	}
	return c.me.name
}

// hostname is the address that the alias stands for so far.
func (c *sshConfig) hostname() string {
	if h := c.get("hostname"); h != "" {
		return strings.NewReplacer("%%", "%", "%h", c.alias).Replace(h)
	}
	return c.alias
}

func (c *sshConfig) match(args []string, where string) bool {
	ok := true
	for i := 0; i < len(args); i++ {
		word := strings.ToLower(args[i])
		negate := strings.HasPrefix(word, "!")
		word = strings.TrimPrefix(word, "!")
		var m bool
		switch word {
		case "all":
			m = true
		case "canonical": // host names are not canonicalised here
		case "final":
			c.sawFinal = true
			m = c.final
		case "host", "originalhost", "user", "localuser", "exec", "tagged", "localnetwork", "sessiontype", "command", "version":
			i++
			if i >= len(args) {
				c.note("%s: Match %s lacks its argument", where, word)
				return false
			}
			patterns := strings.Split(args[i], ",")
			switch word {
			case "host":
				m = matchPatterns(patterns, c.hostname())
			case "originalhost":
				m = matchPatterns(patterns, c.alias)
			case "user":
				m = matchPatterns(patterns, c.loginUser())
			case "localuser":
				m = matchPatterns(patterns, c.me.name)
			default:
				c.note("%s: `Match %s` is not evaluated, so this block is passed over", where, word)
				return false
			}
		default:
			c.note("%s: `Match %s` is not known, so this block is passed over", where, word)
			return false
		}
		ok = ok && m != negate
	}
	return ok
}

func (c *sshConfig) note(format string, args ...any) {
	n := fmt.Sprintf(format, args...)
	for _, have := range c.notes {
		if have == n {
			return
		}
	}
	c.notes = append(c.notes, n)
}

// splitConfigLine gives the keyword in lower case and the arguments, quotes removed.
func splitConfigLine(line string) (string, []string, error) {
	line = strings.TrimSpace(line)
	if line == "" || line[0] == '#' {
		return "", nil, nil
	}
	i := strings.IndexAny(line, " \t=")
	if i < 0 {
		return strings.ToLower(line), nil, nil
	}
	key, rest := strings.ToLower(line[:i]), strings.TrimLeft(line[i:], " \t")
	rest = strings.TrimPrefix(rest, "=")
	if key == "proxycommand" { // a shell command: the rest of the line as it stands
		return key, []string{strings.TrimSpace(rest)}, nil
	}
	var args []string
	for {
		rest = strings.TrimLeft(rest, " \t")
		if rest == "" || rest[0] == '#' {
			return key, args, nil
		}
		var word strings.Builder
		quoted := false
		j := 0
	scan:
		for ; j < len(rest); j++ {
			switch ch := rest[j]; {
			case ch == '\\' && j+1 < len(rest) && strings.IndexByte(`"\ `, rest[j+1]) >= 0:
				j++
				word.WriteByte(rest[j])
			case ch == '"':
				quoted = !quoted
			case !quoted && (ch == ' ' || ch == '\t'):
				break scan
			default:
				word.WriteByte(ch)
			}
		}
		if quoted {
			return "", nil, errors.New("a quote is not closed")
		}
		args = append(args, word.String())
		rest = rest[j:]
	}
}

// matchPatterns is PATTERNS of ssh_config(5): a negated match beats all others.
func matchPatterns(patterns []string, s string) bool {
	found := false
	for _, p := range patterns {
		negate := strings.HasPrefix(p, "!")
		if wildcard(strings.ToLower(strings.TrimPrefix(p, "!")), strings.ToLower(s)) {
			if negate {
				return false
			}
			found = true
		}
	}
	return found
}

// wildcard matches with * for any run of characters and ? for one.
func wildcard(p, s string) bool {
	for p != "" {
		switch {
		case p[0] == '*':
			for i := 0; i <= len(s); i++ {
				if wildcard(p[1:], s[i:]) {
					return true
				}
			}
			return false
		case s == "" || (p[0] != '?' && p[0] != s[0]):
			return false
		}
		p, s = p[1:], s[1:]
	}
	return s == ""
}
