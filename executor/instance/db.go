package instance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"path"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgconn/ctxwatch"

	"pg_manage/executor/remote"
)

// ConnectTimeout is how long a server may take to accept a connection.
const ConnectTimeout = 5 * time.Second

// DB runs SQL on one server, as the superuser that is named as the owner of the
// instance, in the database postgres. It is for one goroutine at a time.
type DB interface {
	// Exec runs one or more statements and drops what they return.
	Exec(ctx context.Context, sql string) error
	// JSON runs statements and gives the first column of the last row returned. No row, or NULL, gives nil.
	JSON(ctx context.Context, sql string) ([]byte, error)
	// Close ends the session.
	Close() error
}

// Target says which server to talk to, and as whom.
type Target struct {
	SocketDir    string
	Port         int
	Owner        string // operating system user, and role of the same name
	BinDir       string // where psql lies; "" looks in PATH
	LoginIsOwner bool   // the connection to the host runs as Owner, so the socket serves it by peer authentication
	DirectOnly   bool   // with LoginIsOwner: fail, rather than run psql, when the socket cannot be reached
}

// Error is what a server answered to a statement or to a connection attempt. The
// statement is not part of it, since it may hold a secret.
type Error struct {
	Host    string
	Code    string // SQLSTATE, "" when not known
	Message string
}

func (e *Error) Error() string {
	if e.Code == "" {
		return fmt.Sprintf("%s: PostgreSQL: %s", e.Host, e.Message)
	}
	return fmt.Sprintf("%s: PostgreSQL: %s (SQLSTATE %s)", e.Host, e.Message, e.Code)
}

// Starting says that the server is there but takes no connections for now: it
// starts up, recovers or shuts down (SQLSTATE 57P03, cannot_connect_now).
func (e *Error) Starting() bool { return e.Code == "57P03" }

// Open connects to a server through the unix socket of its host: over the
// connection's own forwarding where the login user is the owner, through psql run
// as the owner elsewhere, or where the sshd forwards no sockets. psql connects anew
// for each call, so a server that is not there may show with the first one only.
// The errors are *Error, or those of package remote.
func Open(ctx context.Context, h remote.Host, t Target) (DB, error) {
	if !t.LoginIsOwner {
		return &psql{h, t}, nil
	}
	cfg, err := pgconn.ParseConfig("host=/ port=5432 user=x dbname=postgres sslmode=disable")
	if err != nil {
		return nil, fmt.Errorf("%s: the PG* environment variables of this process are unusable: %w", h.Name(), err)
	}
	// Nothing of the operator's environment may steer whom we talk to.
	cfg.Host, cfg.Port, cfg.User, cfg.Password = t.SocketDir, uint16(t.Port), t.Owner, ""
	cfg.Fallbacks, cfg.ValidateConnect, cfg.AfterConnect, cfg.TLSConfig = nil, nil, nil, nil
	cfg.RuntimeParams = map[string]string{"application_name": "pg_manage"}
	cfg.ConnectTimeout = ConnectTimeout
	cfg.LookupFunc = func(context.Context, string) ([]string, error) { return []string{t.SocketDir}, nil }
	dialed := false
	cfg.DialFunc = func(ctx context.Context, _, _ string) (net.Conn, error) {
		c, err := h.Dial(ctx, "unix", path.Join(t.SocketDir, ".s.PGSQL."+strconv.Itoa(t.Port)))
		dialed = err == nil
		return c, err
	}
	// A forwarded socket knows no deadlines: closing it is what ends a wait.
	cfg.BuildContextWatcherHandler = func(c *pgconn.PgConn) ctxwatch.Handler { return closer{c} }
	conn, err := await(ctx, func() (*pgconn.PgConn, error) { return pgconn.ConnectConfig(ctx, cfg) })
	if err != nil {
		var lost *remote.ConnectError
		if ctx.Err() == nil && !dialed && !t.DirectOnly && !errors.As(err, &lost) {
			return &psql{h, t}, nil
		}
		return nil, serverError(h, err)
	}
	return &direct{h, conn}, nil
}

type closer struct{ conn *pgconn.PgConn }

func (c closer) HandleCancel(context.Context) { _ = c.conn.Conn().Close() }
func (c closer) HandleUnwatchAfterCancel()    {}

// await runs f and waits for it no longer than ctx lets it: closing a forwarded
// socket doesn't end a read on it when the network is gone.
func await[T any](ctx context.Context, f func() (T, error)) (T, error) {
	type result struct {
		v   T
		err error
	}
	c := make(chan result, 1)
	go func() {
		v, err := f()
		c <- result{v, err}
	}()
	select {
	case r := <-c:
		return r.v, r.err
	case <-ctx.Done():
		// The work has the same ctx, and mostly ends at once with a better error.
		grace := time.NewTimer(time.Second)
		defer grace.Stop()
		select {
		case r := <-c:
			return r.v, r.err
		case <-grace.C:
			var none T
			return none, context.Cause(ctx)
		}
	}
}

// serverError keeps of a driver's error what is safe to show.
func serverError(h remote.Host, err error) error {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return &Error{h.Name(), pg.Code, pg.Message}
	}
	var conn *pgconn.ConnectError
	if errors.As(err, &conn) {
		err = conn.Unwrap()
	}
	return fmt.Errorf("%s: PostgreSQL: %w", h.Name(), err)
}

// direct speaks the protocol itself.
type direct struct {
	h    remote.Host
	conn *pgconn.PgConn
}

func (d *direct) Exec(ctx context.Context, sql string) error {
	_, err := d.JSON(ctx, sql)
	return err
}

func (d *direct) JSON(ctx context.Context, sql string) ([]byte, error) {
	results, err := await(ctx, func() ([]*pgconn.Result, error) { return d.conn.Exec(ctx, sql).ReadAll() })
	if err != nil {
		return nil, serverError(d.h, err)
	}
	var last []byte
	for _, r := range results {
		if r.Err != nil {
			return nil, serverError(d.h, r.Err)
		}
		for _, row := range r.Rows {
			if len(row) > 0 {
				last = row[0]
			}
		}
	}
	return last, nil
}

func (d *direct) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), ConnectTimeout)
	defer cancel()
	_, err := await(ctx, func() (struct{}, error) { return struct{}{}, d.conn.Close(ctx) })
	return err
}

// psql runs the program of that name as the owner, SQL on its input.
type psql struct {
	h remote.Host
	t Target
}

func (p *psql) Exec(ctx context.Context, sql string) error {
	_, err := p.JSON(ctx, sql)
	return err
}

func (p *psql) JSON(ctx context.Context, sql string) ([]byte, error) {
	program := "psql"
	if p.t.BinDir != "" {
		program = path.Join(p.t.BinDir, "psql")
	}
	res, err := p.h.Run(ctx, remote.Command{
		Args: []string{
			"env", "LC_ALL=C", "PGCONNECT_TIMEOUT=" + strconv.Itoa(int(ConnectTimeout.Seconds())), "PGAPPNAME=pg_manage",
			program, "-XAtqw", "-v", "ON_ERROR_STOP=1", "-v", "VERBOSITY=verbose", "-v", "SHOW_CONTEXT=never",
			"-h", p.t.SocketDir, "-p", strconv.Itoa(p.t.Port), "-U", p.t.Owner, "-d", "postgres", "-f", "-",
		},
		As:    p.t.Owner,
		Stdin: strings.NewReader(strings.TrimRight(sql, "; \n") + ";\n"),
	})
	if err != nil {
		return nil, psqlError(p.h, err)
	}
	out := bytes.TrimRight(res.Stdout, "\n")
	if i := bytes.LastIndexByte(out, '\n'); i >= 0 {
		out = out[i+1:]
	}
	if len(out) == 0 {
		return nil, nil
	}
	return out, nil
}

func (p *psql) Close() error { return nil }

var (
	psqlServer  = regexp.MustCompile(`(?m)^psql:[^\n]*?: [^:\n]+:  ([0-9A-Z]{5}): ([^\n]*)$`)
	psqlConnect = regexp.MustCompile(`(?m)^psql: error: ([^\n]*)$`)
)

// psqlError takes the server's message out of what psql said, and nothing else:
// beside it psql prints the statement.
func psqlError(h remote.Host, err error) error {
	var ce *remote.CommandError
	if !errors.As(err, &ce) {
		return err
	}
	if m := psqlServer.FindStringSubmatch(ce.Stderr); m != nil {
		return &Error{h.Name(), m[1], m[2]}
	}
	if m := psqlConnect.FindStringSubmatch(ce.Stderr); m != nil {
		return &Error{h.Name(), connectCode(m[1]), m[1]}
	}
	if ce.Status == 126 || ce.Status == 127 {
		return &Error{h.Name(), "", fmt.Sprintf("psql cannot be run (exit status %d): are PostgreSQL's client programs installed?", ce.Status)}
	}
	return &Error{h.Name(), "", fmt.Sprintf("psql ended with exit status %d", ce.Status)}
}

// connectCode knows the refusals that come and go with the server's state;
// psql shows no SQLSTATE for a refused connection.
func connectCode(msg string) string {
	for _, s := range []string{"the database system is ", "database system is not accepting"} {
		if strings.Contains(msg, s) {
			return "57P03"
		}
	}
	return ""
}
