// Package instance drives one PostgreSQL instance on a host: it makes its data
// directory, writes its configuration, starts and stops it, and talks to it.
package instance

import (
	"context"
	"fmt"
	"path"
	"strings"

	"pg_manage/executor/remote"
	"pg_manage/planner"
)

// Instance is one PostgreSQL instance on a host. All is done as its owner, except
// what only root can do.
type Instance struct {
	planner.Instance
	Host remote.Host
}

// New is the instance that a step works on.
func New(h remote.Host, i planner.Instance) *Instance { return &Instance{i, h} }

// DB opens a session with the running server.
func (i *Instance) DB(ctx context.Context) (DB, error) {
	return Open(ctx, i.Host, Target{
		SocketDir: i.SocketDir, Port: i.Port, Owner: i.Owner, BinDir: i.BinDir,
		LoginIsOwner: i.Host.LoginUser() == i.Owner,
	})
}

// Debian gives the name that postgresql-common knows the instance by; ok says that
// it governs the instance's configuration.
func (i *Instance) Debian() (name string, ok bool) {
	dir := path.Clean(i.ConfigDir)
	if path.Dir(dir) != fmt.Sprintf("/etc/postgresql/%d", i.Major) || dir == path.Clean(i.DataDir) {
		return "", false
	}
	return path.Base(dir), true
}

// building is where a data directory is made before it moves into its place.
func (i *Instance) building(inPlace bool) string {
	if inPlace {
		return strings.TrimRight(i.DataDir, "/") + "/.pg_manage-building/data"
	}
	return i.beside()
}

// beside is building for a data directory that a rename can put into its place.
func (i *Instance) beside() string {
	return strings.TrimRight(i.DataDir, "/") + ".pg_manage-building"
}

// program is the path of one of PostgreSQL's programs.
func (i *Instance) program(name string) string { return path.Join(i.BinDir, name) }

// run runs a command as the owner, with messages in English.
func (i *Instance) run(ctx context.Context, args ...string) (remote.Result, error) {
	return i.Host.Run(ctx, remote.Command{Args: append([]string{"env", "LC_ALL=C"}, args...), As: i.Owner})
}

// script runs a /bin/sh script as the owner, with args as $1, $2 and so on.
func (i *Instance) script(ctx context.Context, title, text string, args ...string) (remote.Result, error) {
	return i.scriptAs(ctx, i.Owner, title, text, args...)
}

func (i *Instance) scriptAs(ctx context.Context, as, title, text string, args ...string) (remote.Result, error) {
	words := append([]string{"sh", "-c", "# " + title + "\nLC_ALL=C; export LC_ALL; umask 077\n" + text, "sh"}, args...)
	return i.Host.Run(ctx, remote.Command{Args: words, As: as})
}

// shellQuote makes a word safe for a POSIX shell, for the one option of pg_ctl that goes through one.
func shellQuote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
