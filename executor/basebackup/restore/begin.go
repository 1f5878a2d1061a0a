package restore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// begin takes possession of the data directory, makes sure that nothing can start on it,
// and prepares all directories and links. From here on things are written.
func (r *restoring) begin(ctx context.Context) error {
	data := r.layout.data
	if err := r.makePlace(data); err != nil {
		return err
	}
	if err := unix.Flock(int(data.top.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return fmt.Errorf("another restore is at work in %s: %w", data.dir, err)
	}
	// What was true before may not be any more.
	if err := refuseRunning(data.dir); err != nil {
		return err
	}
	for _, p := range r.layout.places()[1:] {
		if p.root == nil {
			continue
		}
		if err := refuseUsed(p); err != nil {
			return err
		}
	}
	if !r.delta {
		if name, err := firstEntry(data, ""); err != nil || name != "" {
			return errors.Join(err, notEmpty(data, name, "something was put there just now"))
		}
	}
	m := &marker{Label: r.Label, SystemIdentifier: r.info.SystemIdentifier, Delta: r.delta, Places: map[string]string{}}
	if r.old != nil {
		m.Delta, m.WALMoved = r.old.Delta, r.old.WALMoved
	}
	for _, p := range r.layout.places()[1:] {
		m.Places[p.prefix] = p.dir
	}
	if err := m.write(data); err != nil {
		return err
	}
	if r.delta {
		if err := r.invalidate(); err != nil {
			return err
		}
		if m.Delta && !m.WALMoved {
			if err := r.saveWAL(); err != nil {
				return err
			}
			m.WALMoved = true
			if err := m.write(data); err != nil {
				return err
			}
		}
	}
	for _, p := range r.layout.places()[1:] {
		if err := r.makePlace(p); err != nil {
			return err
		}
	}
	if r.delta {
		// A recovery that was not ended may have left it without anybody's leave to write.
		if err := data.root.Chmod("pg_tblspc", 0o700); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("open pg_tblspc of %s: %w", data.dir, err)
		}
		strangers, err := r.walk(ctx, remover{r})
		if err != nil {
			return err
		}
		if strangers > 0 {
			r.Notice(fmt.Sprintf("%s: %d files and directories that are neither the backup's nor PostgreSQL's own are left as they are", data.dir, strangers))
		}
	}
	return r.makeTree()
}

// makePlace makes a place that is not there yet.
func (r *restoring) makePlace(p *place) error {
	if p.root != nil {
		return nil
	}
	err := os.Mkdir(p.dir, 0o700)
	if err == nil {
		err = syncPath(filepath.Dir(p.dir))
	}
	if err == nil {
		err = p.open()
	}
	if err != nil {
		return fmt.Errorf("make %s, %s: %w", p.what, p.dir, err)
	}
	return nil
}

// syncPath makes the names in a directory durable.
func syncPath(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// invalidate takes pg_control its name: without it PostgreSQL does not start.
func (r *restoring) invalidate() error {
	data := r.layout.data
	err := data.root.Rename(controlFile, controlOld)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // an interrupted restore did so
	}
	if err == nil {
		err = data.syncDir(path.Dir(controlFile))
	}
	if err != nil {
		return fmt.Errorf("make sure that nothing starts on %s: %w", data.dir, err)
	}
	return nil
}

// makeTree makes links and directories. From the links it is known what to clear away when this
// is cut off and given up, so nothing is put into a tablespace before.
func (r *restoring) makeTree() error {
	data := r.layout.data
	links := r.wantLinks()
	for _, name := range slices.Sorted(maps.Keys(links)) {
		if p, _ := r.layout.find(path.Dir(name)); p != data {
			return fmt.Errorf("make the link %s: it would lie outside of the data directory", name)
		}
		to := links[name]
		if at, err := data.root.Readlink(name); err == nil && at == to {
			continue
		}
		if strings.HasPrefix(name, "pg_tblspc/") {
			if err := data.root.Mkdir("pg_tblspc", 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
				return fmt.Errorf("make pg_tblspc: %w", err)
			}
		}
		if err := data.root.Symlink(to, name); err != nil {
			return fmt.Errorf("make the link %s: %w", name, err)
		}
	}
	for _, d := range r.layout.dirs { // each behind the one that it lies in
		p, rel := r.layout.find(d.Path)
		if rel == "." {
			continue
		}
		if err := p.root.Mkdir(rel, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("make %s: %w", d.Path, err)
		}
	}
	return nil
}
