package take

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// lockFile lies in the state directory. It stays there: the lock is what counts.
const lockFile = "backup.lock"

// lock makes this the one backup of the instance, until unlock is called or the process ends.
func (o *Options) lock() (unlock func(), err error) {
	name := filepath.Join(o.StateDir, lockFile)
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the instance for the backup: %w", err)
	}
	for {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if err != nil {
		holder, _ := io.ReadAll(io.LimitReader(f, 32))
		f.Close() //nolint:errcheck // only read
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("another backup of %s is running (process %s, which holds %s): wait for it, or end it", o.Server.DataDir, strings.TrimSpace(string(holder)), name)
		}
		return nil, fmt.Errorf("lock %s: %w", name, err)
	}
	err = f.Truncate(0)
	if err == nil {
		_, err = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
	if err != nil {
		f.Close() //nolint:errcheck // the first error tells
		return nil, fmt.Errorf("lock %s: %w", name, err)
	}
	return func() { f.Close() }, nil //nolint:errcheck // closing ends the lock
}
