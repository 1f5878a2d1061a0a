package patient

import (
	"errors"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"pg_manage/executor/wal/call"
)

// Options say what stands behind the call.
type Options struct {
	Args []string // of the program, without its name
	// Full is the command that starts the archiver: its arguments are appended. Full[0]
	// is the path of the program.
	Full []string
	// Alone does the work in this process, without the archiver.
	Alone func() int
}

// Run makes one call and gives the exit status. Commands other than archive and
// restore, and calls that are not understood, are done alone at once.
func Run(o Options) int {
	config, command := call.Parse(o.Args)
	waited := os.Getenv(call.AloneVariable) == "1"
	os.Unsetenv(call.AloneVariable) //nolint:errcheck // it was for this process
	if waited || config == "" || command != "archive" && command != "restore" {
		return o.Alone()
	}
	signal.Ignore(syscall.SIGPIPE, syscall.SIGHUP) // a reader of our messages that went away is no reason to die
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT)
	done := make(chan int, 1)
	go func() {
		status := alone
		defer func() {
			if recover() != nil { // a crash would end with 2, which is no answer to a restore
				status = alone
			}
			done <- status
		}()
		if answer, ok := ask(o, config, command); ok {
			status = answer
		}
	}()
	select {
	case status := <-done:
		if status != alone {
			return status
		}
		signal.Stop(signals)
		return o.Alone()
	case sig := <-signals:
		// The archiver sees that we went away. A file that it has stored by then is offered again.
		if n, ok := sig.(syscall.Signal); ok && command == "restore" {
			return 128 + int(n)
		}
		return call.Failure("archive")
	}
}

// alone stands for a status where nobody gave one.
const alone = -1

// ask has the archiver do it, and starts one where none runs. Not ok: nobody did.
func ask(o Options, config, command string) (status int, ok bool) {
	config, err := filepath.Abs(config)
	if err != nil {
		return 0, false
	}
	// Twice: an archiver that ends, for want of work or for a new configuration, may be met in between.
	for range 2 {
		status, err := call.Ask(o.Args, config, command)
		if errors.Is(err, syscall.ENOENT) || errors.Is(err, syscall.ECONNREFUSED) {
			// The next call finds it. This one is done by then.
			_ = start(o.Full, config)
			return 0, false
		}
		if err == nil {
			return status, true
		}
		if !errors.Is(err, call.ErrNoAnswer) {
			return 0, false // it hangs, or is not ours, and would be again
		}
	}
	return 0, false
}
