package recovery

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5/pgconn"
)

// check looks through all databases. Damage is a problem; an error, that it could not look.
func (d *drill) check(ctx context.Context) error {
	databases, err := d.databases(ctx)
	if err != nil {
		return err
	}
	if d.Major >= 14 {
		return d.amcheck(ctx)
	}
	for _, db := range databases {
		if err := d.indexes(ctx, db); err != nil {
			return err
		}
		if err := d.dump(ctx, db); err != nil {
			return err
		}
	}
	d.res.Checked = append(d.res.Checked, "amcheck of all B-tree indexes", "pg_dump of all databases")
	return nil
}

func (d *drill) databases(ctx context.Context) ([]string, error) {
	c, err := d.server.connect(ctx, "template1")
	if err != nil {
		return nil, err
	}
	defer c.Close(ctx) //nolint:errcheck // nothing was written
	rows, err := query(ctx, c, "SELECT datname FROM pg_catalog.pg_database WHERE datallowconn ORDER BY datname")
	var out []string
	for _, r := range rows {
		out = append(out, r[0])
	}
	return out, err
}

func (d *drill) workers() string {
	n := d.Workers
	if n <= 0 {
		n = min(runtime.NumCPU(), 4)
	}
	return strconv.Itoa(n)
}

func (d *drill) connection() []string {
	return []string{"--host=" + d.scratch.marker.SocketDir, "--port=" + d.server.port, "--username=" + d.User, "--no-password"}
}

// amcheck lets pg_amcheck look at all tables and B-tree indexes. It ends with 2 when it
// found damage (pg_amcheck.c).
func (d *drill) amcheck(ctx context.Context) error {
	args := append(d.connection(), "--all", "--install-missing", "--no-strict-names", "--jobs="+d.workers())
	if d.Deep {
		args = append(args, "--heapallindexed", "--parent-check")
	}
	found, stderr, err := d.lines(ctx, "pg_amcheck", args...)
	var exit *exec.ExitError
	switch {
	case err == nil && found == 0:
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err == nil:
		return nil
	case errors.As(err, &exit) && exit.ExitCode() == 2:
		if found == 0 {
			d.problem("pg_amcheck: %s", stderr)
		}
		return nil
	default:
		return fmt.Errorf("pg_amcheck: %w: %s", err, stderr)
	}
	d.res.Checked = append(d.res.Checked, "pg_amcheck")
	return nil
}

// lines runs a program whose output is problems, a line each.
func (d *drill) lines(ctx context.Context, name string, args ...string) (found int, stderr string, err error) {
	cmd := exec.CommandContext(ctx, d.program(name), args...)
	cmd.Env = environment()
	var errs tail
	cmd.Stderr = &errs
	out, err := cmd.StdoutPipe()
	if err != nil {
		return 0, "", err
	}
	if err := cmd.Start(); err != nil {
		return 0, "", err
	}
	sc := bufio.NewScanner(out)
	sc.Buffer(nil, 1<<20)
	for sc.Scan() {
		if line := strings.TrimSpace(sc.Text()); line != "" {
			found++
			d.problem("%s: %s", name, line)
		}
	}
	_, cerr := io.Copy(io.Discard, out) // after a line that is too long
	return found, errs.String(), errors.Join(cmd.Wait(), sc.Err(), cerr)
}

// tail keeps the end of what is written.
type tail struct {
	mu sync.Mutex
	b  []byte
}

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	const most = 4000
	t.b = append(t.b, b...)
	t.b = bytes.Clone(t.b[max(0, len(t.b)-most):])
	return len(b), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.ReplaceAll(strings.TrimSpace(string(t.b)), "\n", "; ")
}

// indexes looks at all B-tree indexes of a database with the extension amcheck.
func (d *drill) indexes(ctx context.Context, database string) error {
	c, err := d.server.connect(ctx, database)
	if err != nil {
		return err
	}
	defer c.Close(ctx) //nolint:errcheck // nothing of it is to stay
	if _, err := query(ctx, c, "CREATE EXTENSION IF NOT EXISTS amcheck"); err != nil {
		return fmt.Errorf("database %s: %w", database, err)
	}
	where, err := query(ctx, c, "SELECT pg_catalog.quote_ident(nspname) FROM pg_catalog.pg_extension e JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace WHERE extname = 'amcheck'")
	if err != nil || len(where) != 1 {
		return errors.Join(err, fmt.Errorf("database %s: amcheck is not there", database))
	}
	rows, err := query(ctx, c, `SELECT c.oid, c.oid::pg_catalog.regclass FROM pg_catalog.pg_index i
JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid JOIN pg_catalog.pg_am a ON a.oid = c.relam
WHERE a.amname = 'btree' AND c.relkind = 'i' AND c.relpersistence = 'p' AND i.indisready AND i.indisvalid ORDER BY 1`)
	if err != nil {
		return fmt.Errorf("database %s: %w", database, err)
	}
	function := "bt_index_check(%s, false)"
	if d.Deep {
		function = "bt_index_parent_check(%s, true)"
	}
	for _, r := range rows {
		_, err := query(ctx, c, "SELECT "+where[0][0]+"."+fmt.Sprintf(function, r[0]))
		var pe *pgconn.PgError
		switch {
		case err == nil:
		case errors.As(err, &pe) && ctx.Err() == nil:
			d.problem("amcheck: database %s, index %s: %s", database, r[1], pe.Message)
		default:
			return fmt.Errorf("database %s, index %s: %w", database, r[1], err)
		}
	}
	return nil
}

// dump reads all tables of a database.
func (d *drill) dump(ctx context.Context, database string) error {
	args := append(d.connection(), "--format=custom", "--compress=0", "--no-sync", "--file=/dev/null", "--dbname=dbname="+conninfo(database))
	_, err := d.output(ctx, "pg_dump", args...)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		d.problem("database %s: %v", database, err)
	}
	return nil
}

func conninfo(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, "'", `\'`).Replace(s) + "'"
}

// checksums lets pg_checksums read every page of the stopped directory.
func (d *drill) checksums(ctx context.Context) error {
	out, err := d.output(ctx, "pg_checksums", "--check", "--pgdata="+d.scratch.data())
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil && strings.Contains(out, "Bad checksums:"):
		d.problem("%v", err)
		return nil
	case err != nil:
		return err
	}
	d.res.Checked = append(d.res.Checked, "pg_checksums")
	return nil
}
