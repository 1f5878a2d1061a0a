package main

import (
	"context"
	"errors"
	"fmt"
)

// Exit codes of every command, also of `node` on the nodes. `check` and `archive check` alone give 1 and 2 a meaning of their own.
const (
	exitOK          = 0
	exitError       = 1   // also: plan with errors, apply with failed steps, status of an unhealthy cluster, verify of a damaged backup, fmt --check with work to do
	exitChanges     = 2   // plan --detailed-exitcode: there are steps
	exitDataLoss    = 3   // plan --detailed-exitcode: there are steps that lose data
	exitInterrupted = 130 // by Ctrl-C or SIGTERM, as shells count

	exitCheckTrue    = 0 // check: the node is what was asked for; archive check: the archives are whole
	exitCheckFalse   = 1 // check: it is not, or no server runs there; archive check: they are not
	exitCheckUnknown = 2 // nobody could tell
)

// exitHelp is the table of exit codes for people.
const exitHelp = `Exit codes:
    0  success
    1  error; status: something is wrong; check: it is not so
    2  plan --detailed-exitcode: there are steps; check: could not tell
    3  plan --detailed-exitcode: there are steps that lose data
  130  interrupted`

// exitStatus ends a command with a status of its own. Err, when there is one, is
// still to be told; without one everything has been said.
type exitStatus struct {
	code int
	err  error
}

func (e *exitStatus) Error() string {
	if e.err != nil {
		return e.err.Error()
	}
	return fmt.Sprintf("exit status %d", e.code)
}

func (e *exitStatus) Unwrap() error { return e.err }

// errInterrupted is the cause with which the context ends at Ctrl-C.
var errInterrupted = errors.New("interrupted")

// exitCode is the status that a command's error means, and what is still to be told.
func exitCode(ctx context.Context, err error) (int, error) {
	var status *exitStatus
	switch {
	case err == nil:
		return exitOK, nil
	case errors.As(err, &status):
		return status.code, status.err
	case errors.Is(err, errInterrupted), errors.Is(context.Cause(ctx), errInterrupted):
		return exitInterrupted, errInterrupted
	default:
		return exitError, err
	}
}
