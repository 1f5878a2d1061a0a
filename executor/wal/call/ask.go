package call

import (
	"errors"
	"io"
	"path"
	"strconv"
	"syscall"
)

// Ask has the archiver that listens for a configuration do an archive or a restore, and
// gives its exit status. It tries once and starts none. The error is ENOENT or
// ECONNREFUSED where none listens, ErrHung or ErrNoAnswer where one did not do it;
// whatever the error, nothing has been acknowledged and no file has got its name.
func Ask(args []string, config, command string) (status int, err error) {
	config, dir, err := absolute(config)
	if err != nil {
		return 0, err
	}
	c, err := dial(config)
	if err != nil {
		return 0, err
	}
	defer c.close()
	args, settle := request(without(args), command)
	q := Request{Version: Version, Dir: dir, Config: config, Args: args}
	if status, err = c.exchange(q, stdout, stderr); err != nil {
		return 0, err
	}
	return settle(status), nil
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
	temp := path.Join(path.Dir(dest), TempPrefix+strconv.Itoa(syscall.Getpid())+"."+moment())
	ask = append(append([]string{}, args[:len(args)-1]...), temp)
	return ask, func(status int) int {
		if status != 0 {
			return status
		}
		err := error(syscall.EEXIST)
		if !Taken(dest) {
			err = syscall.Rename(temp, dest)
		}
		if err != nil {
			complain("rename " + temp + " " + dest + ": " + err.Error())
			syscall.Unlink(temp) //nolint:errcheck // PostgreSQL does it when it starts
			return Failure(command)
		}
		return 0
	}
}

// Taken says that a file lies where a restored one is to appear whose place it must not
// take: somebody tries the command out by hand, and a running server may be writing it.
// PostgreSQL asks for RECOVERYXLOG and RECOVERYHISTORY, which it removes before
// (xlogarchive.c, RestoreArchivedFile), and pg_rewind for what is not in pg_wal.
func Taken(dest string) bool {
	if base := path.Base(dest); base == "RECOVERYXLOG" || base == "RECOVERYHISTORY" {
		return false
	}
	var st syscall.Stat_t
	return !errors.Is(syscall.Lstat(dest, &st), syscall.ENOENT)
}

// moment tells two calls of one process apart.
func moment() string {
	var tv syscall.Timeval
	syscall.Gettimeofday(&tv) //nolint:errcheck // it has no reason to fail
	return strconv.FormatInt(tv.Nano(), 36)
}

// Standard streams.
const (
	stdout = stream(1)
	stderr = stream(2)
)

// stream is an open file of the process. Its writes don't end the program when nobody
// reads any more, as those of package os do.
type stream int

var _ io.Writer = stdout

func (s stream) Write(b []byte) (int, error) {
	done := 0
	for done < len(b) {
		n, err := syscall.Write(int(s), b[done:])
		if err == syscall.EINTR { //nolint:errorlint // a bare number
			continue
		}
		if err != nil {
			return done, err
		}
		done += n
	}
	return done, nil
}

func complain(text string) {
	stderr.Write([]byte("pg_manage-hook: " + text + "\n")) //nolint:errcheck // as good as it gets
}
