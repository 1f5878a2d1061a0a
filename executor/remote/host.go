package remote

import (
	"context"
	"io"
	"io/fs"
	"net"
	"time"
)

// Host is one machine on which commands are run: over SSH, or this one.
// A Host is safe for use by several goroutines at once.
type Host interface {
	// Name is how messages call the host, such as "node1 (postgres@10.0.0.1:22)".
	Name() string
	// LoginUser is the operating system user that the connection runs as.
	LoginUser() string
	// Run runs one command and waits for it. A command that ends with a nonzero
	// status or by a signal gives a *CommandError; a connection that breaks while
	// the command runs gives a *LostError, which means that nobody knows how it ended.
	Run(ctx context.Context, cmd Command) (Result, error)
	// Dial connects to a socket on the host: network "unix" or "tcp".
	Dial(ctx context.Context, network, address string) (net.Conn, error)
	// Close ends the connection and what still runs on it.
	Close() error
}

// Command is a command for a host. Every word of Args reaches the program as it
// stands here, whatever characters it holds. No word may carry a secret: process
// lists show them. Secrets go through Stdin.
type Command struct {
	Args   []string
	As     string    // operating system user to run as, through runuser or `sudo -n`; "" is the login user
	Dir    string    // working directory; "" is "/" for As, the login directory otherwise
	Stdin  io.Reader // nil is an empty input
	Stdout io.Writer // nil collects into Result.Stdout
	Stderr io.Writer // nil collects the last 64 KiB into Result.Stderr; what is given here is collected as well
	// Leash ends the command (SIGTERM to it, SIGKILL ten seconds later) when the connection is
	// lost or ctx ends, so that nothing keeps running unwatched. It takes the place of Stdin.
	Leash bool
}

// Result is what a finished command left.
type Result struct {
	Stdout   []byte
	Stderr   []byte
	Duration time.Duration
}

// FileOptions say how a file is to stand on the host.
type FileOptions struct {
	Mode  fs.FileMode // permission bits
	As    string      // who writes and owns the file; "" is the login user
	MkDir bool        // create missing parent directories, mode 0700
}
