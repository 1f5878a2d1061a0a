package restore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"syscall"

	"pg_manage/executor/basebackup/chain"
)

// visitor is told what there is in places that are compared with a backup.
type visitor interface {
	// expected is a file or directory that the backup has too, and of the same kind.
	expected(p *place, rel string, info fs.FileInfo) error
	// foreign is what has to go: the backup lacks it, or has something else of that name.
	// Directories come without what is in them.
	foreign(p *place, rel string, info fs.FileInfo) error
}

// walker goes through places. It follows no links.
type walker struct {
	r         *restoring
	v         visitor
	dirs      map[string]bool
	links     map[string]string // of the data directory, to where they ought to lead
	strangers int64             // that are not the backup's and not PostgreSQL's
}

// walkPlaces shows all that lies in the places to v.
func (r *restoring) walkPlaces(ctx context.Context, v visitor) error {
	_, err := r.walk(ctx, v)
	return err
}

// walk also counts what is neither in the backup nor PostgreSQL's: it is left alone.
func (r *restoring) walk(ctx context.Context, v visitor) (strangers int64, err error) {
	w := &walker{r: r, v: v, dirs: map[string]bool{}, links: r.wantLinks()}
	for _, d := range r.layout.dirs {
		w.dirs[d.Path] = true
	}
	for _, p := range r.layout.places() {
		if p.root == nil {
			continue // still to be made
		}
		if err := w.dir(ctx, p, ".", false); err != nil {
			return 0, fmt.Errorf("look at %s: %w", p.dir, err)
		}
	}
	return w.strangers, nil
}

// wantLinks are the links that the data directory is to have.
func (r *restoring) wantLinks() map[string]string {
	links := map[string]string{}
	for _, p := range r.layout.places()[1:] {
		links[p.prefix] = p.dir
	}
	return links
}

// dir goes through a directory. What lies in a foreign one is foreign, whatever the backup has.
func (w *walker) dir(ctx context.Context, p *place, rel string, foreign bool) error {
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	d, err := p.root.Open(rel)
	if err != nil {
		return err
	}
	infos, err := d.Readdir(-1)
	if err = errors.Join(err, d.Close()); err != nil {
		return err
	}
	for _, info := range infos {
		if err := w.entry(ctx, p, path.Join(rel, info.Name()), info, foreign); err != nil {
			return err
		}
	}
	return nil
}

func (w *walker) entry(ctx context.Context, p *place, rel string, info fs.FileInfo, foreign bool) error {
	name := p.path(rel)
	if p == w.r.layout.data && (name == markerName || w.r.keep.has(name)) {
		return nil
	}
	kind := info.Mode().Type()
	to, link := w.links[name]
	switch {
	case foreign:
	case link && kind == fs.ModeSymlink && w.leads(p, rel, to):
		return nil // its place is looked at by itself
	case !link && w.dirs[name] && kind == fs.ModeDir:
		if err := w.v.expected(p, rel, info); err != nil {
			return err
		}
		return w.dir(ctx, p, rel, false)
	case !link && w.r.chain.Has(name) && kind == 0:
		return w.v.expected(p, rel, info)
	}
	wanted := link || w.dirs[name] || w.r.chain.Has(name)
	if !foreign && !w.owned(p, rel) {
		if wanted {
			return fmt.Errorf("%s is %s, and something else in the backup: move it away", path.Join(p.dir, rel), describe(info))
		}
		w.strangers++
		return nil
	}
	if kind == fs.ModeDir {
		// What is kept may lie in it.
		if err := w.dir(ctx, p, rel, true); err != nil {
			return err
		}
		if w.r.keep.below(name) {
			if wanted {
				return fmt.Errorf("%s is a directory with files to keep, and something else in the backup", path.Join(p.dir, rel))
			}
			return nil
		}
	}
	return w.v.foreign(p, rel, info)
}

func describe(info fs.FileInfo) string {
	switch info.Mode().Type() {
	case 0:
		return "a file"
	case fs.ModeDir:
		return "a directory"
	case fs.ModeSymlink:
		return "a link"
	}
	return "no file"
}

// leads says whether a link is as it ought to be.
func (w *walker) leads(p *place, rel, to string) bool {
	at, err := p.root.Readlink(rel)
	return err == nil && at == to
}

// owned says whether something is PostgreSQL's. A tablespace's directory may hold that of
// another server version beside ours.
func (w *walker) owned(p *place, rel string) bool {
	if p != w.r.layout.data && rel == "lost+found" {
		return false
	}
	if _, ok := chain.TablespaceOID(p.prefix); ok {
		top, _ := cutPath(rel)
		return w.dirs[p.path(top)]
	}
	return owned(p.path(rel))
}

// names is how many names a file has.
func names(info fs.FileInfo) uint64 {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return uint64(st.Nlink)
	}
	return 1
}

// allocated is how much of the disk a file has that its removal frees, in bytes.
func allocated(info fs.FileInfo) int64 {
	if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Nlink == 1 {
		return st.Blocks * 512
	}
	return 0
}

// onlyLook is a visitor that does nothing: the walk itself refuses what cannot be.
type onlyLook struct{}

func (onlyLook) expected(*place, string, fs.FileInfo) error { return nil }
func (onlyLook) foreign(*place, string, fs.FileInfo) error  { return nil }

// remover takes away what is foreign.
type remover struct{ r *restoring }

// expected takes away a file that has other names too: what is written to it would be in
// those as well, such as a copy made with cp -al.
func (remover) expected(p *place, rel string, info fs.FileInfo) error {
	if info.Mode().IsRegular() && names(info) > 1 {
		return p.root.Remove(rel)
	}
	return nil
}

func (v remover) foreign(p *place, rel string, info fs.FileInfo) error {
	if info.Mode().Type() != fs.ModeDir {
		v.r.report.Removed++
	}
	return p.root.Remove(rel)
}

// device is the file system that a file lies on.
func device(info fs.FileInfo) uint64 {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return st.Dev
	}
	return 0
}
