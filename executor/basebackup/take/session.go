package take

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgconn/ctxwatch"

	"pg_manage/schema/postgres"
)

// Server is the instance whose files are copied.
type Server struct {
	DataDir   string
	BinDir    string // where pg_controldata lies
	SocketDir string
	Port      int
	User      string // of the database
	Major     int
}

// connectTimeout is how long the server may take to accept the connection.
const connectTimeout = 10 * time.Second

// session is the one connection that holds the server in backup mode: the mode ends with
// it, whatever becomes of us. Its methods may be called by several goroutines.
type session struct {
	mu      sync.Mutex
	conn    *pgconn.PgConn
	version postgres.Version
}

// connect opens the session through the server's unix socket.
func connect(ctx context.Context, s Server) (*session, error) {
	cfg, err := pgconn.ParseConfig("host=/ port=5432 user=x dbname=postgres sslmode=disable")
	if err != nil {
		return nil, fmt.Errorf("the PG* environment variables of this process are unusable: %w", err)
	}
	// Nothing of the environment may steer whom we talk to.
	cfg.Host, cfg.Port, cfg.User, cfg.Password = s.SocketDir, uint16(s.Port), s.User, ""
	cfg.Fallbacks, cfg.ValidateConnect, cfg.AfterConnect, cfg.TLSConfig = nil, nil, nil, nil
	cfg.RuntimeParams = map[string]string{"application_name": "pg_manage backup", "client_encoding": "UTF8"}
	cfg.ConnectTimeout = connectTimeout
	socket := filepath.Join(s.SocketDir, ".s.PGSQL."+strconv.Itoa(s.Port))
	cfg.LookupFunc = func(context.Context, string) ([]string, error) { return []string{s.SocketDir}, nil }
	cfg.DialFunc = func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", socket)
	}
	// A start of a backup that waits for its checkpoint would go on for minutes after its
	// connection is closed, so the server is told.
	cfg.BuildContextWatcherHandler = func(c *pgconn.PgConn) ctxwatch.Handler {
		return &pgconn.CancelRequestContextWatcherHandler{Conn: c, DeadlineDelay: 5 * time.Second}
	}
	conn, err := pgconn.ConnectConfig(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("connect to PostgreSQL at %s: %w", socket, plain(err))
	}
	x := &session{conn: conn}
	if err := x.prepare(ctx); err != nil {
		x.close()
		return nil, fmt.Errorf("PostgreSQL at %s: %w", socket, err)
	}
	return x, nil
}

// prepare makes sure that no time-out of the server ends the session: a copy takes
// hours, during which it idles.
func (x *session) prepare(ctx context.Context) error {
	rows, err := x.query(ctx, `SELECT pg_catalog.set_config('search_path', 'pg_catalog', false), pg_catalog.current_setting('server_version_num')`)
	if err != nil {
		return err
	}
	if x.version, err = postgres.ParseVersion(rows[0][1]); err != nil {
		return err
	}
	_, err = x.query(ctx, `SELECT set_config(name, '0', false) FROM pg_settings
 WHERE name IN ('statement_timeout', 'lock_timeout', 'idle_session_timeout', 'idle_in_transaction_session_timeout', 'transaction_timeout')`)
	return err
}

// close ends the session, and with it backup mode.
func (x *session) close() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	x.conn.Close(ctx) //nolint:errcheck // all that matters has been checked by then
}

// query runs one statement with text parameters. NULL is the empty string.
func (x *session) query(ctx context.Context, sql string, args ...string) ([][]string, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	values := make([][]byte, len(args))
	for i, a := range args {
		values[i] = []byte(a)
	}
	r := x.conn.ExecParams(ctx, sql, values, nil, nil, nil).Read()
	if r.Err != nil {
		return nil, plain(r.Err)
	}
	rows := make([][]string, len(r.Rows))
	for i, row := range r.Rows {
		for _, v := range row {
			rows[i] = append(rows[i], string(v))
		}
	}
	return rows, nil
}

// row is query for a statement that gives exactly one row.
func (x *session) row(ctx context.Context, sql string, args ...string) ([]string, error) {
	rows, err := x.query(ctx, sql, args...)
	if err == nil && len(rows) != 1 {
		err = fmt.Errorf("PostgreSQL gave %d rows instead of one", len(rows))
	}
	if err != nil {
		return nil, err
	}
	return rows[0], nil
}

// each runs one statement and hands over its rows as they come. What f gets is valid
// until it returns.
func (x *session) each(ctx context.Context, f func(row [][]byte) error, sql string, args ...string) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	values := make([][]byte, len(args))
	for i, a := range args {
		values[i] = []byte(a)
	}
	r := x.conn.ExecParams(ctx, sql, values, nil, nil, nil)
	var failed error
	for failed == nil && r.NextRow() {
		failed = f(r.Values())
	}
	_, err := r.Close()
	if failed != nil {
		return failed
	}
	return plain(err)
}

// plain keeps of a driver's error what a person can use.
func plain(err error) error {
	var pg *pgconn.PgError
	var refused *pgconn.ConnectError
	switch {
	case errors.As(err, &pg):
		text := pg.Message
		if pg.Detail != "" {
			text += ": " + pg.Detail
		}
		if pg.Hint != "" {
			text += " (" + strings.TrimSuffix(pg.Hint, ".") + ")"
		}
		return &ServerError{Code: pg.Code, Message: text}
	case errors.As(err, &refused):
		return refused.Unwrap()
	}
	return err
}

// ServerError is what the server answered.
type ServerError struct {
	Code    string // SQLSTATE
	Message string
}

func (e *ServerError) Error() string {
	return fmt.Sprintf("%s (SQLSTATE %s)", e.Message, e.Code)
}
