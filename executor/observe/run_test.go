package observe

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"pg_manage/executor/remote"
	"pg_manage/planner"
	"pg_manage/schema"
)

// scripted is a host that answers each command by a function.
type scripted struct {
	remote.Host
	login string
	run   func(ctx context.Context, cmd remote.Command) (remote.Result, error)
}

func (h *scripted) Name() string      { return "n (x@1.2.3.4:22)" }
func (h *scripted) LoginUser() string { return h.login }
func (h *scripted) Run(ctx context.Context, cmd remote.Command) (remote.Result, error) {
	return h.run(ctx, cmd)
}

type dialer func(ctx context.Context, n *schema.Node) (remote.Host, error)

func (d dialer) Host(ctx context.Context, _ *schema.Cluster, n *schema.Node) (remote.Host, error) {
	return d(ctx, n)
}

func oneNode() *schema.Config {
	n := &schema.Node{Name: "n", Port: 5432, DataDir: "/nowhere/data", Connection: schema.Connection{Owner: "postgres"}}
	return &schema.Config{Clusters: []*schema.Cluster{{Name: "c", Version: 17, Nodes: []*schema.Node{n}}}}
}

func TestUnreachable(t *testing.T) {
	hung := func(ctx context.Context, _ remote.Command) (remote.Result, error) {
		<-ctx.Done()
		return remote.Result{}, ctx.Err()
	}
	says := func(out string, err error) func(context.Context, remote.Command) (remote.Result, error) {
		return func(context.Context, remote.Command) (remote.Result, error) {
			return remote.Result{Stdout: []byte(out)}, err
		}
	}
	noUser := func(_ context.Context, cmd remote.Command) (remote.Result, error) {
		return remote.Result{}, &remote.CommandError{Host: "n", Command: cmd.Args[0], Status: 1, Stderr: "no such user"}
	}
	for name, c := range map[string]struct {
		dial error
		run  func(context.Context, remote.Command) (remote.Result, error)
		want string
	}{
		"refused":      {&remote.ConnectError{Host: "n", Err: errors.New("connection\nrefused")}, nil, "n: cannot connect: connection refused"},
		"unknown key":  {&remote.HostKeyError{Host: "n", Fingerprint: "SHA256:abc", KeyLine: "n ssh-ed25519 AAAA"}, nil, "add this line to ~/.ssh/known_hosts:\n    n ssh-ed25519 AAAA"},
		"no privilege": {nil, says("", &remote.PrivilegeError{Host: "n", From: "bob", To: "postgres", Stderr: "a password is required"}), "NOPASSWD"},
		"no user":      {nil, noUser, "there is no operating system user postgres: install the packages of PostgreSQL 17"},
		"hung":         {nil, hung, "no answer within 50ms"},
		"cut short":    {nil, says("family=debian\nhome=/x\n", nil), "ended before its last line"},
		"no script":    {nil, says("", nil), "ended before its last line"},
		"a banner":     {nil, says("Welcome!\nend=1\n", nil), "does the login shell print something?"},
		"lost":         {nil, says("", &remote.LostError{Host: "n", Command: "sh", Err: errors.New("EOF")}), "connection lost"},
		"no home":      {nil, says("home=\nend=1\n", nil), "has no home directory"},
	} {
		t.Run(name, func(t *testing.T) {
			d := dialer(func(context.Context, *schema.Node) (remote.Host, error) {
				if c.dial != nil {
					return nil, c.dial
				}
				return &scripted{login: "bob", run: c.run}, nil
			})
			o := Run(t.Context(), oneNode(), d, Options{Timeout: 50 * time.Millisecond})
			f := o.Node("c", "n")
			if f == nil || !strings.Contains(f.Unreachable, c.want) || strings.Count(f.Unreachable, "\n") != strings.Count(c.want, "\n") {
				t.Fatalf("%+v", f)
			}
		})
	}
}

func TestParallelism(t *testing.T) {
	cfg := oneNode()
	c := cfg.Clusters[0]
	for _, name := range strings.Fields("a b c d e f g h") {
		c.Nodes = append(c.Nodes, &schema.Node{Name: name, Port: 1, DataDir: "/d"})
	}
	var now, most atomic.Int32
	d := dialer(func(context.Context, *schema.Node) (remote.Host, error) {
		if n := now.Add(1); n > most.Load() {
			most.Store(n)
		}
		defer now.Add(-1)
		return nil, errors.New("away")
	})
	o := Run(t.Context(), cfg, d, Options{Parallelism: 2})
	if len(o.Clusters["c"].Nodes) != 9 || most.Load() > 2 {
		t.Errorf("%d nodes, %d at a time", len(o.Clusters["c"].Nodes), most.Load())
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for name, f := range Run(ctx, cfg, d, Options{Parallelism: 1}).Clusters["c"].Nodes {
		if f.Unreachable == "" {
			t.Errorf("%s was reached after all", name)
		}
	}
}

func TestScram(t *testing.T) {
	// Made by PostgreSQL 15 for the password "pencil".
	const v = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
	if !scramMatches("pencil", v) || scramMatches("Pencil", v) {
		t.Error("the verifier is not read right")
	}
	for _, bad := range []string{"", "md5abc", "SCRAM-SHA-256$", "SCRAM-SHA-256$x:y$z:w", "SCRAM-SHA-256$99999999999:W22Z$aa:bb"} {
		if scramMatches("pencil", bad) {
			t.Errorf("%q matches", bad)
		}
	}
}

func TestConninfoPassword(t *testing.T) {
	for in, want := range map[string]string{
		"host=a password=x user=b":          "host=a password=(sensitive value) user=b",
		`Password = 'a \' b' user=b`:        "Password = (sensitive value) user=b",
		"postgres://u:pw@h/db?x=1":          "postgres://u:(sensitive value)@h/db?x=1",
		"host=a passfile=/x/y user=b":       "host=a passfile=/x/y user=b",
		"user=b sslpassword=q password=p\\": "user=b sslpassword=(sensitive value) password=(sensitive value)",
	} {
		if got := withoutPassword("primary_conninfo", in); strings.Contains(got, "pw") || got != want && in[len(in)-1] != '\\' {
			t.Errorf("%q: %q", in, got)
		}
	}
}

func TestManager(t *testing.T) {
	for name, c := range map[string]struct {
		family, data, config, more string
		systemd, root, running     bool
		want                       planner.Manager
		unit                       string
	}{
		"debian":          {"debian", "/var/lib/postgresql/17/main", "/etc/postgresql/17/main", "", true, true, false, "systemd", "postgresql@17-main"},
		"no root":         {"debian", "/var/lib/postgresql/17/main", "/etc/postgresql/17/main", "", true, false, false, "pg_ctlcluster", ""},
		"no systemd":      {"debian", "/srv/x", "/etc/postgresql/17/b", "", false, true, false, "pg_ctlcluster", ""},
		"custom":          {"debian", "/srv/x", "/srv/x", "", true, true, false, "pg_ctl", ""},
		"rhel":            {"rhel", "/var/lib/pgsql/17/data", "/var/lib/pgsql/17/data", "", true, true, false, "systemd", "postgresql-17"},
		"in the unit":     {"rhel", "/var/lib/pgsql/17/data", "/var/lib/pgsql/17/data", "cgroup=/system.slice/postgresql-17.service\n", true, true, true, "systemd", "postgresql-17"},
		"out of it":       {"rhel", "/var/lib/pgsql/17/data", "/var/lib/pgsql/17/data", "cgroup=/user.slice/x.scope\n", true, true, true, "pg_ctl", ""},
		"debian, by hand": {"debian", "/var/lib/postgresql/17/main", "/etc/postgresql/17/main", "cgroup=/\n", true, true, true, "pg_ctlcluster", ""},
	} {
		s, err := parseSections(c.more + "pg_ctlcluster=1\nend=1\n")
		if err != nil {
			t.Fatal(err)
		}
		f := &planner.NodeFacts{}
		f.Host.OSFamily, f.Host.Systemd, f.Host.CanRoot = c.family, c.systemd, c.root
		f.Paths.DataDir, f.Paths.ConfigDir, f.Server.Running = c.data, c.config, c.running
		if m, unit := manager(s, f, 17); m != c.want || unit != c.unit {
			t.Errorf("%s: %s %q", name, m, unit)
		}
	}
}

func FuzzSections(f *testing.F) {
	f.Add("a=b\n|c\n@f\n|x\n|\nend=1\n", `{"version":1}`)
	f.Add("|x\nend=1", `{"version":170002,"slots":[{"name":null}]}`)
	f.Add("@\n@a\nend=1\n", "")
	cfg := oneNode()
	c := cfg.Clusters[0]
	f.Fuzz(func(t *testing.T, out, doc string) {
		if a, err := parseAnswer([]byte(doc)); err == nil {
			a.fill(&planner.NodeFacts{}, c)
		}
		s, err := parseSections(out)
		if err != nil {
			return
		}
		if _, err := json.Marshal(facts(s, false, c, c.Nodes[0])); err != nil {
			t.Fatal(err)
		}
		// What was read is written the same way, and read again.
		var again strings.Builder
		for k, vs := range s.values {
			for _, v := range vs {
				if k != "end" {
					again.WriteString(k + "=" + strings.ReplaceAll(v, "\n", "\n|") + "\n")
				}
			}
		}
		for k, v := range s.files {
			again.WriteString("@" + k + "\n")
			for line := range strings.Lines(v) {
				again.WriteString("|" + line)
			}
		}
		r, err := parseSections(again.String() + "end=1\n")
		if err != nil || len(r.files) != len(s.files) {
			t.Fatal(err)
		}
		for k, v := range s.files {
			if r.files[k] != v {
				t.Fatalf("%q: %q became %q", k, v, r.files[k])
			}
		}
	})
}
