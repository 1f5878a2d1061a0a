package patient

import (
	"errors"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// startTime is how long an archiver may take until it listens.
const startTime = 5 * time.Second

var errNotStarted = errors.New("the archiver did not start")

// start starts an archiver in the background and waits until it listens, or another
// one does. It gets nothing of ours: not the standard streams, which PostgreSQL's log
// collector would wait for, no other open file, not the working directory, and no part
// in the process group that PostgreSQL signals.
func start(full []string, config string) error {
	if adopts() {
		return errNotStarted
	}
	ready := make([]int, 2)
	if err := syscall.Pipe2(ready, syscall.O_CLOEXEC); err != nil {
		return err
	}
	r := os.NewFile(uintptr(ready[0]), "ready")
	defer r.Close() //nolint:errcheck // a pipe's reading end
	null, err := syscall.Open("/dev/null", syscall.O_RDWR|syscall.O_CLOEXEC, 0)
	if err != nil {
		syscall.Close(ready[1]) //nolint:errcheck // a pipe
		return err
	}
	keepToOurselves()
	argv := append(append([]string{}, full...), "--config", config, "archiver")
	_, err = syscall.ForkExec(full[0], argv, &syscall.ProcAttr{
		Dir:   "/",
		Env:   environment(),
		Files: []uintptr{uintptr(null), uintptr(ready[1]), uintptr(null)},
		Sys:   &syscall.SysProcAttr{Setsid: true},
	})
	syscall.Close(ready[1]) //nolint:errcheck // a pipe
	syscall.Close(null)     //nolint:errcheck // /dev/null
	if err != nil {
		return err
	}
	return awaitReady(r)
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

// awaitReady reads the archiver's word: it writes a line when it listens, and closes
// the pipe without one when it cannot.
func awaitReady(r *os.File) error {
	got := make(chan error, 1)
	go func() {
		b := make([]byte, 16)
		n, _ := r.Read(b)
		if strings.HasPrefix(string(b[:n]), "ready") {
			got <- nil
			return
		}
		got <- errNotStarted
	}()
	select {
	case err := <-got:
		return err
	case <-time.After(startTime):
		return errNotStarted
	}
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
