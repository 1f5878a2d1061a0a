package instance

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"pg_manage/executor/event"
	"pg_manage/executor/remote"
	"pg_manage/planner"
	"pg_manage/schema/postgres"
)

// Build is what BuildStandby needs besides the step's own detail.
type Build struct {
	planner.BuildDetail
	Node     string                  // application_name of the connection
	Size     int64                   // bytes of the source's databases; 0 when not known
	Now      time.Time               // names what is moved aside
	Progress func(done, total int64) // bytes; total is the source's own estimate
	Notice   func(message string)
	// Copy gives the program that makes the copy in a directory, in place of pg_basebackup;
	// the events that it tells of go to Sink.
	Copy func(dir string) (args []string, err error)
	Sink event.Sink
}

// BuildStandby copies a running server with pg_basebackup, or what Copy makes, and puts the
// copy, set up as a standby, into the place of the data directory. All is made beside it first, so
// that a failure leaves the data directory as it was.
func (i *Instance) BuildStandby(ctx context.Context, b Build) error {
	if err := i.refuseRunning(ctx); err != nil {
		return err
	}
	if err := i.refuseForeignConfig(ctx); err != nil {
		return err
	}
	fill := func(ctx context.Context, target string, inPlace bool) error {
		if b.Copy != nil { // which sees to the space itself
			return i.copy(ctx, target, b.Copy, b.Sink)
		}
		on := path.Dir(i.beside())
		if inPlace {
			on = i.DataDir
		}
		if err := i.checkSpace(ctx, on, b.Size); err != nil {
			return err
		}
		return i.baseBackup(ctx, b, target)
	}
	finish := func(ctx context.Context, target string) error {
		if err := i.verifyCopy(ctx, b.SystemIdentifier, target); err != nil {
			if b.Copy == nil {
				err = fmt.Errorf("%w: is %s:%d the server that the plan meant", err, b.SourceHost, b.SourcePort)
			}
			return err
		}
		if err := i.copiedFiles(ctx, b.Settings, b.Notice, target, recoverySettings()); err != nil {
			return err
		}
		return remote.WriteFile(ctx, i.Host, path.Join(target, "standby.signal"), nil, remote.FileOptions{Mode: 0o600, As: i.Owner})
	}
	return i.remake(ctx, remaking{moveAside: b.MoveAside, now: b.Now, notice: b.Notice, fill: fill, finish: finish})
}

// place says what becomes of the data directory as it is.
func (i *Instance) place(ctx context.Context, moveAside bool, now time.Time) (empty, inPlace bool, aside string, err error) {
	empty, inPlace, err = i.emptyDir(ctx)
	var failed *remote.CommandError
	if !errors.As(err, &failed) || !moveAside {
		return empty, inPlace, "", err
	}
	// Only what is a data directory of PostgreSQL is ever moved.
	const text = `[ -f "$1/PG_VERSION" ] && [ -f "$1/global/pg_control" ] || { echo "$1 is no PostgreSQL data directory, so it is not touched" >&2; exit 1; }
[ ! -L "$1" ] || { echo "$1 is a symbolic link: move what it points to away by hand" >&2; exit 1; }
if mountpoint -q -- "$1" || [ ! -w "$(dirname -- "$1")" ]; then echo "$1 cannot be renamed, since it is a mount point or its parent is not the owner's: move what it holds away by hand" >&2; exit 1; fi
`
	if _, err := i.script(ctx, "is it a data directory", text, strings.TrimRight(i.DataDir, "/")); err != nil {
		return false, false, "", err
	}
	return false, false, strings.TrimRight(i.DataDir, "/") + ".old-" + now.UTC().Format("20060102T150405Z"), nil
}

// checkSpace refuses a copy that cannot fit.
func (i *Instance) checkSpace(ctx context.Context, dir string, size int64) error {
	res, err := i.run(ctx, "df", "-P", "-k", "--", dir)
	if err != nil {
		return fmt.Errorf("look how much space there is: %w", err)
	}
	lines := strings.Split(strings.TrimSpace(string(res.Stdout)), "\n")
	fields := strings.Fields(lines[len(lines)-1])
	if len(fields) < 4 {
		return fmt.Errorf("%s: df gave %q", i.Host.Name(), res.Stdout)
	}
	kib, err := strconv.ParseInt(fields[3], 10, 64)
	if err != nil {
		return fmt.Errorf("%s: df gave %q: %w", i.Host.Name(), res.Stdout, err)
	}
	if need := size + size/10; kib*1024 < need {
		return fmt.Errorf("%s: %s has %d MiB free, and the copy needs about %d MiB: make room, or declare a data_dir on a larger file system", i.Host.Name(), dir, kib>>10, need>>20)
	}
	return nil
}

func (i *Instance) baseBackup(ctx context.Context, b Build, target string) error {
	var conninfo []string
	for _, kv := range [][2]string{
		{"host", b.SourceHost},
		{"port", strconv.Itoa(b.SourcePort)},
		{"user", b.User},
		{"passfile", path.Join(i.State, "passfile")},
		{"application_name", b.Node},
		{"connect_timeout", "10"},
	} {
		q, err := postgres.QuoteConninfo(kv[1])
		if err != nil {
			return err
		}
		conninfo = append(conninfo, kv[0]+"="+q)
	}
	args := []string{
		i.program("pg_basebackup"), "--pgdata=" + target, "--wal-method=stream", "--checkpoint=fast",
		"--progress", "--verbose", "--no-password", "--dbname=" + strings.Join(conninfo, " "),
	}
	if b.Slot != "" {
		args = append(args, "--slot="+b.Slot)
	}
	cmd := i.guarded(args...)
	cmd.Stderr = &progress{report: b.Progress}
	_, err := i.Host.Run(ctx, cmd)
	var failed *remote.CommandError
	if errors.As(err, &failed) {
		failed.Stderr = withoutProgress(failed.Stderr)
	}
	return explainCopy(i.Host.Name(), target, err)
}

// explainCopy says what to do about the usual failures of pg_basebackup.
func explainCopy(host, target string, err error) error {
	var failed *remote.CommandError
	if !errors.As(err, &failed) {
		return err
	}
	for _, known := range [][2]string{
		{"No space left on device", "the file system of " + target + " is full"},
		{"directory \"", "the directory of a tablespace holds something: move that away when an earlier copy left it; a standby on its source's own machine cannot have tablespaces"},
		{"no pg_hba.conf entry", "the source's pg_hba.conf does not let this node in: node addresses must be those that the source sees"},
		{"password authentication failed", "the source refuses the replication password"},
	} {
		if strings.Contains(failed.Stderr, known[0]) && (known[0] != "directory \"" || strings.Contains(failed.Stderr, "\" exists but is not empty") && !strings.Contains(failed.Stderr, target)) {
			return fmt.Errorf("%s: %s: %w", host, known[1], err)
		}
	}
	return err
}

// verifyCopy makes sure that the copy is one of the cluster that it was meant to be.
func (i *Instance) verifyCopy(ctx context.Context, want, target string) error {
	const text = `IFS= read -r v <"$1/PG_VERSION" && [ "$v" = "$2" ] || { echo "PG_VERSION is '$v', not $2" >&2; exit 1; }
exec "$3" -D "$1"
`
	res, err := i.script(ctx, "verify the copy", text, target, strconv.Itoa(i.Major), i.program("pg_controldata"))
	if err != nil {
		return fmt.Errorf("verify the copy: %w", err)
	}
	c, err := postgres.ParseControlData(string(res.Stdout))
	if err != nil {
		return fmt.Errorf("%s: pg_controldata: %w", i.Host.Name(), err)
	}
	if id := fmt.Sprint(c.SystemIdentifier); want != "" && id != want {
		return fmt.Errorf("%s: the copy has the system identifier %s, expected %s", i.Host.Name(), id, want)
	}
	return nil
}

// recoverySettings are those that steer recovery; in a copied postgresql.auto.conf
// they are the source's, not the standby's.
func recoverySettings() []string {
	return []string{
		"primary_conninfo", "primary_slot_name", "restore_command", "archive_cleanup_command", "recovery_end_command",
		"recovery_target", "recovery_target_action", "recovery_target_inclusive", "recovery_target_lsn", "recovery_target_name",
		"recovery_target_time", "recovery_target_timeline", "recovery_target_xid", "recovery_min_apply_delay", "promote_trigger_file",
	}
}

// copiedFiles gives a copy the configuration of its node, and takes out of
// postgresql.auto.conf what would override it, and the settings foreign.
func (i *Instance) copiedFiles(ctx context.Context, settings planner.SettingsDetail, notice func(string), dir string, foreign []string) error {
	if err := i.ownConfig(ctx, dir); err != nil {
		return err
	}
	auto, _, err := i.read(ctx, path.Join(dir, "postgresql.auto.conf"))
	if err != nil {
		return err
	}
	var drop []string
	entries, err := postgres.ParseConf(auto)
	if err != nil {
		return fmt.Errorf("%s: postgresql.auto.conf: %w", i.Host.Name(), err)
	}
	for _, e := range entries {
		name := strings.ToLower(e.Name)
		_, declared := settings.Values[name]
		if slices.Contains(foreign, name) || declared && !slices.Contains(recoverySettings(), name) {
			drop = append(drop, name)
		}
	}
	if len(drop) > 0 {
		notice("postgresql.auto.conf came with the copy and set " + strings.Join(drop, ", ") + "; taken out of it, since it would override what is declared")
		if err := i.editAuto(ctx, dir, drop); err != nil {
			return err
		}
	}
	if err := i.adopt(ctx, dir); err != nil {
		return err
	}
	config := i.ConfigDir
	if _, debian := i.Debian(); !debian && path.Clean(config) == path.Clean(i.DataDir) {
		config = dir
	}
	main := path.Join(config, "postgresql.conf")
	text, present, err := i.read(ctx, main)
	if err != nil {
		return err
	}
	if !present {
		return fmt.Errorf("%s: %s does not exist", i.Host.Name(), main)
	}
	if err := remote.WriteFile(ctx, i.Host, path.Join(config, planner.SettingsFile), []byte(settings.Content), remote.FileOptions{Mode: 0o600, As: i.Owner}); err != nil {
		return err
	}
	return i.replace(ctx, main, withInclude(text))
}

// ownConfig gives a copy the configuration files that it lacks because its source
// keeps them elsewhere: PostgreSQL's samples, with rules as initdb would write them.
func (i *Instance) ownConfig(ctx context.Context, dir string) error {
	if _, debian := i.Debian(); !debian && path.Clean(i.ConfigDir) != path.Clean(i.DataDir) {
		return nil // declared: it must be there
	}
	const text = `share=$("$2/pg_config" --sharedir 2>/dev/null) || share=
for d in "$share" "/usr/share/postgresql/$3" "$2/../share" "$2/../share/postgresql"; do
	[ -n "$d" ] && [ -f "$d/postgresql.conf.sample" ] && break
done
cd "$1" || exit
if [ ! -f postgresql.conf ]; then
	[ -f "$d/postgresql.conf.sample" ] || { echo "postgresql.conf.sample was not found below $2/.." >&2; exit 1; }
	cat -- "$d/postgresql.conf.sample" >postgresql.conf || exit
fi
if [ ! -f pg_hba.conf ]; then
	cat >pg_hba.conf <<'END' || exit
# TYPE  DATABASE        USER            ADDRESS                 METHOD
local   all             all                                     peer
host    all             all             127.0.0.1/32            scram-sha-256
host    all             all             ::1/128                 scram-sha-256
local   replication     all                                     peer
host    replication     all             127.0.0.1/32            scram-sha-256
host    replication     all             ::1/128                 scram-sha-256
END
fi
[ -f pg_ident.conf ] || : >pg_ident.conf
`
	_, err := i.script(ctx, "configuration files for the copy", text, dir, i.BinDir, strconv.Itoa(i.Major))
	return err
}

// failedCopy clears away what we made, so that a full disk does not stay full. What
// cannot be cleared is named. After a lost connection nothing is touched.
func (i *Instance) failedCopy(ctx context.Context, target string, inPlace bool, cause error) error {
	var lost *remote.LostError
	if errors.As(cause, &lost) || ctx.Err() != nil { // the next build clears it away
		return cause
	}
	if err := i.removeLeftover(ctx, inPlace); err != nil {
		return fmt.Errorf("%w; what was copied so far is still at %s: %w", cause, target, err)
	}
	return cause
}
