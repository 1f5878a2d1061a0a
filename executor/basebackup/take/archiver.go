package take

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"
)

// archiverState is what pg_stat_archiver says.
type archiverState struct {
	archived   string // how many files were archived
	last       string // the last of them
	failing    string // last file that was not, when nothing was archived since
	failed     string // when
	running    bool
	unknown    error
	ofAStandby bool // which does not archive what it receives
}

// before says whether the archiver comes to a file only later: it takes them in their order.
func (a *archiverState) before(name string) bool { return a.last < name }

// archiverOf asks the server, which by now may be gone without harm.
func (o *Options) archiverOf(ctx context.Context, x *session, was recovery) archiverState {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	r, err := x.row(ctx, `SELECT archived_count, last_archived_wal,
 CASE WHEN last_failed_time > coalesce(last_archived_time, '-infinity') THEN last_failed_wal END,
 to_char(last_failed_time, 'YYYY-MM-DD HH24:MI:SS TZ'), current_setting('archive_mode'),
 EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = 'archiver') FROM pg_stat_archiver`)
	if err != nil {
		return archiverState{unknown: err}
	}
	return archiverState{
		archived: r[0], last: r[1], failing: r[2], failed: r[3], ofAStandby: was.standby && r[4] != "always",
		running: r[5] == "t" || x.version.Major() < 14, // which do not list it
	}
}

// waitReason says why a file may not be there yet.
func waitReason(err error, name string, a archiverState) string {
	var why []string
	if err != nil {
		why = append(why, "the archive cannot be asked: "+err.Error())
	}
	switch {
	case a.ofAStandby:
		why = append(why, "the primary archives it, once its segment is full")
	case a.unknown != nil:
		why = append(why, "the server cannot be asked about its archiver: "+a.unknown.Error())
	case a.failing != "":
		why = append(why, fmt.Sprintf("archive_command fails, last for %s at %s (the server's log has its message)", a.failing, a.failed))
	case !a.running:
		why = append(why, "the server's archiver is not running")
	case err == nil && !a.before(name):
		why = append(why, fmt.Sprintf("the server has archived files up to %s, and this one not to here: does its archive_command lead elsewhere?", a.last))
	case err == nil:
		why = append(why, "the archiver is behind: the last file that it has archived is "+cmp.Or(a.last, "none"))
	}
	return strings.Join(why, "; ")
}
