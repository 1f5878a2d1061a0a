package remote

import (
	"context"
	"errors"
	"sync"
)

// explainPrivilege turns a failure of sudo itself into a *PrivilegeError. sudo has no
// exit status of its own and its messages are translated, so sudo is asked to run
// nothing at all as that user: when that fails as well, it was sudo's refusal. The
// answer is kept when it is yes.
func explainPrivilege(ctx context.Context, h Host, cmd Command, err error, becameOK *sync.Map) error {
	if cmd.As == "" || cmd.As == h.LoginUser() || h.LoginUser() == "root" {
		return err
	}
	var failed *CommandError
	if !errors.As(err, &failed) {
		if err == nil {
			becameOK.Store(cmd.As, true)
		}
		return err
	}
	if failed.Status != 1 && failed.Status != 127 {
		return err
	}
	if _, ok := becameOK.Load(cmd.As); ok {
		return err
	}
	_, probe := h.Run(ctx, Command{Args: append(become(h.LoginUser(), cmd.As), "/bin/sh", "-c", ":")})
	if errors.As(probe, &failed) {
		return &PrivilegeError{Host: h.Name(), From: h.LoginUser(), To: cmd.As, Stderr: failed.Stderr}
	}
	if probe == nil {
		becameOK.Store(cmd.As, true)
	}
	return err
}
