package executor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"pg_manage/executor/event"
	"pg_manage/executor/remote"
	"pg_manage/planner"
)

// HookCall is a run of `pg_manage hook` on a node.
type HookCall struct {
	Args   []string  // behind --config FILE
	Config string    // "" is the hook.json of the node
	Stderr io.Writer // gets what it says while it runs; may be nil
	// Leash ends the run when ctx ends or the connection is lost.
	Leash bool
}

// CallHook runs our program on the node that these facts are of, as the owner of the
// instance. What it says on standard error, progress events left out, is the error of a
// run that fails; the error of the run itself can be found behind it.
func CallHook(ctx context.Context, h remote.Host, paths planner.Paths, owner string, call HookCall) (remote.Result, error) {
	config := call.Config
	if config == "" {
		config = path.Join(paths.State, "hook.json")
	}
	res, err := h.Run(ctx, remote.Command{
		Args: append([]string{path.Join(paths.Tool, "pg_manage"), "hook", "--config", config}, call.Args...),
		As:   owner, Stderr: call.Stderr, Leash: call.Leash,
	})
	var failed *remote.CommandError
	if errors.As(err, &failed) {
		if text := said(failed.Stderr); text != "" {
			return res, &hookError{fmt.Sprintf("%s: %s", h.Name(), text), err}
		}
	}
	return res, err
}

// said is what a program of ours said to a person: all but the lines that are events.
func said(stderr string) string {
	var kept []string
	for line := range strings.Lines(stderr) {
		if _, ok := event.Parse(line); !ok {
			kept = append(kept, line)
		}
	}
	return strings.TrimSpace(strings.Join(kept, ""))
}

// hookError is what our program on the node said, for a person to act on.
type hookError struct {
	text string
	err  error
}

func (e *hookError) Error() string { return e.text }
func (e *hookError) Unwrap() error { return e.err }
