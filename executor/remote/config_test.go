package remote

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func resolveWith(t *testing.T, text string, o Options) (*target, error) {
	t.Helper()
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("SSH_AUTH_SOCK", "/agent")
	for name, content := range map[string]string{"config": text, "conf.d/a": "Host inc\n  User included\nHost *\n  Port 2200\n"} {
		file := filepath.Join(home, ".ssh", name)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if name != "config" {
			if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	o.ConfigFiles = []string{filepath.Join(home, ".ssh", "config")}
	return resolve(o)
}

func TestResolve(t *testing.T) {
	type want struct {
		Address, User string
		Identities    []string
		Jumps         []string
		Only          bool
		Agent         string
		Timeout       string
	}
	base := want{Address: "h:22", User: "me", Agent: "/agent", Timeout: "10s"}
	with := func(f func(*want)) want { w := base; f(&w); return w }
	for name, c := range map[string]struct {
		text string
		o    Options
		want want
	}{
		"nothing": {want: base},
		"first value wins": {
			text: "Host h\n HostName 10.0.0.1\n Port 23\nHost *\n Port 24\n ConnectTimeout=3\n",
			want: with(func(w *want) { w.Address = "10.0.0.1:23"; w.Timeout = "3s" }),
		},
		"options win":     {text: "Port 23\nUser other", o: Options{Port: 5, User: "opt"}, want: with(func(w *want) { w.Address = "h:5"; w.User = "opt" })},
		"negated pattern": {text: "Host * !h\n Port 23\n", want: base},
		"question mark":   {text: "Host ??\n Port 23\nHost ?\n Port 24\n", want: with(func(w *want) { w.Address = "h:24" })},
		"tokens and tilde": {
			text: "HostName %h.example\nUser bob\nIdentityFile ~/k\nIdentityFile \"%d/.ssh/%r at %h %n %p\"\nIdentitiesOnly yes\nIdentityAgent none\n",
			want: with(func(w *want) {
				w.Address, w.User, w.Only, w.Agent = "h.example:22", "bob", true, ""
				w.Identities = []string{"HOME/k", "HOME/.ssh/bob at h.example h 22"}
			}),
		},
		"option key first": {text: "IdentityFile /b\n", o: Options{IdentityFile: "~/a"}, want: with(func(w *want) { w.Identities = []string{"HOME/a", "/b"} })},
		"include":          {text: "Host nothere\n Include conf.d/*\nHost h\n Include conf.d/*\n User x\n", want: with(func(w *want) { w.Address = "h:2200"; w.User = "x" })},
		"match":            {text: "Match host h user me\n Port 23\n", want: with(func(w *want) { w.Address = "h:23" })},
		"match not":        {text: "Match !host h\n Port 23\nMatch originalhost h,i\n Port 24", want: with(func(w *want) { w.Address = "h:24" })},
		"match final":      {text: "Match final all\n Port 23\nHost h\n HostName i\n", want: with(func(w *want) { w.Address = "i:23" })},
		"match exec":       {text: "Match exec \"touch /tmp/never\"\n Port 23\n", want: base},
		"comments":         {text: "# c\n\nHost h # c\n Port 23 # c\n", want: with(func(w *want) { w.Address = "h:23" })},
		"jumps":            {text: "ProxyJump a@b:3,c\n", want: with(func(w *want) { w.Jumps = []string{"a@b:3", "c"} })},
		"no jump":          {text: "ProxyJump a\n", o: Options{ProxyJump: "none"}, want: base},
		"not through self": {text: "ProxyJump me@h\n", want: base},
		"strictness":       {text: "StrictHostKeyChecking no\nUserKnownHostsFile /dev/null\n", want: base},
	} {
		t.Run(name, func(t *testing.T) {
			c.o.Host = "h"
			if c.o.User == "" && !strings.Contains(c.text, "User") {
				c.want.User = currentAccount().name
				c.text = strings.ReplaceAll(c.text, "user me", "user "+c.want.User)
			}
			tg, err := resolveWith(t, c.text, c.o)
			if err != nil {
				t.Fatal(err)
			}
			if c.want.User == "me" {
				c.want.User = currentAccount().name
			}
			got := want{tg.address(), tg.user, tg.identities, tg.jumps, tg.identitiesOnly, tg.agentSocket, tg.timeout.String()}
			for i := range c.want.Identities {
				c.want.Identities[i] = strings.ReplaceAll(c.want.Identities[i], "HOME", os.Getenv("HOME"))
			}
			if d := cmp.Diff(c.want, got); d != "" {
				t.Error(d)
			}
			for _, f := range tg.knownHosts {
				if f == "/dev/null" {
					t.Error("known hosts from /dev/null")
				}
			}
		})
	}
}

func TestResolveErrors(t *testing.T) {
	for text, want := range map[string]string{
		"Host h\n IdentityFile \"/x\n":        "config:2: a quote is not closed",
		"ProxyCommand ssh -W %h:%p bastion\n": "use ProxyJump",
		"Port 99999\n":                        "Port",
		"IdentityFile %Q\n":                   "token %Q",
		"Include config\n":                    "too many levels",
	} {
		if _, err := resolveWith(t, text, Options{Host: "h"}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
	for _, host := range []string{"", "-oProxyCommand=x", "a b"} {
		if _, err := resolve(Options{Host: host, ConfigFiles: []string{}}); err == nil {
			t.Errorf("%q is taken", host)
		}
	}
}

func TestShown(t *testing.T) {
	for want, c := range map[string]Command{
		"ls '/a b'":                       {Args: []string{"ls", "/a b"}},
		"sh -c 'first line ...' sh x":     {Args: []string{"sh", "-c", "\nfirst line\nsecond", "sh", "x"}},
		"true (as postgres)":              {Args: []string{"true"}, As: "postgres"},
		strings.Repeat("x", 200) + " ...": {Args: []string{strings.Repeat("x", 5000)}},
	} {
		if got := c.Shown(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestRefusedCommands(t *testing.T) {
	for _, c := range []Command{
		{},
		{Args: []string{""}},
		{Args: []string{"-x"}},
		{Args: []string{"a", "b\x00"}},
		{Args: []string{"a"}, As: "x; id"},
		{Args: []string{"a"}, As: "-u"},
		{Args: []string{"a"}, Leash: true, Stdin: strings.NewReader("")},
	} {
		if line, err := commandLine(c, "root", 0); err == nil {
			t.Errorf("%+v gives %q", c, line)
		}
	}
}
