// Package secretfile reads files of secrets: private keys and passwords that nobody
// else may read.
package secretfile

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
)

// limit bounds what is read, in bytes.
const limit = 1 << 20

// Read gives the content of a file that only its owner may use: its mode is 0600 or
// less. A file of root's may be readable by a group too, which is how root gives it to
// a service. Errors name neither the file's content nor, save those of the system, its name.
func Read(file string) ([]byte, error) {
	// Without O_NONBLOCK a named pipe would block.
	f, err := os.OpenFile(file, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // it is only read
	if err := check(f); err != nil {
		return nil, err
	}
	text, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, err
	}
	if len(text) > limit {
		return nil, errors.New("it is too long for a file of secrets")
	}
	return text, nil
}

func check(f *os.File) error {
	st, err := f.Stat()
	if err != nil {
		return err
	}
	if !st.Mode().IsRegular() {
		return errors.New("it is not a regular file")
	}
	open := st.Mode().Perm() & 0o077
	if sys, ok := st.Sys().(*syscall.Stat_t); ok && sys.Uid == 0 {
		open &^= 0o040
	}
	if open != 0 {
		return fmt.Errorf("others may use the secrets in it (its mode is %04o): chmod 600 it", st.Mode().Perm())
	}
	return nil
}
