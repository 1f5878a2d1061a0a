package executor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"

	"pg_manage/executor/event"
	"pg_manage/executor/remote"
	"pg_manage/planner"
)

// NodeCall is a run of `pg_manage node` on a node. Package node has the requests and
// results of the commands.
type NodeCall struct {
	Command string
	Request any
	Result  any        // pointer; filled also when the command fails, if it gives a result
	Sink    event.Sink // gets the events; nil drops them
}

// maxRequest bounds a request, in bytes: it is one word of a command line, for which
// Linux has 128 KiB.
const maxRequest = 96 << 10

// CallNode runs our program on the node that these facts are of, as the owner of the
// instance, on a leash: it ends when ctx ends or the connection is lost. What it says on
// standard error, events left out, is the error of a run that fails. The request is an
// argument, as the leash has the input.
func CallNode(ctx context.Context, h remote.Host, paths planner.Paths, owner string, call NodeCall) error {
	request, err := json.Marshal(call.Request)
	if err != nil {
		return fmt.Errorf("%s: pg_manage node %s: %w", h.Name(), call.Command, err)
	}
	if len(request) > maxRequest {
		return fmt.Errorf("%s: pg_manage node %s: the request has %d bytes, and may have %d", h.Name(), call.Command, len(request), maxRequest)
	}
	var stderr io.Writer
	if call.Sink != nil {
		stderr = &event.LineReader{Sink: call.Sink}
	}
	res, err := h.Run(ctx, remote.Command{
		Args: []string{path.Join(paths.Tool, "pg_manage"), "node", call.Command, "--request", string(request)},
		As:   owner, Stderr: stderr, Leash: true,
	})
	var failed *remote.CommandError
	if errors.As(err, &failed) {
		if text := said(failed.Stderr); text != "" {
			err = &hookError{fmt.Sprintf("%s: %s", h.Name(), text), err}
		}
	}
	if call.Result == nil || err != nil && len(res.Stdout) == 0 {
		return err
	}
	if jerr := json.Unmarshal(res.Stdout, call.Result); jerr != nil && err == nil {
		return fmt.Errorf("%s: `pg_manage node %s` gave an answer that this version does not understand: run `pg_manage apply`, which installs this version: %w", h.Name(), call.Command, jerr)
	}
	return err
}
