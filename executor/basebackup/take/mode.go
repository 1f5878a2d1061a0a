package take

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"pg_manage/schema/postgres"
)

// watchInterval is how often the session is looked at while files are copied.
const watchInterval = time.Second

// stopped is what the end of backup mode gives.
type stopped struct {
	lsn           postgres.LSN
	label         *postgres.BackupLabel
	labelFile     string
	tablespaceMap string // "" without tablespaces
}

// start puts the server into backup mode. It returns when the checkpoint is done that the
// backup begins with: soon when fast, else after part of checkpoint_timeout.
func (x *session) start(ctx context.Context, label string, fast bool) (postgres.LSN, error) {
	sql := "SELECT pg_backup_start($1, fast => $2::boolean)"
	if x.version.Major() < 15 {
		sql = "SELECT pg_start_backup($1, $2::boolean, false)"
	}
	r, err := x.row(ctx, sql, label, strconv.FormatBool(fast))
	if err != nil {
		return 0, fmt.Errorf("put the server into backup mode: %w", err)
	}
	return postgres.ParseLSN(r[0])
}

// stop ends backup mode. Whether WAL got into the archive is for us to see: the server
// would wait for it without end.
func (x *session) stop(ctx context.Context) (*stopped, error) {
	sql := "SELECT lsn, labelfile, spcmapfile FROM pg_backup_stop(wait_for_archive => false)"
	if x.version.Major() < 15 {
		sql = "SELECT lsn, labelfile, spcmapfile FROM pg_stop_backup(false, false)"
	}
	r, err := x.row(ctx, sql)
	if err != nil {
		return nil, fmt.Errorf("end the server's backup mode: %w", err)
	}
	s := &stopped{labelFile: r[1], tablespaceMap: r[2]}
	if s.lsn, err = postgres.ParseLSN(r[0]); err != nil {
		return nil, err
	}
	s.label, err = postgres.ParseBackupLabel(s.labelFile)
	return s, err
}

// recovery is how a server stands: where a standby is, and on which timeline.
type recovery struct {
	standby  bool
	timeline postgres.Timeline
}

// recovery asks. Of a primary the timeline is that of its latest checkpoint.
func (x *session) recovery(ctx context.Context) (recovery, error) {
	r, err := x.row(ctx, `SELECT pg_is_in_recovery(), greatest((SELECT timeline_id FROM pg_control_checkpoint()),
 (SELECT min_recovery_end_timeline FROM pg_control_recovery()))`)
	if err != nil {
		return recovery{}, err
	}
	n, err := strconv.ParseUint(r[1], 10, 32)
	return recovery{r[0] == "t", postgres.Timeline(n)}, err
}

var (
	errPromoted = errors.New("the standby was promoted during the backup, which is of no use then: take another one")
	errFollowed = errors.New("the standby went over to another timeline during the backup, since another server was promoted: take another one")
)

// unchanged says whether the server still is what it was when the backup began.
func (x *session) unchanged(ctx context.Context, was recovery) error {
	now, err := x.recovery(ctx)
	switch {
	case err != nil:
		return fmt.Errorf("the session that holds the server in backup mode was lost (the server's log says why): %w", err)
	case was.standby && !now.standby:
		return errPromoted
	case was.standby && now.timeline != was.timeline:
		return errFollowed
	}
	return nil
}

// watch ends the copy when the session is lost or the server was promoted: what would be
// copied from then on is of no use. The context that it gives ends with the cause.
func (x *session) watch(whole context.Context, was recovery) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(whole)
	done := make(chan struct{})
	go func() {
		defer close(done)
		t := time.NewTicker(watchInterval)
		defer t.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-t.C:
			}
			// Not with ctx: the end of the copy would break the connection, which is still needed.
			if err := x.unchanged(whole, was); err != nil {
				cancel(err)
				return
			}
		}
	}()
	return ctx, func() { cancel(nil); <-done }
}
