package recovery

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Names in a scratch directory.
const (
	markerName = "pg_manage.drill" // says whose it is; made first, removed last
	dataName   = "data"
	spacesDir  = "spaces"
	configDir  = "config"
	logName    = "log"
)

// marker is the content of the marker file.
type marker struct {
	Version   int    `json:"version"`
	Cluster   string `json:"cluster"`
	SocketDir string `json:"socket_dir"` // of the server; outside where the path is too long for a socket
}

// scratch is the directory of a drill. The lock on its marker is held while it lasts.
type scratch struct {
	dir    string
	marker marker
	lock   *os.File
}

func (s *scratch) data() string { return filepath.Join(s.dir, dataName) }

// maxSocket is how long the path of a unix socket may be (unix(7)).
const maxSocket = 107

// enter makes the scratch directory, after clearing away what a drill that was killed left.
func (o *Options) enter(ctx context.Context) (*scratch, error) {
	base := o.Scratch
	if base == "" {
		base = filepath.Dir(filepath.Clean(o.DataDir))
	}
	if !filepath.IsAbs(base) || o.Cluster == "" || strings.ContainsAny(o.Cluster, "/\x00\n") {
		return nil, fmt.Errorf("%q is no absolute path for the scratch directory of a drill, or %q no cluster", base, o.Cluster)
	}
	dir := filepath.Join(base, "pg_manage-drill-"+o.Cluster)
	old, err := open(dir)
	if err != nil {
		return nil, err
	}
	if old != nil {
		o.Notice("an earlier drill was cut off, or kept; " + dir + " is cleared away")
		if err := old.end(ctx); err != nil {
			return nil, errors.Join(fmt.Errorf("the server of an earlier drill in %s: %w", dir, err), old.close())
		}
		if err := old.clear(); err != nil {
			return nil, fmt.Errorf("clear away what an earlier drill left in %s: %w", dir, err)
		}
	}
	s := &scratch{dir: dir, marker: marker{Version: 1, Cluster: o.Cluster, SocketDir: dir}}
	if len(dir)+len("/.s.PGSQL.65535.lock") > maxSocket {
		s.marker.SocketDir = filepath.Join(os.TempDir(), fmt.Sprintf("pg_manage-drill-%d-%d", os.Getuid(), os.Getpid()))
	}
	if err := s.make(); err != nil {
		return nil, fmt.Errorf("make the scratch directory %s: %w (another place can be named for it)", dir, err)
	}
	return s, nil
}

// make makes the directory and what is in it before a server is.
func (s *scratch) make() error {
	if err := os.Mkdir(s.dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) { // clear has seen to it that it is ours
		return err
	}
	text, err := json.Marshal(s.marker)
	if err != nil {
		return err
	}
	if err := replace(s.dir, markerName, append(text, '\n')); err != nil {
		return err
	}
	if err := s.hold(); err != nil {
		return err
	}
	for _, sub := range []string{filepath.Join(s.dir, spacesDir), filepath.Join(s.dir, configDir)} {
		if err := os.Mkdir(sub, 0o700); err != nil {
			return errors.Join(err, s.clear())
		}
	}
	if s.marker.SocketDir != s.dir {
		if err := os.Mkdir(s.marker.SocketDir, 0o700); err != nil {
			return errors.Join(err, s.clear())
		}
	}
	return nil
}

var errBusy = errors.New("another drill of this cluster is at work there")

// hold takes the lock, which ends with us.
func (s *scratch) hold() error {
	f, err := os.OpenFile(filepath.Join(s.dir, markerName), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		if errors.Is(err, unix.EWOULDBLOCK) {
			err = errBusy
		}
		return errors.Join(err, f.Close())
	}
	s.lock = f
	return nil
}

func (s *scratch) close() error {
	if s.lock == nil {
		return nil
	}
	err := s.lock.Close()
	s.lock = nil
	return err
}

// open takes hold of a scratch directory that is there; nil when none is. What is not
// recognised as one is an error: it is never touched.
func open(dir string) (*scratch, error) {
	st, err := os.Lstat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	foreign := fmt.Errorf("%s is there and was not made by a drill: move it away, or name another place for the scratch directory", dir)
	if !st.IsDir() {
		return nil, foreign
	}
	s := &scratch{dir: dir}
	text, err := os.ReadFile(filepath.Join(dir, markerName))
	if errors.Is(err, fs.ErrNotExist) {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			if e.Name() != markerName+tempEnd { // cut off right at the beginning
				return nil, foreign
			}
		}
		return nil, nil
	}
	if err == nil {
		if err = json.Unmarshal(text, &s.marker); err == nil && s.marker.Version != 1 {
			err = fmt.Errorf("it is of version %d", s.marker.Version)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("%w (%w)", foreign, err)
	}
	if err := s.hold(); err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	return s, nil
}

// end stops the server that a drill has left running, which its own pid file names.
func (s *scratch) end(ctx context.Context) error {
	text, err := os.ReadFile(filepath.Join(s.data(), "postmaster.pid"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	lines := strings.Split(string(text), "\n")
	pid, err := strconv.Atoi(strings.TrimSpace(lines[0]))
	if err != nil || pid <= 1 || !s.runs(pid) {
		return nil // of a server that is gone
	}
	if err := syscall.Kill(pid, syscall.SIGQUIT); err != nil && !errors.Is(err, syscall.ESRCH) {
		return err
	}
	deadline := time.Now().Add(time.Minute)
	for s.runs(pid) {
		if time.Now().After(deadline) {
			return fmt.Errorf("process %d does not end", pid)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(50 * time.Millisecond):
		}
	}
	return nil
}

// runs says whether a process works in the data directory, as the server's do. A number
// alone may be another process's by now.
func (s *scratch) runs(pid int) bool {
	cwd, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", pid))
	if err != nil {
		return false
	}
	real, err := filepath.EvalSymlinks(s.data())
	return err == nil && cwd == real
}

// clear removes the directory, the marker last, and lets go of the lock.
func (s *scratch) clear() error {
	entries, err := os.ReadDir(s.dir)
	if err == nil {
		err = allow(s.data())
	}
	if err != nil {
		return errors.Join(err, s.close())
	}
	for _, e := range entries {
		if e.Name() == markerName {
			continue
		}
		if err := os.RemoveAll(filepath.Join(s.dir, e.Name())); err != nil {
			return errors.Join(err, s.close())
		}
	}
	if d := s.marker.SocketDir; d != s.dir && strings.HasPrefix(filepath.Base(d), "pg_manage-drill-") {
		if err := os.RemoveAll(d); err != nil {
			return errors.Join(err, s.close())
		}
	}
	err = os.Remove(filepath.Join(s.dir, markerName))
	return errors.Join(err, os.Remove(s.dir), s.close())
}
