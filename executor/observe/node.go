package observe

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"pg_manage/executor/instance"
	"pg_manage/executor/remote"
	"pg_manage/planner"
	"pg_manage/schema"
)

//go:embed probe.sh
var probeScript string

//go:embed files.awk
var filesAwk string

// Node looks at one node over its connection. It is quick enough to be called
// around every step: one command, and beside it one SQL query through the
// forwarded socket (in that very command where the login user is not the owner).
func Node(ctx context.Context, h remote.Host, c *schema.Cluster, n *schema.Node, opts Options) *planner.NodeFacts {
	ctx, cancel := limited(ctx, opts)
	defer cancel()
	p := &probe{h: h, c: c, n: n, owner: owner(n)}
	query, err := buildQuery(c, n)
	if err != nil {
		return unreachable(fmt.Errorf("%s: %w", h.Name(), err))
	}
	p.query = query

	early := p.startEarly(ctx)
	root := p.startRoot(ctx)
	s, err := p.runScript(ctx, opts)
	if err != nil {
		cancel()
		<-root
		return unreachable(cause(ctx, err))
	}
	f := facts(s, h.LoginUser() == "root" || s.is("root") || <-root, c, n)
	if f.Unreachable != "" {
		f.Unreachable = h.Name() + ": " + f.Unreachable
		return f
	}
	if f.Server.Running {
		p.serverFacts(ctx, s, early, f)
	}
	p.archiveFacts(ctx, s, f, opts)
	return f
}

func owner(n *schema.Node) string {
	if n.Connection.Owner != "" {
		return n.Connection.Owner
	}
	return "postgres"
}

type probe struct {
	h     remote.Host
	c     *schema.Cluster
	n     *schema.Node
	owner string
	query string
}

func (p *probe) loginIsOwner() bool { return p.h.LoginUser() == p.owner }

// runScript runs probe.sh as the owner of the instance.
func (p *probe) runScript(ctx context.Context, opts Options) (*sections, error) {
	flag := func(b bool) string {
		if b {
			return "1"
		}
		return "0"
	}
	text := "files_awk=" + quoteWord(filesAwk) + "\n" + probeScript
	if !p.loginIsOwner() {
		// Our input, not an argument: sudo logs arguments.
		text = "sql=" + quoteWord(guarded(p.query)) + "\n" + text
	}
	as := p.owner
	if p.loginIsOwner() {
		as = "" // spares a shell
	}
	v := p.c.Version
	res, err := p.h.Run(ctx, remote.Command{
		Args: []string{
			"sh", "-s", "--", p.owner, strconv.Itoa(v), strconv.Itoa(p.n.Port), p.c.Name, p.n.Name,
			clean(p.n.DataDir), clean(p.n.ConfigDir), clean(p.n.BinDir), declaredSocket(p.n),
			schema.DefaultPaths("debian", v).DataDir, schema.DefaultPaths("rhel", v).DataDir,
			flag(p.loginIsOwner() && p.h.LoginUser() != "root"), flag(!p.loginIsOwner()),
			flag(p.c.Archived() && (opts.Archiver || mayLack(p.c))),
		},
		As:    as,
		Stdin: strings.NewReader(text),
	})
	if err != nil {
		return nil, p.explain(ctx, err)
	}
	s, err := parseSections(string(res.Stdout))
	if err != nil {
		if msg := oneLine(string(res.Stderr)); msg != "" {
			err = fmt.Errorf("%w (it said: %s)", err, msg)
		}
		return nil, fmt.Errorf("%s: %w", p.h.Name(), err)
	}
	return s, nil
}

// mayLack says that PostgreSQL may let go of WAL before an archive of the cluster has it.
func mayLack(c *schema.Cluster) bool {
	return slices.ContainsFunc(c.Archives, func(a *schema.Archive) bool { return !a.Required || a.QueueLimit > 0 })
}

// explain says what is behind a probe that failed: mostly that there is no such
// user, since PostgreSQL's packages are not installed.
func (p *probe) explain(ctx context.Context, err error) error {
	var failed *remote.CommandError
	var refused *remote.PrivilegeError
	if !errors.As(err, &failed) && !errors.As(err, &refused) || p.loginIsOwner() {
		return err
	}
	_, idErr := p.h.Run(ctx, remote.Command{Args: []string{"id", "-u", "--", p.owner}})
	if errors.As(idErr, &failed) && failed.Status == 1 {
		return fmt.Errorf("%s: there is no operating system user %s: install the packages of PostgreSQL %d, which create it, or name the user with owner in the connection block", p.h.Name(), p.owner, p.c.Version)
	}
	return err
}

// startRoot finds out beside the script whether the login user may become root.
func (p *probe) startRoot(ctx context.Context) <-chan bool {
	out := make(chan bool, 1)
	if p.h.LoginUser() == "root" || p.loginIsOwner() { // known, or asked by the script
		out <- false
		return out
	}
	go func() {
		_, err := p.h.Run(ctx, remote.Command{Args: []string{"sudo", "-n", "true"}})
		out <- err == nil
	}()
	return out
}

// asked is what came of asking one server.
type asked struct {
	target instance.Target
	answer *answer
	err    error
}

// startEarly asks the server where it should be, before the script has told where it
// is: nearly always that is right, and saves the wait.
func (p *probe) startEarly(ctx context.Context) <-chan asked {
	if !p.loginIsOwner() {
		return nil
	}
	dir := declaredSocket(p.n)
	if dir == "" {
		dir = defaultSocket
	}
	out := make(chan asked, 1)
	go func() { out <- p.ask(ctx, instance.Target{SocketDir: dir, Port: p.n.Port, DirectOnly: true}) }()
	return out
}

func (p *probe) ask(ctx context.Context, t instance.Target) asked {
	t.Owner, t.LoginIsOwner = p.owner, p.loginIsOwner()
	db, err := instance.Open(ctx, p.h, t)
	if err != nil {
		return asked{target: t, err: err}
	}
	defer func() { _ = db.Close() }()
	doc, err := db.JSON(ctx, guarded(p.query))
	if err != nil {
		return asked{target: t, err: err}
	}
	a, err := parseAnswer(doc)
	return asked{target: t, answer: a, err: err}
}

// serverFacts takes the answer of the server that runs on the data directory, and of no other.
func (p *probe) serverFacts(ctx context.Context, s *sections, early <-chan asked, f *planner.NodeFacts) {
	var got asked
	if early == nil {
		got = fromScript(s)
	} else if got = <-early; !got.final(f) {
		got = p.ask(ctx, instance.Target{SocketDir: f.Paths.SocketDir, Port: f.Server.Port, BinDir: f.Paths.BinDir})
	}
	if got.err == nil && !got.from(f.Server.PID) {
		got.err = fmt.Errorf("another server (pid %s) answers at its socket", got.answer.PostmasterPID)
	}
	if got.err != nil {
		f.Server.Error = oneLine(got.err.Error())
		if st := strings.TrimSpace(s.get("run_status")); st != "" && st != "ready" && st != "standby" {
			f.Server.Error += " (postmaster.pid says: " + st + ")"
		}
		return
	}
	ready := s.get("ready")
	got.answer.fill(f, p.c)
	if f.Server.Archiver != nil {
		f.Server.Archiver.Ready, _ = strconv.Atoi(ready)
	}
}

// from says that the postmaster with this pid gave the answer.
func (a asked) from(pid int) bool {
	return strings.TrimPrefix(a.answer.PostmasterPID, "-") == strconv.Itoa(pid)
}

// final says that asking the server of these facts again would tell no more.
func (a asked) final(f *planner.NodeFacts) bool {
	var refused *instance.Error
	if errors.As(a.err, &refused) {
		return a.target.SocketDir == f.Paths.SocketDir && a.target.Port == f.Server.Port
	}
	return a.err == nil && a.from(f.Server.PID)
}

// fromScript is the answer that psql gave within the script.
func fromScript(s *sections) asked {
	if doc := s.get("sql"); doc != "" {
		// A warning of psql may stand before it.
		a, err := parseAnswer([]byte(doc[strings.LastIndexByte(doc, '\n')+1:]))
		return asked{answer: a, err: err}
	}
	msg := oneLine(strings.TrimPrefix(s.get("sql_error"), "psql: error: "))
	if msg == "" {
		msg = "it has no unix socket to ask it at"
	}
	return asked{err: errors.New(msg)}
}

// clean is path.Clean for a path that may be undeclared.
func clean(p string) string {
	if p == "" {
		return ""
	}
	return path.Clean(p)
}

func quoteWord(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
