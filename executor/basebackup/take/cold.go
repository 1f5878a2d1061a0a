package take

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// running gives the process that uses a data directory, or 0. A postmaster.pid that a
// crash has left, whose process is gone or is another program's, is none.
func running(dataDir string) (int, error) {
	text, err := os.ReadFile(filepath.Join(dataDir, "postmaster.pid"))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	line, _, _ := strings.Cut(string(text), "\n")
	pid, err := strconv.Atoi(strings.TrimPrefix(strings.TrimSpace(line), "-")) // with a minus: a single-user server
	if err != nil || pid <= 0 {
		return 0, fmt.Errorf("%s/postmaster.pid names no process: %q", dataDir, line)
	}
	if err := syscall.Kill(pid, 0); errors.Is(err, syscall.ESRCH) {
		return 0, nil
	}
	here, err := os.Stat(dataDir)
	if err != nil {
		return 0, err
	}
	works, err := os.Stat(fmt.Sprintf("/proc/%d/cwd", pid)) // its path may be another one, by a mount
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ESRCH):
		return 0, nil // it has ended meanwhile
	case err != nil || os.SameFile(works, here):
		return pid, nil // what cannot be looked at may be a server
	}
	return 0, nil
}

// still is a stopped instance, as it was when the copy began.
type still struct {
	dataDir string
	control []byte // content of pg_control, which every start of the server changes
}

// errRunning is an instance that runs, of which no cold backup can be taken.
var errRunning = errors.New("the server is running, so that no cold backup can be taken: stop it, or take an ordinary one")

// stoppedAt looks at an instance that must be stopped.
func stoppedAt(dataDir string) (*still, error) {
	pid, err := running(dataDir)
	if err != nil {
		return nil, err
	}
	if pid != 0 {
		return nil, fmt.Errorf("%s: %w (process %d)", dataDir, errRunning, pid)
	}
	control, err := os.ReadFile(filepath.Join(dataDir, "global", "pg_control"))
	if err != nil {
		return nil, err
	}
	return &still{dataDir, control}, nil
}

// check says whether the instance has been stopped all the time.
func (s *still) check() error {
	now, err := stoppedAt(s.dataDir)
	if err == nil && !bytes.Equal(now.control, s.control) {
		err = fmt.Errorf("%s: the server was started during the cold backup, which is of no use then", s.dataDir)
	}
	return err
}

// coldFacts are those of a stopped instance.
func (o *Options) coldFacts(ctx context.Context) (*facts, error) {
	control, err := o.Server.control(ctx)
	if err != nil {
		return nil, err
	}
	if err := o.sameSystem(control); err != nil {
		return nil, err
	}
	text, err := os.ReadFile(filepath.Join(o.Server.DataDir, "PG_VERSION"))
	if err != nil {
		return nil, err
	}
	version := strings.TrimSpace(string(text))
	if o.Server.Major != 0 && version != strconv.Itoa(o.Server.Major) {
		return nil, fmt.Errorf("%s is of PostgreSQL %s, and not %d as declared", o.Server.DataDir, version, o.Server.Major)
	}
	if !control.Shut() {
		return nil, fmt.Errorf("%s was not shut down properly (it is %q): start the server and stop it again, or take an ordinary backup", o.Server.DataDir, control.State)
	}
	return &facts{control: control, version: version, relationSegment: control.RelationSegment, standby: control.State == "shut down in recovery"}, nil
}
