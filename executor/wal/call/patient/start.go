package patient

import (
	"errors"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

var errNotStarted = errors.New("the archiver did not start")

// start starts an archiver in the background, and does not wait until it listens: the
// call at hand is done sooner without it. The archiver gets nothing of ours: not the
// standard streams, which PostgreSQL's log collector would wait for, no other open
// file, not the working directory, and no part in the process group that PostgreSQL
// signals.
func start(full []string, config string) error {
	if adopts() {
		return errNotStarted
	}
	null, err := syscall.Open("/dev/null", syscall.O_RDWR|syscall.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer syscall.Close(null) //nolint:errcheck // /dev/null
	keepToOurselves()
	argv := append(append([]string{}, full...), "--config", config, "archiver")
	_, err = syscall.ForkExec(full[0], argv, &syscall.ProcAttr{
		Dir:   "/",
		Env:   environment(),
		Files: []uintptr{uintptr(null), uintptr(null), uintptr(null)},
		Sys:   &syscall.SysProcAttr{Setsid: true},
	})
	return err
}

// environment is ours without what a restore alone needs: see package call.
func environment() []string {
	return slices.DeleteFunc(os.Environ(), func(e string) bool { return e == "GOTRACEBACK=crash" })
}

// adopts says that PostgreSQL is the first process of its container, and so becomes the
// parent of whatever we leave behind. It takes a child that it doesn't know, and that a
// signal ends, for a server process that crashed, and restarts all sessions
// (postmaster.c, CleanupBackend). We run in its data directory.
func adopts() bool {
	fd, err := syscall.Open("postmaster.pid", syscall.O_RDONLY|syscall.O_CLOEXEC|syscall.O_NONBLOCK, 0)
	if err != nil {
		return false // not called by a server
	}
	defer syscall.Close(fd) //nolint:errcheck // read only
	b := make([]byte, 16)
	n, err := syscall.Read(fd, b)
	return err == nil && strings.HasPrefix(string(b[:max(n, 0)]), "1\n")
}

// keepToOurselves closes, for programs that we start, what PostgreSQL left open for us.
func keepToOurselves() {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return
	}
	for _, e := range entries {
		if fd, err := strconv.Atoi(e.Name()); err == nil && fd > 2 {
			syscall.CloseOnExec(fd)
		}
	}
}
