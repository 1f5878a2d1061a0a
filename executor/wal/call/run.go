package call

import (
	"errors"
	"strings"
	"syscall"
)

// Exit statuses of a call that could not be made at all; see package wal for all of them.
const (
	exitFailed  = 1
	exitRetry   = 2
	exitUnknown = 127
	exitUnclear = 200
)

// AloneVariable names the variable of the environment that tells the full program, with
// "1", that its caller has waited for the archiver already.
const AloneVariable = "PG_MANAGE_HOOK_ALONE"

// Run makes one call with the arguments of the program, without its name, and gives the
// exit status. What the archiver that runs does not do, for whatever reason, is left to
// the full program, which takes the place of this one.
func Run(args []string, full string, env []string) int {
	signals()
	config, command := Parse(args)
	hung := false
	if config != "" && (command == "archive" || command == "restore") {
		status, err := try(args, config, command)
		if err == nil {
			return status
		}
		hung = errors.Is(err, ErrHung)
	}
	return replace(args, full, environment(env, command, hung), command)
}

var errCrash = errors.New("an error in pg_manage")

// try is Ask; a crash would end with 2, which is no answer to a restore.
func try(args []string, config, command string) (status int, err error) {
	defer func() {
		if recover() != nil {
			err = errCrash
		}
	}()
	return Ask(args, config, command)
}

// replace has the full program take this one's place, under the hook's name. It gives
// the exit status when that cannot be.
func replace(args []string, full string, env []string, command string) int {
	err := syscall.Exec(full, append([]string{"pg_manage-hook"}, args...), env)
	complain(full + " must lie beside this program and cannot be run: " + err.Error())
	return Failure(command)
}

// environment is that of the full program. The first of a name counts there.
func environment(env []string, command string, hung bool) (with []string) {
	if command == "restore" && Failure(command) == exitUnclear {
		// A crash of the runtime ends with a signal, which stops PostgreSQL; status 2 would not.
		with = append(with, "GOTRACEBACK=crash")
	}
	if hung { // waiting for it again would be in vain
		with = append(with, AloneVariable+"=1")
	}
	for _, e := range env {
		if !strings.HasPrefix(e, AloneVariable+"=") {
			with = append(with, e)
		}
	}
	return with
}

// Failure is the exit status of a call about which nothing more is known. An unclear
// restore ends above 125 outside standby mode, where PostgreSQL would take any lower
// status for the archive's end. So does a command that is not known: it may be a
// restore that somebody misspelled.
func Failure(command string) int {
	switch command {
	case "archive":
		return exitFailed
	case "restore":
		var st syscall.Stat_t
		if syscall.Stat("standby.signal", &st) == nil {
			return exitRetry
		}
		return exitUnclear
	}
	return exitUnknown
}
