package instance

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"pg_manage/schema/postgres"
)

// SetRole creates a role that may log in and replicate, or mends it, with this SCRAM
// verifier as its password. The statement is kept out of the server's log.
func (i *Instance) SetRole(ctx context.Context, name, verifier string) error {
	role, err := postgres.QuoteIdentifier(name)
	if err != nil {
		return err
	}
	literal, err := postgres.QuoteLiteral(name)
	if err != nil {
		return err
	}
	password, err := postgres.QuoteLiteral(verifier)
	if err != nil {
		return err
	}
	db, err := i.DB(ctx)
	if err != nil {
		return err
	}
	defer db.Close()
	// A statement is logged by the settings before its text is run, so the text goes to
	// a session that has them; psql makes a session per call and sends statements one by one.
	const quiet = `SET log_statement = 'none'; SET log_min_duration_statement = -1; SET log_min_error_statement = 'panic'; SET log_parser_stats = off; SET log_planner_stats = off; SET log_executor_stats = off; SET log_statement_stats = off;
SET log_min_duration_sample = -1; SET log_transaction_sample_rate = 0; SET pg_stat_statements.track_utility = off; SET pgaudit.log = 'none';
`
	out, err := db.JSON(ctx, "SELECT pg_catalog.count(*) FROM pg_catalog.pg_roles WHERE rolname = "+literal)
	if err != nil {
		return err
	}
	verb := "ALTER"
	if strings.TrimSpace(string(out)) == "0" {
		verb = "CREATE"
	}
	if err := db.Exec(ctx, quiet); err != nil {
		return err
	}
	if err := db.Exec(ctx, quiet+verb+" ROLE "+role+" WITH LOGIN REPLICATION PASSWORD "+password); err != nil {
		return fmt.Errorf("%s role %s: %w", strings.ToLower(verb), name, err)
	}
	return nil
}

// CreateSlot makes a physical replication slot that keeps WAL from now on. That it is
// there already, from an attempt whose answer was lost, is no error.
func (i *Instance) CreateSlot(ctx context.Context, name string) error {
	return i.slot(ctx, name, `SELECT pg_catalog.pg_create_physical_replication_slot(%[1]s, true)
 WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_replication_slots WHERE slot_name = %[1]s AND slot_type = 'physical')`)
}

// DropSlot drops a slot that nobody uses.
func (i *Instance) DropSlot(ctx context.Context, name string) error {
	return i.slot(ctx, name, "SELECT pg_catalog.pg_drop_replication_slot(slot_name) FROM pg_catalog.pg_replication_slots WHERE slot_name = %[1]s")
}

func (i *Instance) slot(ctx context.Context, name, sql string) error {
	literal, err := postgres.QuoteLiteral(name)
	if err != nil {
		return err
	}
	db, err := i.DB(ctx)
	if err != nil {
		return err
	}
	defer db.Close()
	if err := db.Exec(ctx, fmt.Sprintf(sql, literal)); err != nil {
		return fmt.Errorf("slot %s: %w", name, err)
	}
	return nil
}

// DatabaseSize is the sum of the sizes of all databases, in bytes.
func (i *Instance) DatabaseSize(ctx context.Context) (int64, error) {
	db, err := i.DB(ctx)
	if err != nil {
		return 0, err
	}
	defer db.Close()
	out, err := db.JSON(ctx, "SELECT pg_catalog.sum(pg_catalog.pg_database_size(oid))::bigint FROM pg_catalog.pg_database")
	if err != nil {
		return 0, err
	}
	var size int64
	if err := json.Unmarshal(out, &size); err != nil {
		return 0, fmt.Errorf("%s: pg_database_size: %w", i.Host.Name(), err)
	}
	return size, nil
}

// archiverState is what one look at the archiver gives.
type archiverState struct {
	Done   bool   `json:"done"` // the segment, or one behind it, is archived
	Last   string `json:"last"`
	Failed string `json:"failed"` // the last failure, when it is newer than the last success
	Count  int64  `json:"count"`  // of failures
}

// CheckArchive ends the current WAL segment and waits until the archive has it. poll
// is how often to look. The error carries what the server's log says.
func (i *Instance) CheckArchive(ctx context.Context, poll, limit time.Duration) (segment string, err error) {
	db, err := i.DB(ctx)
	if err != nil {
		return "", err
	}
	defer db.Close()
	// A restart point's record makes sure that there is something to switch away from.
	// The name is that of the segment that was current before.
	out, err := db.JSON(ctx, `SELECT pg_catalog.pg_create_restore_point('pg_manage archive check');
SELECT pg_catalog.pg_walfile_name(pg_catalog.pg_switch_wal())`)
	if err != nil {
		return "", fmt.Errorf("switch to a new WAL segment: %w", err)
	}
	segment = strings.TrimSpace(string(out))
	literal, err := postgres.QuoteLiteral(segment)
	if err != nil {
		return "", err
	}
	query := `SELECT pg_catalog.json_build_object(
 'done', coalesce(last_archived_wal ~ '^[0-9A-F]{24}' AND pg_catalog.substr(last_archived_wal, 9, 16) >= pg_catalog.substr(` + literal + `, 9, 16), false),
 'last', coalesce(last_archived_wal, ''), 'count', failed_count,
 'failed', CASE WHEN last_failed_time > coalesce(last_archived_time, '-infinity') THEN last_failed_wal ELSE '' END)
FROM pg_catalog.pg_stat_archiver`
	deadline, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var state archiverState
	for {
		out, err := db.JSON(ctx, query)
		if err != nil {
			return segment, err
		}
		if err := json.Unmarshal(out, &state); err != nil {
			return segment, fmt.Errorf("%s: pg_stat_archiver: %w", i.Host.Name(), err)
		}
		if state.Done {
			return segment, nil
		}
		select {
		case <-deadline.Done():
			if ctx.Err() != nil {
				return segment, context.Cause(ctx)
			}
			err := fmt.Errorf("%s: WAL segment %s did not arrive in the archive within %s (last archived: %s; %d failures, the last with %s)",
				i.Host.Name(), segment, limit, orNone(state.Last), state.Count, orNone(state.Failed))
			return segment, i.withLog(ctx, err)
		case <-time.After(poll):
		}
	}
}

// SwitchWAL makes a primary begin a new WAL segment, also when it is idle, so that the one
// before it is archived. It gives the name of that one.
func (i *Instance) SwitchWAL(ctx context.Context) (segment string, err error) {
	db, err := i.DB(ctx)
	if err != nil {
		return "", err
	}
	defer db.Close()
	out, err := db.JSON(ctx, `SELECT pg_catalog.pg_create_restore_point('pg_manage backup');
SELECT pg_catalog.pg_walfile_name(pg_catalog.pg_switch_wal())`)
	if err != nil {
		return "", fmt.Errorf("switch to a new WAL segment: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}
