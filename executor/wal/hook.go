package wal

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"
)

const usage = `usage: pg_manage-hook --config FILE COMMAND

What PostgreSQL's archive_command and restore_command run. The commands:

  archive [--log] PATH          store a file of pg_wal (%p) at the targets; 0 only when it is durable there
  restore [options] NAME PATH   fetch the file NAME (%f) to PATH (%p); 1 only when no target has it
      --retries N               tries after an unclear answer (3; in standby mode 0)
      --retry-interval TIME     between them (10s)
      --wait TIME               wait so long for a file that isn't there yet, 0 without end (don't wait)
      --poll-interval TIME      between looks while waiting (60s)
      --log                     write restore-DAY.log into log_dir
  init [--target NAME] [--system-identifier ID] [--segment-size BYTES]
                                set up the archive of this cluster, in an empty place
  status [--local]              say as JSON what waits, whether the archives are there and whose they are
  check [--target NAME]         see whether the targets can be used; makes an SSH key when there is none
  cleanup NAME                  remove the segments before NAME (%r) that no base backup in the archive needs
  audit [--target NAME] [--quick]
                                check the archives: what is there, missing, damaged, foreign; a JSON report a line
  push-missing [--target NAME] [--dry-run]
                                store what pg_wal still has and the archives lack; a JSON report a line
  version                       print the version of the form of hook.json

Times are 90s, 5m or bare seconds. archive and restore ask the archiver in the background
of the instance, and start it; these commands of pg_manage hook do the work alone.
`

// Hook runs one subcommand with the arguments after the program's name, and gives the
// exit status. It looks after signals itself.
func Hook(args []string, stdout, stderr io.Writer) (status int) {
	h := &hook{stdout: stdout, stderr: stderr, dir: "."}
	defer h.recovered(&status)
	signal.Ignore(syscall.SIGPIPE, syscall.SIGHUP) // a reader of our messages that went away is no reason to die
	return h.run(args)
}

// Engine archives and restores. Instance is one; a process that serves many calls has
// another, which works ahead.
type Engine interface {
	Archive(ctx context.Context, dir, path string) error
	Restore(ctx context.Context, dir, name, path string, o RestoreOptions) error
}

// Call is one archive or restore of a program whose working directory is Dir, done by
// a process that serves many.
type Call struct {
	Args           []string // without --config
	Dir            string
	Stdout, Stderr io.Writer
}

// Serve does one call with an engine, and gives its exit status. The caller looks
// after signals; the end of ctx ends the call.
func (c *Config) Serve(ctx context.Context, l Call, e Engine) (status int) {
	h := &hook{stdout: l.Stdout, stderr: l.Stderr, config: c, dir: l.Dir, engine: e}
	defer h.recovered(&status)
	args, o, err := h.parse(append([]string{"--config", c.file}, l.Args...))
	if err != nil {
		return h.misuse(err)
	}
	defer h.openLog(o)()
	return h.serve(ctx, e, args, o)
}

type hook struct {
	stdout, stderr io.Writer
	dir            string // PostgreSQL runs its commands in the data directory
	command        string
	config         *Config
	engine         Engine
	log            io.WriteCloser
}

func (h *hook) recovered(status *int) {
	if r := recover(); r != nil {
		h.say("this is an error in pg_manage: %v\n%s", r, debug.Stack())
		*status = h.failure()
	}
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

// openLog begins the log of the weekday where one is asked for.
func (h *hook) openLog(o options) (done func()) {
	if !o.log || h.config.LogDir == "" {
		return func() {}
	}
	l, err := openLog(h.config.LogDir, h.command, time.Now())
	if err != nil {
		h.say("no log is written: %v", err)
		return func() {}
	}
	h.log = l
	return func() { l.Close() } //nolint:errcheck // a log
}

// failure is the status for "it did not work, and nothing more is known".
func (h *hook) failure() int {
	if h.command != "restore" {
		return ExitFailed
	}
	data := h.dir
	if h.config != nil {
		data = h.config.DataDir
	}
	if standby(data) {
		return ExitRetry
	}
	return ExitUnclear
}

// arguments says how many a command takes.
func arguments(command string) (n int, ok bool) {
	n, ok = map[string]int{"archive": 1, "restore": 2, "init": 0, "status": 0, "check": 0, "cleanup": 1, "audit": 0, "push-missing": 0, "version": 0}[command]
	return n, ok
}

var (
	errNoCommand = errors.New("no command is given")
	errCommand   = errors.New("unknown command")
)

// parse reads the command line: the command goes to h, its arguments are given.
func (h *hook) parse(args []string) (rest []string, o options, err error) {
	global := flag.NewFlagSet("pg_manage-hook", flag.ContinueOnError)
	global.SetOutput(io.Discard)
	global.StringVar(&o.config, "config", "", "")
	// Which command it is decides what a wrong call ends with, so find that out first.
	for i, a := range args {
		if a == "restore" && (i == 0 || args[i-1] != "--config" && args[i-1] != "-config") {
			h.command = "restore"
			break
		}
	}
	if err := global.Parse(args); err != nil {
		return nil, o, err
	}
	if global.NArg() == 0 {
		return nil, o, errNoCommand
	}
	h.command = global.Arg(0)
	want, ok := arguments(h.command)
	if !ok {
		return nil, o, fmt.Errorf("%w: %q", errCommand, h.command)
	}
	fs := flag.NewFlagSet(h.command, flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.StringVar(&o.config, "config", o.config, "")
	o.retries, o.retryInterval, o.poll = -1, seconds(10*time.Second), seconds(time.Minute)
	o.register(fs, h.command)
	if err := fs.Parse(global.Args()[1:]); err != nil {
		return nil, o, err
	}
	if fs.NArg() != want {
		return nil, o, fmt.Errorf("%s takes %d arguments, not %d", h.command, want, fs.NArg())
	}
	if o.config == "" && h.command != "version" {
		return nil, o, errors.New("--config is missing")
	}
	return fs.Args(), o, nil
}

func (h *hook) run(args []string) int {
	rest, o, err := h.parse(args)
	if err != nil {
		return h.misuse(err)
	}
	if h.command == "version" {
		fmt.Fprintf(h.stdout, "pg_manage-hook, configuration version %d\n", ConfigVersion) //nolint:errcheck // as good as it gets
		return ExitOK
	}
	if h.command == "restore" && !standby(h.dir) {
		debug.SetTraceback("crash") // a crash of the runtime ends with a signal, which stops PostgreSQL; status 2 would not
	}
	in, err := h.load(o)
	if err != nil {
		if h.command == "status" {
			return h.printStatus(StatusReport{Version: statusVersion, Targets: []TargetStatus{}, Error: err.Error()})
		}
		return h.end(err)
	}
	defer in.Close() //nolint:errcheck // all that matters has been checked by then
	defer h.openLog(o)()
	return h.guarded(func(ctx context.Context) int {
		if h.command == "archive" || h.command == "restore" {
			return h.serve(ctx, in, rest, o)
		}
		return h.do(ctx, in, rest, o)
	})
}

func (h *hook) misuse(err error) int {
	h.say("%v", err)
	io.WriteString(h.stderr, usage) //nolint:errcheck // as above
	switch {
	case h.command == "restore":
		return h.failure()
	case h.command == "" || errors.Is(err, errCommand): // it may be a restore that somebody misspelled
		return ExitUnknown
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
		var status int
		func() {
			defer h.recovered(&status)
			status = f(ctx)
		}()
		done <- status
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
