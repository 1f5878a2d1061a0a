package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/lmittmann/tint"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"pg_manage/cmd/internal/view"
	"pg_manage/schema"
)

// app is one run of the program: where it reads and writes, and the flags that
// every command has.
type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	now            func() time.Time
	program        string // as messages call it
	person         bool   // somebody can be asked

	dir      string
	clusters []string
	vars     variables
	noColor  bool
	debug    bool
	quiet    bool
	json     bool

	abort context.Context // ends at the second Ctrl-C

	mu          sync.Mutex
	lines       *view.Lines // the JSON output, once it has begun
	onInterrupt func()      // what the first Ctrl-C says
}

// programName is how a person calls this program again.
func programName(arg0 string) string {
	switch {
	case strings.Contains(arg0, "/go-build"):
		return "go run ./cmd/pg_manage"
	case strings.Contains(arg0, "/"):
		return quote(arg0)
	default:
		return "pg_manage"
	}
}

// leaveWithin is how long the second Ctrl-C waits for connections to be closed in order.
const leaveWithin = 2 * time.Second

// run is the program: it gives the exit status.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	if filepath.Base(args[0]) == hookName {
		return hookProgram(args[1:], stdout, stderr)
	}
	if len(args) > 1 && args[1] == "hook" { // it looks after signals itself
		return hookAlone(args[2:], stdout, stderr)
	}
	a := &app{stdin: stdin, stdout: stdout, stderr: stderr, now: time.Now, program: programName(args[0]), person: interactive(stdin, stderr)}
	ctx, leave, stop := a.interrupts()
	defer stop()
	done := make(chan int, 1)
	go func() { done <- a.execute(ctx, args[1:]) }()
	select {
	case code := <-done:
		return code
	case <-leave:
	}
	// At once, but for a moment in which locks on the nodes are given back.
	select {
	case <-done:
	case <-time.After(leaveWithin):
	}
	return exitInterrupted
}

func (a *app) execute(ctx context.Context, args []string) int {
	root := a.root()
	root.SetArgs(args)
	root.SetIn(a.stdin)
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	cmd, err := root.ExecuteContextC(ctx)
	code, err := exitCode(ctx, err)
	if err != nil {
		a.tell(cmd, err)
	}
	if a.lines != nil && a.lines.Err() != nil && code == exitOK {
		return exitError
	}
	return code
}

// tell reports the error that ended a command.
func (a *app) tell(cmd *cobra.Command, err error) {
	var ds schema.Diagnostics
	found := errors.As(err, &ds)
	if a.json {
		if found {
			view.DiagnosticsJSON(a.out(cmd), ds)
		} else {
			view.ProblemJSON(a.out(cmd), err)
		}
		return
	}
	var hint *hintedError
	switch {
	case found:
		view.Diagnostics(a.stderr, a.style(a.stderr), ds)
	case errors.As(err, &hint):
		view.Problem(a.stderr, a.style(a.stderr), hint.summary, hint.detail)
	default:
		view.Problem(a.stderr, a.style(a.stderr), err.Error(), "")
	}
}

// hintedError is an error with what to do about it.
type hintedError struct{ summary, detail string }

func (e *hintedError) Error() string {
	if e.detail == "" {
		return e.summary
	}
	return e.summary + ": " + e.detail
}

// out is the JSON output of a command; it begins with the first call.
func (a *app) out(cmd *cobra.Command) *view.Lines {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.lines == nil {
		a.lines = view.NewLines(a.stdout, cmd.Name(), toolVersion())
	}
	return a.lines
}

// style is how text may look on w.
func (a *app) style(w io.Writer) view.Style {
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return view.Style{}
	}
	st := view.Style{Color: !a.noColor && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"}
	if width, height, err := term.GetSize(int(f.Fd())); err == nil {
		st.Width, st.Height = width, height
	}
	return st
}

// interactive says whether a person can be asked: questions go to out.
func interactive(in io.Reader, out io.Writer) bool {
	for _, end := range []any{in, out} {
		f, ok := end.(*os.File)
		if !ok || !term.IsTerminal(int(f.Fd())) {
			return false
		}
	}
	return true
}

// logger writes to standard error: everything with --debug, else only warnings.
func (a *app) logger() *slog.Logger {
	level := slog.LevelWarn
	if a.debug {
		level = slog.LevelDebug
	}
	return slog.New(tint.NewTextHandler(a.stderr, &tint.Options{Level: level, NoColor: !a.style(a.stderr).Color, TimeFormat: time.TimeOnly}))
}
