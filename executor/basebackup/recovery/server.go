package recovery

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// server is PostgreSQL on the restored directory: our child.
type server struct {
	drill *drill
	port  string
	cmd   *exec.Cmd
	ended chan struct{} // closed when it has
	err   error         // why, then
}

// start starts the server, and waits until recovery has ended and it is open.
func (d *drill) start(ctx context.Context) error {
	s := d.server
	log, err := os.OpenFile(filepath.Join(d.scratch.dir, logName), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer log.Close() //nolint:errcheck // the server has it
	s.cmd = exec.Command(d.program("postgres"), "-D", d.scratch.data(), "-c", "config_file="+d.configFile("postgresql.conf"),
		"-c", "archive_mode=off", "-c", "listen_addresses=")
	s.cmd.Stdout, s.cmd.Stderr, s.cmd.Env, s.cmd.Dir = log, log, environment(), d.scratch.data()
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // a ^C at a terminal is ours alone
	if err := s.cmd.Start(); err != nil {
		s.cmd = nil
		return err
	}
	s.ended = make(chan struct{})
	go func() {
		s.err = s.cmd.Wait()
		close(s.ended)
	}()
	for {
		open, err := s.open(ctx)
		if open {
			return nil
		}
		select {
		case <-s.ended:
			return &startError{s.err, s.tail()}
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(100 * time.Millisecond):
		}
		if err != nil && !starting(err) {
			return fmt.Errorf("PostgreSQL on the restored files cannot be asked: %w", err)
		}
	}
}

// startError is a server that ended before it was open.
type startError struct {
	err error
	log string // its end
}

func (e *startError) Error() string {
	why := ""
	if e.fenced() {
		why = "the WAL behind the backup makes a tablespace, whose place here may be the source's own, so that the drill must not go on: take another backup and let it be drilled; "
	}
	return fmt.Sprintf("PostgreSQL did not come up on the restored files (%v): %s%s", e.err, why, e.log)
}

// fenced says that the server wanted to make a link to a tablespace.
func (e *startError) fenced() bool {
	return strings.Contains(e.log, "symbolic link \""+spacesLinks+"/") && strings.Contains(e.log, "Permission denied")
}

func (e *startError) Unwrap() error { return e.err }

// files says that the fault is in the restored files or in the WAL, as far as the log tells. An
// archive that could not be asked, or want of memory, proves nothing.
func (e *startError) files() bool {
	if strings.Contains(e.log, "could not restore file") || e.fenced() {
		return false
	}
	for _, s := range []string{
		"PANIC", "checkpoint record", "WAL ends before", "recovery ended before", "invalid data in", "incompatible with server",
		"is not a valid data directory", "requested timeline", "could not access status", "incorrect checksum",
	} {
		if strings.Contains(e.log, s) {
			return true
		}
	}
	return false
}

// open says whether recovery has ended.
func (s *server) open(ctx context.Context) (bool, error) {
	c, err := s.connect(ctx, "template1")
	if err != nil {
		return false, err
	}
	defer c.Close(ctx) //nolint:errcheck // nothing was written
	rows, err := query(ctx, c, "SELECT pg_catalog.pg_is_in_recovery()")
	return err == nil && len(rows) == 1 && rows[0][0] == "f", err
}

// starting says that the server is not open yet: the socket is not there, or it says so
// itself (errcodes.txt, cannot_connect_now).
func starting(err error) bool {
	var pe *pgconn.PgError
	if errors.As(err, &pe) {
		return pe.Code == "57P03"
	}
	return true // no socket yet, or a connection that broke
}

// connect connects to a database.
func (s *server) connect(ctx context.Context, database string) (*pgconn.PgConn, error) {
	cfg, err := pgconn.ParseConfig("host=/ port=5432 user=x dbname=postgres sslmode=disable")
	if err != nil {
		return nil, err
	}
	dir := s.drill.scratch.marker.SocketDir
	n, err := strconv.ParseUint(s.port, 10, 16)
	if err != nil {
		return nil, err
	}
	// Nothing of the environment may steer whom we talk to.
	cfg.Host, cfg.Port, cfg.User, cfg.Password, cfg.Database = dir, uint16(n), s.drill.User, "", database
	cfg.Fallbacks, cfg.ValidateConnect, cfg.AfterConnect, cfg.TLSConfig = nil, nil, nil, nil
	cfg.RuntimeParams = map[string]string{"application_name": "pg_manage drill", "client_encoding": "UTF8"}
	cfg.ConnectTimeout = 10 * time.Second
	cfg.LookupFunc = func(context.Context, string) ([]string, error) { return []string{dir}, nil }
	cfg.DialFunc = func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", filepath.Join(dir, ".s.PGSQL."+s.port))
	}
	return pgconn.ConnectConfig(ctx, cfg)
}

// query runs one statement and gives its rows as text.
func query(ctx context.Context, c *pgconn.PgConn, sql string) ([][]string, error) {
	r := c.ExecParams(ctx, sql, nil, nil, nil, nil).Read()
	if r.Err != nil {
		return nil, r.Err
	}
	var out [][]string
	for _, row := range r.Rows {
		var fields []string
		for _, f := range row {
			fields = append(fields, string(f))
		}
		out = append(out, fields)
	}
	return out, nil
}

// stopTime is how long the server may take to write everything out.
const stopTime = 10 * time.Minute

// stop shuts the server down as one does.
func (s *server) stop(ctx context.Context) error {
	if err := s.cmd.Process.Signal(syscall.SIGINT); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-s.ended:
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(stopTime):
		return fmt.Errorf("PostgreSQL does not shut down within %s", stopTime)
	}
	if s.err != nil {
		return fmt.Errorf("PostgreSQL did not shut down properly (%w): %s", s.err, s.tail())
	}
	return nil
}

// kill ends the server at once. Its children end with it.
func (s *server) kill() error {
	if s.cmd == nil {
		return nil
	}
	for _, step := range []struct {
		signal syscall.Signal
		wait   time.Duration
	}{{syscall.SIGQUIT, 10 * time.Second}, {syscall.SIGKILL, 30 * time.Second}} {
		if err := s.cmd.Process.Signal(step.signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
			return err
		}
		select {
		case <-s.ended:
			return nil
		case <-time.After(step.wait):
		}
	}
	return fmt.Errorf("process %d does not end", s.cmd.Process.Pid)
}

// tail is the end of the server's log.
func (s *server) tail() string {
	f, err := os.Open(filepath.Join(s.drill.scratch.dir, logName))
	if err != nil {
		return err.Error()
	}
	defer f.Close() //nolint:errcheck // read only
	const most = 4000
	st, err := f.Stat()
	if err != nil {
		return err.Error()
	}
	b, err := io.ReadAll(io.NewSectionReader(f, max(0, st.Size()-most), most))
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	return strings.Join(lines[max(0, len(lines)-12):], "; ")
}
