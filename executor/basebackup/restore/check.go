package restore

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

	"golang.org/x/sys/unix"

	"pg_manage/executor/basebackup/frame"
)

// checkTarget refuses places that a restore must not or cannot write to. It settles whether
// what is there is compared.
func (r *restoring) checkTarget(ctx context.Context) error {
	var err error
	if r.keep, err = newKeepList(r.KeepFiles); err != nil {
		return err
	}
	data := r.layout.data
	present, err := r.checkPlace(data)
	if err != nil {
		return err
	}
	if present {
		if err := r.checkData(); err != nil {
			return err
		}
	}
	for _, p := range r.layout.places()[1:] {
		present, err := r.checkPlace(p)
		if err != nil {
			return err
		}
		if !present {
			continue
		}
		if err := refuseUsed(p); err != nil {
			return err
		}
		if r.ours(p) {
			continue
		}
		if name, err := firstEntry(p, "lost+found"); err != nil || name != "" {
			return errors.Join(err, notEmpty(p, name, "name another directory for it, or move away what is in it"))
		}
	}
	if r.delta {
		return r.walkPlaces(ctx, onlyLook{})
	}
	return nil
}

func notEmpty(p *place, name, what string) error {
	if name == "" {
		return nil
	}
	return fmt.Errorf("%s, %s, is not empty (it holds %s): %s", p.what, p.dir, name, what)
}

// checkPlace makes sure that a directory is one that we can fill, or that it can be made.
// It opens one that is there.
func (r *restoring) checkPlace(p *place) (present bool, err error) {
	info, err := os.Stat(p.dir)
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Lstat(p.dir); err == nil {
			return false, fmt.Errorf("%s, %s, is a link that leads nowhere: mend or remove it", p.what, p.dir)
		}
		parent := filepath.Dir(p.dir)
		if info, err = os.Stat(parent); errors.Is(err, fs.ErrNotExist) {
			return false, fmt.Errorf("%s, %s: the directory above it is not there: make it first, for the user who runs PostgreSQL to write to", p.what, p.dir)
		}
		if err == nil && !info.IsDir() {
			err = fmt.Errorf("%s is no directory", parent)
		}
		if err == nil {
			err = writable(parent)
		}
		if err != nil {
			return false, fmt.Errorf("%s, %s, cannot be made: %w", p.what, p.dir, err)
		}
		return false, nil
	}
	if err == nil && !info.IsDir() {
		err = errors.New("it is no directory")
	}
	if err == nil {
		err = writable(p.dir)
	}
	if err == nil {
		err = p.open()
	}
	if err != nil {
		return false, fmt.Errorf("%s, %s: %w", p.what, p.dir, err)
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(p.top.Fd()), &st); err != nil {
		return false, fmt.Errorf("%s, %s: %w", p.what, p.dir, err)
	}
	if uid := os.Geteuid(); int(st.Uid) != uid {
		return false, fmt.Errorf("%s, %s, belongs to user %d, and the restore runs as user %d: run it as the owner, since PostgreSQL starts on nobody else's files", p.what, p.dir, st.Uid, uid)
	}
	return true, nil
}

func writable(dir string) error {
	if err := unix.Faccessat(unix.AT_FDCWD, dir, unix.W_OK|unix.X_OK, unix.AT_EACCESS); err != nil {
		return fmt.Errorf("user %d cannot write to %s: %w", os.Geteuid(), dir, err)
	}
	return nil
}

// firstEntry names something that is in a place, except what is named.
func firstEntry(p *place, except string) (string, error) {
	d, err := p.root.Open(".")
	if err != nil {
		return "", err
	}
	defer func() { _ = d.Close() }()
	entries, err := d.ReadDir(-1)
	for _, e := range entries {
		if e.Name() != except {
			return e.Name(), nil
		}
	}
	return "", err
}

// checkData looks at a data directory that is there.
func (r *restoring) checkData() error {
	p := r.layout.data
	if err := refuseRunning(p.dir); err != nil {
		return err
	}
	var err error
	if r.old, err = readMarker(p.dir); err != nil {
		return err
	}
	if r.old != nil {
		used, err := r.used()
		if err != nil {
			return err
		}
		if used {
			r.old = nil
		}
	}
	if m := r.old; m != nil {
		switch {
		case m.SystemIdentifier != r.info.SystemIdentifier:
			return fmt.Errorf("in %s a restore of backup %s was interrupted, of another cluster (system identifier %s, not %s)", p.dir, m.Label, m.SystemIdentifier, r.info.SystemIdentifier)
		case m.Delta && !r.Delta:
			return fmt.Errorf("in %s a delta restore of backup %s was interrupted, and things of the cluster before may be left in it: ask for a delta restore again, or move it away", p.dir, m.Label)
		}
		r.delta, r.report.Resumed = true, true
		return nil
	}
	name, err := firstEntry(p, "")
	if err != nil || name == "" {
		return err
	}
	if !r.Delta {
		return notEmpty(p, name, "move it away, restore elsewhere, or ask for a delta restore over it")
	}
	if _, err := os.Lstat(filepath.Join(p.dir, versionFile)); err != nil {
		return fmt.Errorf("%s does not look like a data directory, and a delta restore changes nothing else: %w", p.dir, err)
	}
	id, err := systemIdentifier(filepath.Join(p.dir, controlFile))
	switch {
	case err != nil:
		return fmt.Errorf("%s does not look like a data directory, and a delta restore changes nothing else: %w", p.dir, err)
	case id != r.info.SystemIdentifier:
		return fmt.Errorf("%s is of the cluster with system identifier %s, and backup %s of %s: restore elsewhere", p.dir, id, r.info.Label, r.info.SystemIdentifier)
	}
	r.delta = true
	return nil
}

// used says whether a data directory with a mark may have been used since: it can be started,
// and is not just what the restore has left that the mark tells of.
func (r *restoring) used() (bool, error) {
	have, err := os.ReadFile(filepath.Join(r.layout.data.dir, controlFile))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	control, _, err := r.chain.File(controlFile)
	return err == nil && (r.old.Label != r.Label || !bytes.Equal(frame.Sums(nil, have), control.Sums)), err
}

// refuseRunning fails when postmaster.pid names a live process of the data directory.
func refuseRunning(dir string) error {
	name := filepath.Join(dir, pidFile)
	text, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("is a server running on %s: %w", dir, err)
	}
	line, _, _ := strings.Cut(string(text), "\n")
	pid, err := strconv.Atoi(strings.TrimPrefix(strings.TrimSpace(line), "-")) // negative: a single-user server
	if err != nil || pid <= 0 {
		return fmt.Errorf("is a server running on %s: %s does not name a process: remove it when none is", dir, name)
	}
	if err := unix.Kill(pid, 0); errors.Is(err, unix.ESRCH) {
		return nil
	}
	// Not by its path: the directory may be mounted at several, also where we don't see it.
	works, err := os.Stat(fmt.Sprintf("/proc/%d/cwd", pid))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ESRCH) {
		return nil // gone meanwhile
	}
	here, looked := os.Stat(dir)
	if err != nil || looked != nil || os.SameFile(works, here) {
		return fmt.Errorf("a server (process %d) runs on %s: stop it first, if it is not needed", pid, dir)
	}
	return nil
}

// ours says whether a place beside the data directory is of the cluster that is restored
// over, or of the interrupted restore.
func (r *restoring) ours(p *place) bool {
	if r.old != nil && r.old.Places[p.prefix] == p.dir {
		return true
	}
	if !r.delta || r.old != nil && !r.old.Delta {
		return false
	}
	real, err := filepath.EvalSymlinks(filepath.Join(r.layout.data.dir, filepath.FromSlash(p.prefix)))
	there, resolved := filepath.EvalSymlinks(p.dir)
	return err == nil && resolved == nil && real == there
}
