package wal

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"syscall"
	"time"

	"pg_manage/executor/repo"
	"pg_manage/executor/repo/storage"
	"pg_manage/schema/postgres"
)

const usage = `usage: pg_manage-hook --config FILE COMMAND

What PostgreSQL's archive_command and restore_command run. The commands:

  archive [--log] PATH          store a file of pg_wal (%p) at the target; 0 only when it is durable there
  restore [options] NAME PATH   fetch the file NAME (%f) to PATH (%p); 1 only when the archive doesn't have it
      --retries N               tries after an unclear answer (3; in standby mode 0)
      --retry-interval TIME     between them (10s)
      --wait TIME               wait so long for a file that isn't there yet, 0 without end (don't wait)
      --poll-interval TIME      between looks while waiting (60s)
      --log                     write restore-DAY.log into log_dir
  init [--system-identifier ID] [--segment-size BYTES]
                                set up the archive of this cluster, in an empty place
  status                        say as JSON whether the archive is there and whose it is
  check                         see whether the target can be used; makes an SSH key when there is none
  cleanup NAME                  remove the segments before NAME (%r) that no base backup in the archive needs
  version                       print the version of the form of hook.json

Times are 90s, 5m or bare seconds.
`

// Hook runs one subcommand with the arguments after the program's name, and gives the
// exit status. It looks after signals itself.
func Hook(args []string, stdout, stderr io.Writer) (status int) {
	h := &hook{stdout: stdout, stderr: stderr}
	defer func() {
		if r := recover(); r != nil {
			h.say("this is an error in pg_manage: %v\n%s", r, debug.Stack())
			status = h.failure()
		}
	}()
	signal.Ignore(syscall.SIGPIPE, syscall.SIGHUP) // a reader of our messages that went away is no reason to die
	return h.run(args)
}

type hook struct {
	stdout, stderr io.Writer
	command        string
	config         *Config
	log            io.WriteCloser
}

func (h *hook) say(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	fmt.Fprintf(h.stderr, "pg_manage-hook: %s\n", text) //nolint:errcheck // there is nobody else to tell
	h.note("%s", text)
}

// note writes to the log alone.
func (h *hook) note(format string, args ...any) {
	if h.log != nil {
		fmt.Fprintf(h.log, "%s %s\n", time.Now().Format("2006-01-02 15:04:05 MST"), fmt.Sprintf(format, args...)) //nolint:errcheck // a log
	}
}

// failure is the status for "it did not work, and nothing more is known".
func (h *hook) failure() int {
	if h.command != "restore" {
		return ExitFailed
	}
	data := "." // PostgreSQL runs its commands in the data directory
	if h.config != nil {
		data = h.config.DataDir
	}
	if standby(data) {
		return ExitRetry
	}
	return ExitUnclear
}

func (h *hook) run(args []string) int {
	global := flag.NewFlagSet("pg_manage-hook", flag.ContinueOnError)
	global.SetOutput(io.Discard)
	config := global.String("config", "", "")
	// Which command it is decides what a wrong call ends with, so find that out first.
	for i, a := range args {
		if a == "restore" && (i == 0 || args[i-1] != "--config" && args[i-1] != "-config") {
			h.command = "restore"
			break
		}
	}
	if err := global.Parse(args); err != nil {
		return h.misuse(err)
	}
	if global.NArg() == 0 {
		return h.misuse(errors.New("no command is given"))
	}
	h.command = global.Arg(0)
	rest := global.Args()[1:]
	switch h.command {
	case "archive", "restore", "init", "status", "check", "cleanup":
	case "version":
		fmt.Fprintf(h.stdout, "pg_manage-hook, configuration version %d\n", ConfigVersion) //nolint:errcheck // as good as it gets
		return ExitOK
	default:
		return h.misuse(fmt.Errorf("unknown command %q", h.command))
	}
	if h.command == "restore" && !standby(".") {
		debug.SetTraceback("crash") // a crash of the runtime ends with a signal, which stops PostgreSQL; status 2 would not
	}
	fs := flag.NewFlagSet(h.command, flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.StringVar(config, "config", *config, "")
	o := options{retries: -1, retryInterval: seconds(10 * time.Second), poll: seconds(time.Minute)}
	o.register(fs, h.command)
	if err := fs.Parse(rest); err != nil {
		return h.misuse(err)
	}
	if want := map[string]int{"archive": 1, "restore": 2, "cleanup": 1}[h.command]; fs.NArg() != want {
		return h.misuse(fmt.Errorf("%s takes %d arguments, not %d", h.command, want, fs.NArg()))
	}
	if *config == "" {
		return h.misuse(errors.New("--config is missing"))
	}
	c, err := LoadConfig(*config)
	if err != nil {
		if h.command == "status" {
			return h.printStatus(StatusReport{State: StateUnreachable, Error: err.Error()})
		}
		return h.end(err)
	}
	h.config = c
	if c.Target.Scheme == "ssh" && c.Target.IdentityFile == "" {
		if _, err := os.Stat(c.keyFile()); err == nil {
			c.Target.IdentityFile = c.keyFile()
		}
	}
	if o.log && c.LogDir != "" {
		l, err := openLog(c.LogDir, h.command, time.Now())
		if err != nil {
			h.say("no log is written: %v", err)
		} else {
			h.log = l
			defer l.Close() //nolint:errcheck // a log
		}
	}
	return h.guarded(func(ctx context.Context) int { return h.do(ctx, fs.Args(), o) })
}

func (h *hook) misuse(err error) int {
	h.say("%v", err)
	io.WriteString(h.stderr, usage) //nolint:errcheck // as above
	if h.command == "restore" {
		return h.failure()
	}
	return ExitUsage
}

// guarded runs f and ends early on a signal: f gets a moment to tidy up, and a file
// system that hangs doesn't keep us.
func (h *hook) guarded(f func(ctx context.Context) int) int {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT)
	defer signal.Stop(signals)
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	done := make(chan int, 1)
	go func() {
		defer func() {
			if r := recover(); r != nil {
				h.say("this is an error in pg_manage: %v\n%s", r, debug.Stack())
				done <- h.failure()
			}
		}()
		done <- f(ctx)
	}()
	select {
	case status := <-done:
		return status
	case sig := <-signals:
		cancel(fmt.Errorf("ended by %v", sig))
		select {
		case status := <-done:
			if status == ExitOK {
				return ExitOK
			}
		case <-time.After(5 * time.Second):
		}
		if n, ok := sig.(syscall.Signal); ok && h.command == "restore" {
			return 128 + int(n)
		}
		return ExitFailed
	}
}

// Time limits of one try: a good time for what must happen, and what the slowest
// line that one can work with needs for a segment.
const (
	tryBase    = 2 * time.Minute
	statusTime = 20 * time.Second
	slowest    = 1 << 20 // bytes a second
)

func (h *hook) do(ctx context.Context, args []string, o options) int {
	c := h.config
	open := func(ctx context.Context) (storage.Driver, error) {
		d, err := repo.Open(ctx, c.Target)
		if err != nil {
			return nil, c.explainLogin(err, h.command == "init" || h.command == "check")
		}
		return d, nil
	}
	if h.command == "restore" {
		return h.restore(ctx, open, args, o)
	}
	limit := tryBase
	switch h.command {
	case "archive":
		if st, err := os.Stat(args[0]); err == nil {
			limit += time.Duration(st.Size()/slowest) * time.Second
		}
	case "status", "check":
		limit = statusTime
	case "cleanup":
		limit = time.Hour
	}
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("the target took longer than %s", limit))
	defer cancel()
	began := time.Now()
	if h.command == "archive" {
		// Before the target is asked: what is wrong here needs no connection.
		if err := precheck(c, args[0]); err != nil {
			return h.end(err)
		}
	}
	d, err := open(ctx)
	if err != nil {
		if h.command == "status" {
			return h.printStatus(StatusReport{State: StateUnreachable, Error: err.Error()})
		}
		return h.end(err)
	}
	defer d.Close() //nolint:errcheck // all that matters has been checked by then
	switch h.command {
	case "archive":
		if err = Archive(ctx, d, c, args[0]); err == nil {
			h.note("archived %s in %s", filepath.Base(args[0]), time.Since(began).Round(time.Millisecond))
		}
	case "init":
		err = h.init(ctx, d, o)
	case "status":
		return h.printStatus(Status(ctx, d, c))
	case "check":
		if s := Status(ctx, d, c); s.State == StateUnreachable {
			err = errors.New(s.Error)
		}
	case "cleanup":
		var n int
		if n, err = Cleanup(ctx, d, c, args[0]); n > 0 {
			h.say("%d segments before %s removed from the archive", n, args[0])
		}
	}
	return h.end(err)
}

func precheck(c *Config, path string) error {
	if _, err := postgres.ClassifyWALName(filepath.Base(path)); err != nil {
		return refuse("%w", err)
	}
	return c.checkInstance(path)
}

func (h *hook) init(ctx context.Context, d storage.Driver, o options) (err error) {
	if o.system == 0 {
		if o.system, err = h.config.systemIdentifier(); err != nil {
			return err
		}
	}
	if o.segmentSize == 0 {
		if o.segmentSize, err = segmentSize(h.config.DataDir); err != nil {
			return err
		}
	}
	return Init(ctx, d, h.config, o.system, o.segmentSize, time.Now())
}

// segmentSize is that of the segments in pg_wal.
func segmentSize(dataDir string) (int64, error) {
	entries, err := os.ReadDir(filepath.Join(dataDir, "pg_wal"))
	if err != nil {
		return 0, err
	}
	for _, e := range entries {
		f, err := postgres.ClassifyWALName(e.Name())
		if err != nil || f.Kind != postgres.WALSegment {
			continue
		}
		if st, err := e.Info(); err == nil && postgres.ValidSegmentSize(st.Size()) {
			return st.Size(), nil
		}
	}
	return 0, fmt.Errorf("no WAL segment lies in pg_wal of %s, so its size is not known: give --segment-size", dataDir)
}

func (h *hook) restore(ctx context.Context, open Opener, args []string, o options) int {
	retries := o.retries
	if retries < 0 {
		retries = 3
		if standby(h.config.DataDir) {
			retries = 0 // PostgreSQL asks again by itself, and may stream meanwhile
		}
	}
	ro := RestoreOptions{
		Retries: retries, RetryInterval: time.Duration(o.retryInterval), PollInterval: time.Duration(o.poll),
		TryTimeout: tryBase + postgres.MaxSegmentSize/slowest*time.Second,
	}
	ro.Again = func(err error, pause time.Duration) {
		if errors.Is(err, ErrAbsent) {
			h.note("%v: waiting %s", err, pause)
			return
		}
		h.say("%v: trying again in %s", err, pause)
	}
	if o.wait != nil {
		ro.Wait, ro.WaitFor = true, time.Duration(*o.wait)
	}
	began := time.Now()
	err := Restore(ctx, open, h.config, args[0], args[1], ro)
	switch {
	case errors.Is(err, ErrAbsent):
		h.note("%v", err)
		return ExitAbsent
	case err == nil:
		h.note("restored %s in %s", args[0], time.Since(began).Round(time.Millisecond))
	}
	return h.end(err)
}

func (h *hook) end(err error) int {
	if err == nil {
		return ExitOK
	}
	h.say("%v", err)
	var refused *RefusedError
	if h.command != "restore" && errors.As(err, &refused) {
		return ExitRefused
	}
	return h.failure()
}

func (h *hook) printStatus(r StatusReport) int {
	text, err := json.Marshal(r)
	if err == nil {
		_, err = fmt.Fprintf(h.stdout, "%s\n", text)
	}
	if err != nil {
		h.say("%v", err)
		return ExitFailed
	}
	return ExitOK
}
