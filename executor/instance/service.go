package instance

import (
	"context"
	"fmt"
	"path"
	"strconv"
	"strings"
	"time"

	"pg_manage/executor/remote"
	"pg_manage/planner"
)

// StartTimeout is how long a server may take to start, or to stop.
const StartTimeout = 300 * time.Second

// Start starts the server by way of what governs it, and waits until it answers or
// its manager gives up. The error carries the end of the server's log.
func (i *Instance) Start(ctx context.Context) error {
	if err := i.refuseForeignConfig(ctx); err != nil {
		return err
	}
	return i.service(ctx, "start")
}

// Restart stops the server (fast mode) and starts it again.
func (i *Instance) Restart(ctx context.Context) error { return i.service(ctx, "restart") }

// Stop stops the server in fast mode.
func (i *Instance) Stop(ctx context.Context) error { return i.service(ctx, "stop") }

func (i *Instance) service(ctx context.Context, verb string) error {
	cmd := i.serviceCommand(verb)
	_, err := i.Host.Run(ctx, cmd)
	if err != nil {
		return i.withLog(ctx, fmt.Errorf("%s the server: %w", verb, err))
	}
	return nil
}

// serviceCommand redirects what the server would inherit: a server that kept the
// pipes of the connection would keep its session open.
func (i *Instance) serviceCommand(verb string) remote.Command {
	timeout := strconv.Itoa(int(StartTimeout.Seconds()))
	name, debian := i.Debian()
	switch {
	case i.Manager == planner.ManagerSystemd:
		return remote.Command{Args: []string{"systemctl", verb, i.Unit}, As: "root"}
	case i.Manager == planner.ManagerPgCtlcluster && debian:
		args := []string{"env", "LC_ALL=C", "pg_ctlcluster", strconv.Itoa(i.Major), name, verb}
		if verb != "start" {
			args = append(args, "--mode", "fast")
		}
		return remote.Command{Args: append(args, "--", "-w", "-t", timeout), As: i.Owner}
	}
	args := []string{"env", "LC_ALL=C", i.program("pg_ctl"), "-D", i.DataDir, "-w", "-t", timeout, "-s"}
	if verb != "start" {
		args = append(args, "-m", "fast")
	}
	if verb != "stop" {
		args = append(args, "-l", i.logFile())
		if path.Clean(i.ConfigDir) != path.Clean(i.DataDir) && i.ConfigDir != "" {
			args = append(args, "-o", "-c config_file="+shellQuote(path.Join(i.ConfigDir, "postgresql.conf")))
		}
	}
	return remote.Command{Args: append(args, verb), As: i.Owner}
}

// Reload makes the server read its configuration files again.
func (i *Instance) Reload(ctx context.Context) error {
	db, err := i.DB(ctx)
	if err != nil {
		return err
	}
	defer db.Close()
	out, err := db.JSON(ctx, "SELECT pg_catalog.pg_reload_conf()")
	if err != nil {
		return err
	}
	if s := strings.TrimSpace(string(out)); s != "t" {
		return fmt.Errorf("%s: pg_reload_conf() gave %q: the server could not be signalled", i.Host.Name(), s)
	}
	return nil
}
