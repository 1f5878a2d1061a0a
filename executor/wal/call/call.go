package call

import (
	"errors"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

var errEOF = io.EOF

// Exit statuses of a call that could not be made at all; see package wal for all of them.
const (
	exitFailed  = 1
	exitRetry   = 2
	exitUnclear = 200
)

// silence is how long the archiver may say nothing before it is taken for hung: it
// says something every second.
const silence = 15 * time.Second

// Options say what stands behind the call.
type Options struct {
	Args []string // of the program, without its name
	// Full is the command that does the work without the archiver, and that starts the
	// archiver: its arguments are appended. Full[0] is the path of the program.
	Full []string
	// Alone does the work in this process; nil where Full must be executed for it.
	Alone func() int
}

// Run makes one call and gives the exit status. Commands other than archive and
// restore, and calls that are not understood, go to the full program at once.
func Run(o Options) int {
	config, command := parse(o.Args)
	if config == "" || command != "archive" && command != "restore" {
		return o.alone(command)
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
		return o.alone(command)
	case sig := <-signals:
		// The archiver sees that we went away. A file that it has stored by then is offered again.
		if n, ok := sig.(syscall.Signal); ok && command == "restore" {
			return 128 + int(n)
		}
		return exitFailed
	}
}

// alone stands for a status where nobody gave one.
const alone = -1

// ask has the archiver do it. Not ok: nobody did.
func ask(o Options, config, command string) (status int, ok bool) {
	dir, err := os.Getwd()
	if err != nil {
		return 0, false
	}
	if config, err = filepath.Abs(config); err != nil {
		return 0, false
	}
	// Twice: an archiver that ends, for want of work or for a new configuration, may be met in between.
	for range 2 {
		c, err := dial(config)
		if errors.Is(err, syscall.ENOENT) || errors.Is(err, syscall.ECONNREFUSED) {
			if err = start(o.Full, config); err == nil {
				c, err = dial(config)
			}
		}
		if err != nil {
			return 0, false
		}
		args, settle := request(without(o.Args), command)
		began := time.Now()
		status, ok = c.exchange(Request{Version: Version, Dir: dir, Config: config, Args: args}, os.Stdout, os.Stderr)
		c.close()
		if ok {
			return settle(status), true
		}
		if time.Since(began) >= silence {
			break // it hangs, and would again
		}
	}
	return 0, false
}

// TempPrefix begins the names of restored files that their caller still has to name.
// PostgreSQL removes such files when it starts (xlog.c, RemoveTempXlogFiles).
const TempPrefix = "xlogtemp.pg_manage."

// request gives what the archiver is asked for and what is to be done with its status.
// The file of a restore gets its name here: an archiver that was taken for dead may
// come back to life when PostgreSQL waits for another file under that name.
func request(args []string, command string) (ask []string, settle func(status int) int) {
	if command != "restore" || len(args) < 3 {
		return args, func(status int) int { return status }
	}
	dest := args[len(args)-1]
	temp := filepath.Join(filepath.Dir(dest), TempPrefix+strconv.Itoa(os.Getpid())+"."+strconv.FormatInt(time.Now().UnixNano(), 36))
	ask = append(append([]string{}, args[:len(args)-1]...), temp)
	return ask, func(status int) int {
		if status != 0 {
			return status
		}
		if err := os.Rename(temp, dest); err != nil {
			os.Stderr.WriteString("pg_manage-hook: " + err.Error() + "\n") //nolint:errcheck // as good as it gets
			os.Remove(temp)                                                //nolint:errcheck // PostgreSQL does it when it starts
			return Failure(command)
		}
		return 0
	}
}

// Query asks an archiver that runs, and starts none. Not ok: there is none that answers.
func Query(config string, args ...string) (out []byte, ok bool) {
	config, err := filepath.Abs(config)
	if err != nil {
		return nil, false
	}
	c, err := dial(config)
	if err != nil {
		return nil, false
	}
	defer c.close()
	var b strings.Builder
	status, ok := c.exchange(Request{Version: Version, Dir: "/", Config: config, Args: args}, &b, io.Discard)
	return []byte(b.String()), ok && status == 0
}

// exchange sends the request and passes on the answer.
func (c *conn) exchange(q Request, stdout, stderr io.Writer) (status int, ok bool) {
	if WriteFrame(c, FrameRequest, q.Encode()) != nil {
		return 0, false
	}
	for {
		kind, payload, err := ReadFrame(c)
		if err != nil {
			return 0, false
		}
		switch kind {
		case FrameWorking:
		case FrameOut:
			stdout.Write(payload) //nolint:errcheck // as good as it gets
		case FrameSay:
			stderr.Write(payload) //nolint:errcheck // as good as it gets
		case FrameExit:
			if len(payload) != 1 {
				return 0, false
			}
			return int(payload[0]), true
		default:
			return 0, false
		}
	}
}

// alone does the work without the archiver.
func (o Options) alone(command string) int {
	if o.Alone != nil {
		return o.Alone()
	}
	argv := append(append([]string{}, o.Full...), o.Args...)
	env := os.Environ()
	if command == "restore" && Failure(command) == exitUnclear {
		// A crash of the runtime ends with a signal, which stops PostgreSQL; status 2 would not. The first of a name counts.
		env = append([]string{"GOTRACEBACK=crash"}, env...)
	}
	err := syscall.Exec(o.Full[0], argv, env)
	os.Stderr.WriteString("pg_manage-hook: " + o.Full[0] + " must lie beside this program and cannot be run: " + err.Error() + "\n") //nolint:errcheck // as above
	return Failure(command)
}

// Failure is the exit status of a call about which nothing more is known. An unclear
// restore ends above 125 outside standby mode, where PostgreSQL would take any lower
// status for the archive's end.
func Failure(command string) int {
	if command != "restore" {
		return exitFailed
	}
	if _, err := os.Stat("standby.signal"); err == nil {
		return exitRetry
	}
	return exitUnclear
}

// parse finds the configuration and the command among the arguments, as far as the
// short way needs them; the far side reads them again in full.
func parse(args []string) (config, command string) {
	for i := 0; i < len(args); i++ {
		value, isConfig := configFlag(args, &i)
		switch {
		case isConfig:
			config = value
		case command == "" && !strings.HasPrefix(args[i], "-"):
			command = args[i]
		case command == "":
			return "", guess(args) // an unknown flag: the full program tells
		}
	}
	return config, command
}

// guess says whether a call that is not understood is a restore, which decides what it ends with.
func guess(args []string) string {
	for _, a := range args {
		if a == "restore" {
			return a
		}
	}
	return ""
}

// Command says whether the arguments call for a command, and gives them without its name.
func Command(args []string, name string) (rest []string, ok bool) {
	for i := 0; i < len(args); i++ {
		from := i
		if _, flag := configFlag(args, &i); !flag && !ok {
			if ok = args[i] == name; !ok {
				return nil, false
			}
			continue
		}
		rest = append(rest, args[from:i+1]...)
	}
	return rest, ok
}

// configFlag reads --config at args[*i], and moves *i to its last word.
func configFlag(args []string, i *int) (value string, ok bool) {
	name := strings.TrimPrefix(args[*i], "-")
	name = strings.TrimPrefix(name, "-")
	if name == args[*i] {
		return "", false
	}
	if value, ok := strings.CutPrefix(name, "config="); ok {
		return value, true
	}
	if name != "config" || *i+1 >= len(args) {
		return "", false
	}
	*i++
	return args[*i], true
}

// without leaves --config out, which has a field of its own.
func without(args []string) (rest []string) {
	for i := 0; i < len(args); i++ {
		if _, ok := configFlag(args, &i); !ok {
			rest = append(rest, args[i])
		}
	}
	return rest
}
