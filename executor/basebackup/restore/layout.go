package restore

import (
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

	"pg_manage/executor/basebackup/chain"
)

// place is a directory that files are put into: the data directory, a tablespace's, or that
// of WAL outside of the data directory. Nothing is reached but through root, which no path
// and no link leads out of.
type place struct {
	dir    string   // absolute
	prefix string   // path in the data directory; "" is the data directory itself
	what   string   // as messages call it
	root   *os.Root // nil: the directory is not there yet
	top    *os.File // root's directory
	sync   syncer
}

// open opens a place that is there.
func (p *place) open() (err error) {
	if p.root, err = os.OpenRoot(p.dir); err != nil {
		return err
	}
	if p.top, err = p.root.Open("."); err != nil {
		return err
	}
	p.sync, err = newSyncer(p.top)
	return err
}

// path is that in the data directory of a path in a place.
func (p *place) path(rel string) string { return path.Join(p.prefix, rel) }

// layout says where the paths of a data directory lie.
type layout struct {
	data        *place
	wal         *place            // nil: in the data directory
	tablespaces map[string]*place // by oid
	dirs        []chain.Dir       // each behind the one that it lies in
	moved       bool              // a tablespace lies elsewhere than it did
}

// newLayout works out all places, and refuses those that lie in each other.
func newLayout(c *chain.Chain, o Options) (*layout, error) {
	l := &layout{tablespaces: map[string]*place{}, dirs: slices.Clone(c.Dirs())}
	add := func(what, prefix, dir string) (*place, error) {
		if !filepath.IsAbs(dir) || strings.ContainsRune(dir, 0) {
			return nil, fmt.Errorf("%s: %q is no absolute path", what, dir)
		}
		p := &place{dir: filepath.Clean(dir), prefix: prefix, what: what}
		real, err := resolve(p.dir)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", what, err)
		}
		for _, q := range l.places() {
			other, err := resolve(q.dir)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", q.what, err)
			}
			if within(real, other) || within(other, real) {
				return nil, fmt.Errorf("%s (%s) and %s (%s) lie in each other", what, dir, q.what, q.dir)
			}
		}
		return p, nil
	}
	var err error
	if l.data, err = add("the data directory", "", o.DataDir); err != nil {
		return nil, err
	}
	unknown := maps.Clone(o.Tablespaces)
	for _, k := range c.Links() {
		oid, ok := chain.TablespaceOID(k.Path)
		if k.Path == walDir { // where it led on the node it was taken on says nothing of this one
			l.dirs = append(l.dirs, chain.Dir{Path: walDir, Mode: 0o700})
			continue
		}
		if !ok {
			continue // refused by checkContent
		}
		dir := k.To
		if to, ok := o.Tablespaces[oid]; ok {
			dir = to
			delete(unknown, oid)
		}
		p, err := add("tablespace "+oid, k.Path, dir)
		if err != nil {
			return nil, err
		}
		l.moved = l.moved || p.dir != filepath.Clean(k.To)
		l.tablespaces[oid] = p
	}
	for _, oid := range slices.Sorted(maps.Keys(unknown)) {
		return nil, fmt.Errorf("backup %s has no tablespace %s: leave out its new place %s", o.Label, oid, unknown[oid])
	}
	slices.SortFunc(l.dirs, func(a, b chain.Dir) int { return strings.Compare(a.Path, b.Path) })
	wal, err := walPlace(l.data.dir, o)
	if err == nil && wal != "" {
		l.wal, err = add("the directory of WAL", walDir, wal)
	}
	return l, err
}

// walPlace is where pg_wal lies outside of the data directory; "": it lies inside.
func walPlace(data string, o Options) (string, error) {
	if o.WALDir != "" {
		return o.WALDir, nil
	}
	// Only a delta finds one, or what goes on.
	to, err := os.Readlink(filepath.Join(data, walDir))
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ENOTDIR), err != nil && isDir(filepath.Join(data, walDir)):
		return "", nil
	case err != nil:
		return "", err
	case !filepath.IsAbs(to):
		return filepath.Join(data, to), nil
	}
	return to, nil
}

func isDir(name string) bool {
	info, err := os.Lstat(name)
	return err == nil && info.IsDir()
}

// resolve follows the links of a path as far as it exists.
func resolve(dir string) (string, error) {
	real, err := filepath.EvalSymlinks(dir)
	if !errors.Is(err, fs.ErrNotExist) || dir == "/" {
		return real, err
	}
	parent, err := resolve(filepath.Dir(dir))
	return filepath.Join(parent, filepath.Base(dir)), err
}

func within(dir, other string) bool {
	return dir == other || strings.HasPrefix(dir, strings.TrimSuffix(other, "/")+"/")
}

// places lists all, the data directory first.
func (l *layout) places() []*place {
	var all []*place
	if l.data != nil {
		all = append(all, l.data)
	}
	for _, oid := range slices.Sorted(maps.Keys(l.tablespaces)) {
		all = append(all, l.tablespaces[oid])
	}
	if l.wal != nil {
		all = append(all, l.wal)
	}
	return all
}

// find gives the place that a path of the data directory lies in, and the path there: "."
// is the place itself.
func (l *layout) find(p string) (*place, string) {
	if l.wal != nil {
		if p == walDir {
			return l.wal, "."
		}
		if rest, ok := strings.CutPrefix(p, walDir+"/"); ok {
			return l.wal, rest
		}
	}
	if rest, ok := strings.CutPrefix(p, "pg_tblspc/"); ok {
		oid, rest, below := strings.Cut(rest, "/")
		if t := l.tablespaces[oid]; t != nil {
			if !below {
				return t, "."
			}
			return t, rest
		}
	}
	return l.data, p
}

// owned says whether a path of the data directory is PostgreSQL's: what is there and not in
// the backup would be taken for the cluster's. Everything else that people keep in a data
// directory is theirs.
func owned(p string) bool {
	top, _, below := strings.Cut(p, "/")
	if below || strings.HasPrefix(top, "pg_") || top == "base" || top == "global" {
		return slices.Contains([]string{
			"base", "global", "pg_commit_ts", "pg_dynshmem", "pg_logical", "pg_multixact", "pg_notify", "pg_replslot", "pg_serial",
			"pg_snapshots", "pg_stat", "pg_stat_tmp", "pg_subtrans", "pg_tblspc", "pg_twophase", walDir, "pg_xact", restoredName,
		}, top)
	}
	return slices.Contains([]string{
		versionFile, "backup_label", "backup_label.old", mapName, "tablespace_map.old", manifestName, "recovery.signal", "standby.signal",
		"recovery.conf", "recovery.done", "promote", pidFile, "postmaster.opts", "current_logfiles", "postgresql.auto.conf.tmp",
	}, p)
}

// keepList are the paths that a delta leaves alone.
type keepList []string

func newKeepList(paths []string) (keepList, error) {
	var k keepList
	for _, p := range paths {
		c := path.Clean(p)
		if path.IsAbs(c) || c == "." || c == ".." || strings.HasPrefix(c, "../") {
			return nil, fmt.Errorf("%q, a file to keep, is no path in the data directory", p)
		}
		if within(c, controlFile) || within(controlFile, c) {
			return nil, fmt.Errorf("%q cannot be kept: global/pg_control must be the backup's", p)
		}
		k = append(k, c)
	}
	return k, nil
}

func (k keepList) has(p string) bool {
	return slices.ContainsFunc(k, func(kept string) bool { return within(p, kept) })
}

// below says whether something to keep lies in a directory.
func (k keepList) below(dir string) bool {
	return slices.ContainsFunc(k, func(kept string) bool { return within(kept, dir) })
}

// cutPath takes the first name off a path.
func cutPath(p string) (first, rest string) {
	first, rest, _ = strings.Cut(p, "/")
	return first, rest
}

func (l *layout) close() error {
	var all error
	for _, p := range l.places() {
		if p.root != nil {
			all = errors.Join(all, p.root.Close())
		}
		if p.top != nil {
			all = errors.Join(all, p.top.Close())
		}
	}
	return all
}
