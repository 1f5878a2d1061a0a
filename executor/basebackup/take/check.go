package take

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"pg_manage/schema/postgres"
)

// facts are what is known of the server before a backup begins.
type facts struct {
	control *postgres.ControlData
	version string // as people write it, such as "17.6"
	standby bool
	// Of a running server alone:
	relationSegment int64 // blocks of a file of a relation
	summaries       bool  // summarize_wal is on
}

// control reads the control file of the data directory with PostgreSQL's own program.
func (s Server) control(ctx context.Context) (*postgres.ControlData, error) {
	program := "pg_controldata"
	if s.BinDir != "" {
		program = filepath.Join(s.BinDir, program)
	}
	cmd := exec.CommandContext(ctx, program, "-D", s.DataDir)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s -D %s: %w: %s", program, s.DataDir, err, strings.TrimSpace(stderr.String()))
	}
	c, err := postgres.ParseControlData(string(out))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.DataDir, err)
	}
	return c, nil
}

// sameSystem refuses a data directory of another cluster.
func (o *Options) sameSystem(c *postgres.ControlData) error {
	if have := strconv.FormatUint(c.SystemIdentifier, 10); o.SystemIdentifier != "" && have != o.SystemIdentifier {
		return fmt.Errorf("%s has the system identifier %s, and the cluster %s has %s: this is another cluster's data, of which no backup is put beside that cluster's",
			o.Server.DataDir, have, o.Cluster, o.SystemIdentifier)
	}
	return nil
}

// check makes sure that the server at the socket runs on the data directory, that it is
// the one that is meant, and that a backup of it can be of use.
func (o *Options) check(ctx context.Context, x *session) (*facts, error) {
	control, err := o.Server.control(ctx)
	if err != nil {
		return nil, err
	}
	if err := o.sameSystem(control); err != nil {
		return nil, err
	}
	if x.version.Major() != o.Server.Major && o.Server.Major != 0 {
		return nil, fmt.Errorf("the server at %s is PostgreSQL %d, and not %d as declared", o.Server.SocketDir, x.version.Major(), o.Server.Major)
	}
	if err := o.mayBackUp(ctx, x); err != nil {
		return nil, err
	}
	r, err := x.row(ctx, `SELECT (SELECT system_identifier FROM pg_control_system()), current_setting('data_directory'),
 current_setting('wal_level'), current_setting('archive_mode'), pg_is_in_recovery(),
 (SELECT blocks_per_segment FROM pg_control_init()), coalesce(current_setting('summarize_wal', true), 'off'),
 current_setting('archive_command'), coalesce(current_setting('archive_library', true), ''), current_setting('server_version')`)
	if err != nil {
		return nil, err
	}
	if have := strconv.FormatUint(control.SystemIdentifier, 10); r[0] != have {
		return nil, fmt.Errorf("the server at %s has the system identifier %s, and %s has %s: they do not belong together", o.Server.SocketDir, r[0], o.Server.DataDir, have)
	}
	if err := o.sameDirectory(ctx, x, r[1]); err != nil {
		return nil, err
	}
	f := &facts{control: control, version: x.version.String(), standby: r[4] == "t", summaries: r[6] == "on"}
	if f.relationSegment, err = strconv.ParseInt(r[5], 10, 64); err != nil {
		return nil, err
	}
	// full_page_writes is not looked at: a primary writes whole pages during every backup
	// whatever it says, and a standby refuses when WAL without them was replayed
	// (xlog.c, do_pg_backup_start).
	if r[2] != "replica" && r[2] != "logical" {
		return nil, fmt.Errorf("wal_level is %s: a backup of a running server needs replica or logical; stop the server to take a cold one", r[2])
	}
	if o.Archive == nil || f.standby {
		return f, nil // what a standby's primary archives is not to be seen from here
	}
	return f, archives(r[3], r[7], r[8])
}

// archives says whether a primary hands its WAL to an archiver at all.
func archives(mode, command, library string) error {
	switch {
	case mode != "on" && mode != "always":
		return fmt.Errorf("archive_mode is %s, so that the WAL which the backup needs would never get into the archive: run pg_manage apply", mode)
	case (command == "" || command == "(disabled)") && library == "":
		return errors.New("archive_command is empty, so that the WAL which the backup needs would never get into the archive: run pg_manage apply")
	}
	return nil
}

// mayBackUp says which right is missing.
func (o *Options) mayBackUp(ctx context.Context, x *session) error {
	start, stop := "pg_backup_start(text, boolean)", "pg_backup_stop(boolean)"
	if x.version.Major() < 15 {
		start, stop = "pg_start_backup(text, boolean, boolean)", "pg_stop_backup(boolean, boolean)"
	}
	r, err := x.row(ctx, `SELECT has_function_privilege($1, 'EXECUTE') AND has_function_privilege($2, 'EXECUTE'),
 pg_has_role('pg_read_all_settings', 'USAGE'), has_function_privilege('pg_read_file(text)', 'EXECUTE'), current_user`, start, stop)
	if err != nil {
		return err
	}
	for _, granted := range r[:3] {
		if granted != "t" {
			return fmt.Errorf("the role %s may not take backups: they are taken as a superuser, the owner of the instance", r[3])
		}
	}
	return nil
}

// sameDirectory makes sure that the server which answers runs on the directory that is
// read: there may be another one at the same path, in a container or another root.
func (o *Options) sameDirectory(ctx context.Context, x *session, serves string) error {
	ours, err := os.Stat(o.Server.DataDir)
	if err != nil {
		return err
	}
	theirs, err := os.Stat(serves)
	if err != nil {
		return fmt.Errorf("the data directory of the server at %s: %w", o.Server.SocketDir, err)
	}
	if !os.SameFile(ours, theirs) {
		return fmt.Errorf("the server at %s, port %d, runs on %s, and not on %s", o.Server.SocketDir, o.Server.Port, serves, o.Server.DataDir)
	}
	r, err := x.row(ctx, "SELECT pg_read_file('postmaster.pid')")
	if err != nil {
		return err
	}
	pid, err := os.ReadFile(filepath.Join(o.Server.DataDir, "postmaster.pid"))
	if err != nil {
		return fmt.Errorf("the server at %s says that it runs on this directory, which does not look like it: %w", o.Server.SocketDir, err)
	}
	if r[0] != string(pid) {
		return fmt.Errorf("the server at %s runs on another directory than the one that is at %s here: their postmaster.pid differ", o.Server.SocketDir, o.Server.DataDir)
	}
	return nil
}
