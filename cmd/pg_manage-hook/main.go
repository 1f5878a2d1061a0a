// Command pg_manage-hook is what PostgreSQL runs for each file of WAL, as
// archive_command and restore_command. It is as small as can be, since it starts once
// a file: it asks the archiver in the background, and all else is done by the program
// pg_manage, which must lie beside this one. Not even package os is linked, which alone
// would make each call a tenth slower; the kernel gives what it would.
package main

import (
	"path"
	"strings"
	"syscall"

	"pg_manage/executor/wal/call"
)

func main() {
	args, err := arguments()
	if err != nil {
		fail("/proc/self/cmdline", err)
		syscall.Exit(exitCannotRun)
	}
	exe, err := executable()
	if err != nil {
		fail("/proc/self/exe", err)
		syscall.Exit(exitCannotRun)
	}
	syscall.Exit(call.Run(args, path.Join(path.Dir(exe), "pg_manage"), syscall.Environ()))
}

// exitCannotRun is a shell's status for a command that is not there: PostgreSQL takes it
// for no answer.
const exitCannotRun = 127

// arguments are those of the program, without its name; see proc_pid_cmdline(5).
func arguments() ([]string, error) {
	fd, err := syscall.Open("/proc/self/cmdline", syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer syscall.Close(fd) //nolint:errcheck // read only
	b := make([]byte, 4096)
	have := 0
	for {
		n, err := syscall.Read(fd, b[have:])
		if err == syscall.EINTR { //nolint:errorlint // a bare number
			continue
		}
		if err != nil {
			return nil, err
		}
		if n == 0 {
			break
		}
		if have += n; have == len(b) {
			b = append(b, make([]byte, len(b))...)
		}
	}
	text, whole := strings.CutSuffix(string(b[:have]), "\x00")
	if !whole {
		return nil, syscall.EINVAL
	}
	return strings.Split(text, "\x00")[1:], nil
}

// executable is the path of this program. After an upgrade the running file has no name
// any more; the new one has.
func executable() (string, error) {
	b := make([]byte, syscall.PathMax)
	n, err := syscall.Readlink("/proc/self/exe", b)
	if err != nil {
		return "", err
	}
	return strings.TrimSuffix(string(b[:n]), " (deleted)"), nil
}

func fail(file string, err error) {
	syscall.Write(2, []byte("pg_manage-hook: "+file+" is needed and cannot be read: "+err.Error()+"\n")) //nolint:errcheck // there is nobody else to tell
}
