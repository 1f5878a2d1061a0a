// Package recovery writes the settings of a recovery into a restored data directory and
// takes them away once it is over, and does drills: it restores a backup to a scratch
// directory, starts PostgreSQL on it and checks it.
package recovery

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"pg_manage/schema/postgres"
)

// Target says where recovery ends; at most one of Time, LSN, XID, Name and Immediate is set;
// none: at the end of the WAL (PostgreSQL manual, "Recovery Target").
type Target struct {
	Time      time.Time
	LSN       postgres.LSN
	XID       string
	Name      string
	Immediate bool
	Exclusive bool   // stop before it, of Time, LSN and XID
	Timeline  string // latest (also when empty), current (the backup's) or a number
}

// Settings are those of a recovery.
type Settings struct {
	Target         Target
	RestoreCommand string // "": the WAL is in the backup, and there is no archive to go on with
	Action         string // at the target: promote (also when empty), pause or shutdown
	Standby        bool   // go on as a standby: no target, and standby.signal
	ConfigDir      string // of postgresql.conf; "": it lies in the data directory
	Fenced         bool   // it stops at a tablespace that is newer than the backup; see Fence
}

// names are the settings that steer recovery, in all versions from 13 on.
func names() []string {
	return []string{
		"restore_command", "archive_cleanup_command", "recovery_end_command",
		"recovery_target", "recovery_target_action", "recovery_target_inclusive", "recovery_target_lsn", "recovery_target_name",
		"recovery_target_time", "recovery_target_timeline", "recovery_target_xid", "recovery_min_apply_delay",
		"primary_conninfo", "primary_slot_name", "promote_trigger_file",
	}
}

// Names of files in a data directory.
const (
	autoConf       = "postgresql.auto.conf"
	recoverySignal = "recovery.signal"
	standbySignal  = "standby.signal"
	tempEnd        = ".pg_manage-tmp"
)

// ErrRecovering is a data directory whose recovery has not ended.
var ErrRecovering = errors.New("its recovery has not ended")

// Write lets PostgreSQL, which must not run, recover as the settings say when it is started
// next. postgresql.auto.conf overrides all other files, so what the source had there of a
// recovery is taken out; all else in it stays. It may be called again.
func Write(dataDir string, s Settings) error {
	lines, err := s.lines()
	if err != nil {
		return err
	}
	fail := func(err error) error {
		return fmt.Errorf("write the recovery settings of %s: %w", dataDir, err)
	}
	if err := stopped(dataDir); err != nil {
		return fail(err)
	}
	if err := others(dataDir, s.ConfigDir, lines); err != nil {
		return fail(err)
	}
	if _, err := changed("", lines); err != nil { // it cannot be written at all
		return fail(err)
	}
	if err := Hold(dataDir); err != nil { // until all of the settings count
		return err
	}
	if s.Fenced {
		if err := Fence(dataDir); err != nil {
			return fail(err)
		}
	}
	if err := edit(dataDir, lines); err != nil {
		return fail(err)
	}
	switch {
	case s.Standby:
		return nil
	case s.RestoreCommand == "": // PostgreSQL replays the WAL that it has, up to its end
		err = remove(dataDir, standbySignal)
	default:
		if err = os.Rename(filepath.Join(dataDir, standbySignal), filepath.Join(dataDir, recoverySignal)); err == nil {
			err = syncDir(dataDir)
		}
	}
	if err != nil {
		return fail(err)
	}
	return nil
}

// holding is restore_command of a directory that waits for the settings of its recovery. On a
// status above 125 PostgreSQL gives up, and does not start (xlogarchive.c, RestoreArchivedFile).
const holding = "echo 'pg_manage: a restore of this directory was cut off before it was told where recovery ends; restore again, it goes on from there' >&2; exit 200"

// Hold keeps PostgreSQL, which must not run, from starting on a directory whose files are
// whole, until Write says where its recovery ends: else it would open a cold backup as it is,
// and a hot one at the end of the WAL that comes with it, and archive from there. All versions
// look for WAL with restore_command first of all. Should something override that setting, the
// server is a standby, which neither opens nor archives. It may be called again.
func Hold(dataDir string) error {
	fail := func(err error) error {
		return fmt.Errorf("keep PostgreSQL from starting on %s: %w", dataDir, err)
	}
	if err := stopped(dataDir); err != nil {
		return fail(err)
	}
	if err := edit(dataDir, []setting{{"restore_command", holding}, {"primary_conninfo", ""}}); err != nil {
		return fail(err)
	}
	// In this order there is one of them at any time.
	if err := replace(dataDir, standbySignal, nil); err != nil {
		return fail(err)
	}
	if err := remove(dataDir, recoverySignal); err != nil {
		return fail(err)
	}
	return nil
}

// Clean takes the settings of a recovery out of postgresql.auto.conf. While the recovery has
// not ended, and the directory could not be started any more, that is refused with
// ErrRecovering. It may be called again, also after either call was cut off.
func Clean(dataDir string) error {
	fail := func(err error) error {
		return fmt.Errorf("take the recovery settings out of %s: %w", dataDir, err)
	}
	for _, name := range []string{recoverySignal, standbySignal} {
		switch _, err := os.Lstat(filepath.Join(dataDir, name)); {
		case err == nil:
			return fail(fmt.Errorf("%s is there: %w", name, ErrRecovering))
		case !errors.Is(err, fs.ErrNotExist):
			return fail(err)
		}
	}
	if err := edit(dataDir, nil); err != nil {
		return fail(err)
	}
	if err := Unfence(dataDir); err != nil {
		return fail(err)
	}
	return nil
}

// setting is a line of configuration.
type setting struct{ name, value string }

// lines says what is to be written.
func (s Settings) lines() ([]setting, error) {
	t := &s.Target
	var out []setting
	add := func(name, value string) { out = append(out, setting{name, value}) }
	if !t.Time.IsZero() {
		at := t.Time.UTC()
		if at.Year() < 2000 || at.Year() > 9999 {
			return nil, fmt.Errorf("recovery cannot end at %s: want a year from 2000 to 9999", at.Format(time.RFC3339))
		}
		// With its zone, so that the server's own means nothing.
		add("recovery_target_time", at.Format("2006-01-02 15:04:05.000000")+"+00")
	}
	if t.LSN != 0 {
		add("recovery_target_lsn", t.LSN.String())
	}
	if t.XID != "" {
		n, err := postgres.ParseXID(t.XID)
		if err != nil {
			return nil, fmt.Errorf("recovery cannot end at transaction %q: that is no number of one", t.XID)
		}
		add("recovery_target_xid", strconv.FormatUint(n, 10)) // not as given: PostgreSQL reads a 0 in front as octal
	}
	if t.Name != "" {
		if len(t.Name) > 63 {
			return nil, fmt.Errorf("recovery cannot end at %q: names of restore points have at most 63 bytes", t.Name)
		}
		add("recovery_target_name", t.Name)
	}
	if t.Immediate {
		add("recovery_target", "immediate")
	}
	switch {
	case len(out) > 1:
		return nil, fmt.Errorf("recovery cannot end at %s and at %s", out[0].name, out[1].name)
	case len(out) == 1 && s.Standby:
		return nil, fmt.Errorf("a standby goes on without end, and cannot have %s", out[0].name)
	case len(out) == 1 && s.RestoreCommand == "":
		return nil, fmt.Errorf("%s needs WAL of an archive, and there is none", out[0].name)
	case t.Exclusive && t.Time.IsZero() && t.LSN == 0 && t.XID == "":
		return nil, errors.New("exclusive goes with a time, an LSN or a transaction")
	}
	timeline, err := s.timeline()
	if err != nil {
		return nil, err
	}
	if s.RestoreCommand == "" && !s.Standby {
		return nil, nil
	}
	if !s.Standby {
		add("recovery_target_inclusive", map[bool]string{true: "off", false: "on"}[t.Exclusive])
		// The source may have these in files that we leave alone: to clean up its archive, to
		// lag behind its primary, to take over from it.
		add("archive_cleanup_command", "")
		add("recovery_end_command", "")
		add("recovery_min_apply_delay", "0")
	}
	add("recovery_target_timeline", timeline)
	if !s.Standby {
		action := s.Action
		if action == "" {
			action = "promote"
		}
		if !slices.Contains([]string{"promote", "pause", "shutdown"}, action) {
			return nil, fmt.Errorf("%q is no recovery_target_action", action)
		}
		add("recovery_target_action", action)
	}
	if s.RestoreCommand != "" {
		add("restore_command", s.RestoreCommand)
	}
	return out, nil
}

func (s Settings) timeline() (string, error) {
	switch t := s.Target.Timeline; t {
	case "":
		return "latest", nil
	case "latest", "current":
		return t, nil
	default:
		n, err := strconv.ParseUint(t, 10, 32)
		if err != nil || n == 0 {
			return "", fmt.Errorf("%q is no timeline: want latest, current or a number from 1 up", t)
		}
		return strconv.FormatUint(n, 10), nil
	}
}

// stopped refuses a data directory on which a server runs.
func stopped(dataDir string) error {
	text, err := os.ReadFile(filepath.Join(dataDir, "postmaster.pid"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	first, _, _ := strings.Cut(string(text), "\n")
	pid, err := strconv.Atoi(strings.TrimSpace(first))
	if err != nil || pid <= 0 {
		return errors.New("postmaster.pid is there, and says nothing: make sure that no server runs, and remove it")
	}
	if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("a server runs there (process %d): stop it first", pid)
	}
	return nil
}
