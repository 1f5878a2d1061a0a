package pack

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"pg_manage/executor/basebackup/index"
	"pg_manage/executor/basebackup/page"
)

const controlFile = "global/pg_control"

// owner is whose the files are.
type owner struct {
	uid, gid    int
	user, group string
}

func ownerOf(dir string) (owner, error) {
	var st unix.Stat_t
	if err := retry(func() error { return unix.Stat(dir, &st) }); err != nil {
		return owner{}, fmt.Errorf("the data directory %s: %w", dir, err)
	}
	o := owner{uid: int(st.Uid), gid: int(st.Gid)}
	if u, err := user.LookupId(strconv.Itoa(o.uid)); err == nil && len(u.Username) < 32 {
		o.user = u.Username
	}
	if g, err := user.LookupGroupId(strconv.Itoa(o.gid)); err == nil && len(g.Name) < 32 {
		o.group = g.Name
	}
	return o, nil
}

// item is one file to copy. There may be millions of them.
type item struct {
	dir    *string // nil: name is the whole path
	name   string
	size   int64
	from   *source // of files that Finish adds
	memory *memory
}

func (it *item) path() string {
	if it.dir == nil || *it.dir == "" {
		return it.name
	}
	return *it.dir + "/" + it.name
}

// source is a file that must be there.
type source struct {
	path string
	mode uint32
}

// memory is the content of a file.
type memory struct {
	data     []byte
	mode     uint32
	modified time.Time
}

// scan is what a data directory has.
type scan struct {
	o      *Options
	ctx    context.Context
	notice func(string)
	dirs   []index.Entry // parents first
	links  []index.Entry
	files  []item
	bytes  int64
	within map[string]bool // tablespaces inside the data directory, which their links lead to
}

// look goes through a data directory.
func look(ctx context.Context, o *Options, notice func(string)) (*scan, error) {
	s := &scan{o: o, ctx: ctx, notice: notice, within: map[string]bool{}}
	head := make([]byte, 16)
	f, err := os.Open(o.DataDir + "/" + controlFile)
	if err == nil {
		_, err = f.ReadAt(head, 0)
		f.Close() //nolint:errcheck // only read
	}
	if err != nil {
		return nil, fmt.Errorf("%s is no data directory: %w", o.DataDir, err)
	}
	version := fmt.Sprintf("PG_%d_%d", o.Manifest.Major, binary.LittleEndian.Uint32(head[12:]))
	spaces, err := s.tablespaces()
	if err != nil {
		return nil, err
	}
	if err := s.dir(""); err != nil {
		return nil, err
	}
	for _, l := range spaces {
		s.links = append(s.links, l)
		sub := l.Link + "/" + version
		var st unix.Stat_t
		if err := retry(func() error { return unix.Lstat(o.DataDir+"/"+sub, &st) }); errors.Is(err, unix.ENOENT) {
			s.notice(fmt.Sprintf("the tablespace at %s has no directory %s: nothing of it is copied", l.To, version))
			continue
		} else if err != nil {
			return nil, fmt.Errorf("%s/%s: %w", o.DataDir, sub, err)
		}
		s.dirs = append(s.dirs, index.Entry{Dir: sub, Mode: st.Mode & 0o7777})
		if err := s.dir(sub); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// tablespaces reads the links of pg_tblspc.
func (s *scan) tablespaces() ([]index.Entry, error) {
	entries, err := os.ReadDir(s.o.DataDir + "/pg_tblspc")
	if err != nil {
		return nil, err
	}
	var links []index.Entry
	for _, e := range entries {
		if e.Type()&os.ModeSymlink == 0 {
			continue
		}
		link := "pg_tblspc/" + e.Name()
		oid, err := strconv.ParseUint(e.Name(), 10, 32)
		if err != nil {
			s.notice(link + " is left out: it is no tablespace")
			continue
		}
		to, err := os.Readlink(s.o.DataDir + "/" + link)
		if errors.Is(err, os.ErrNotExist) {
			continue
		} else if err != nil {
			return nil, err
		}
		if rel, err := filepath.Rel(s.o.DataDir, to); err == nil && filepath.IsLocal(rel) {
			s.within[rel] = true
		}
		if s.o.Tablespaces != nil {
			at, ok := s.o.Tablespaces[uint32(oid)]
			if !ok { // made since the backup began: the WAL has it
				continue
			}
			to = cmp.Or(at, to)
		}
		links = append(links, index.Entry{Link: link, To: to})
	}
	return links, nil
}

// dir goes through a directory, given by its path in the data directory.
func (s *scan) dir(dir string) error {
	if err := context.Cause(s.ctx); err != nil {
		return err
	}
	full := s.o.DataDir + "/" + dir
	f, err := os.Open(full)
	if errors.Is(err, os.ErrNotExist) && dir != "" {
		return nil // a database that was dropped
	} else if err != nil {
		return fmt.Errorf("looking through the data directory: %w", err)
	}
	names, err := f.Readdirnames(-1)
	if err != nil {
		f.Close() //nolint:errcheck // only read
		return fmt.Errorf("looking through %s: %w", full, err)
	}
	slices.Sort(names)
	subs, err := s.names(f, dir, names)
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	for _, sub := range subs {
		s.dirs = append(s.dirs, sub)
		if err := s.dir(sub.Dir); err != nil {
			return err
		}
	}
	return nil
}

// names takes in the files of a directory, and gives its directories that are to be gone
// through.
func (s *scan) names(f *os.File, dir string, names []string) (subs []index.Entry, err error) {
	skip := s.skipper(dir, names)
	shared := &dir
	fd := int(f.Fd())
	for _, name := range names {
		if skip(name) {
			continue
		}
		it := item{dir: shared, name: name}
		path := it.path()
		var st unix.Stat_t
		if err := retry(func() error { return unix.Fstatat(fd, name, &st, unix.AT_SYMLINK_NOFOLLOW) }); errors.Is(err, unix.ENOENT) {
			continue
		} else if err != nil {
			return nil, fmt.Errorf("%s/%s: %w", s.o.DataDir, path, err)
		}
		mode := st.Mode & 0o7777
		switch st.Mode & unix.S_IFMT {
		case unix.S_IFREG:
			if st.Size > maxFile {
				return nil, fmt.Errorf("%s/%s has %d bytes: files of more than %d cannot be backed up; move it out of the data directory if it is not PostgreSQL's", s.o.DataDir, path, st.Size, int64(maxFile))
			}
			it.size = st.Size
			s.bytes += st.Size
			s.files = append(s.files, it)
		case unix.S_IFDIR:
			switch {
			case s.within[path]:
			case emptied(path):
				s.dirs = append(s.dirs, index.Entry{Dir: path, Mode: mode})
			case path == "pg_wal":
				s.dirs = append(s.dirs, index.Entry{Dir: path, Mode: mode})
				s.wal(mode)
			default:
				subs = append(subs, index.Entry{Dir: path, Mode: mode})
			}
		case unix.S_IFLNK:
			if err := s.link(path); err != nil {
				return nil, err
			}
		default:
			s.notice(path + " is left out: it is a special file")
		}
	}
	return subs, nil
}

// wal keeps the directories below pg_wal, without the files.
func (s *scan) wal(mode uint32) {
	for _, sub := range []string{"pg_wal/archive_status", "pg_wal/summaries"} {
		info, err := os.Stat(s.o.DataDir + "/" + sub)
		if err == nil && info.IsDir() || sub == "pg_wal/archive_status" {
			s.dirs = append(s.dirs, index.Entry{Dir: sub, Mode: mode})
		}
	}
}

// link takes in a symbolic link outside pg_tblspc.
func (s *scan) link(path string) error {
	const mode = 0o700
	switch {
	case strings.HasPrefix(path, "pg_tblspc/"): // see tablespaces
	case emptied(path):
		s.dirs = append(s.dirs, index.Entry{Dir: path, Mode: mode})
	case path == "pg_wal":
		to, err := os.Readlink(s.o.DataDir + "/" + path)
		if err != nil {
			return err
		}
		s.links = append(s.links, index.Entry{Link: path, To: to})
		s.wal(mode)
	case essential(path):
		return fmt.Errorf("%s/%s is a symbolic link: PostgreSQL's own directories must lie in the data directory (only pg_wal and tablespaces may be elsewhere)", s.o.DataDir, path)
	default:
		s.notice(path + " is left out: it is a symbolic link")
	}
	return nil
}

// skipper says which names of a directory are left out.
func (s *scan) skipper(dir string, names []string) func(string) bool {
	database := page.DatabaseDir(dir)
	unlogged := map[uint32]bool{}
	if database && !s.o.Cold { // recovery makes them anew; without recovery they are needed
		for _, name := range names {
			if f, ok := page.ParseName(name); ok && f.Fork == "init" && !f.Temporary {
				unlogged[f.Number] = true
			}
		}
	}
	return func(name string) bool {
		if excluded(dir, name) {
			return true
		}
		if !database {
			return false
		}
		f, ok := page.ParseName(name)
		return ok && (f.Temporary || f.Fork != "init" && unlogged[f.Number])
	}
}

// wholeControl says whether a control file fits its checksum, which lies at a place that
// depends on the version, behind all that it is of.
func wholeControl(data []byte) bool {
	for n := 200; n+4 <= min(len(data), 512); n += 4 {
		if binary.LittleEndian.Uint32(data[n:]) == crc32.Checksum(data[:n], castagnoli) {
			return true
		}
	}
	return false
}

// castagnoli is a constant table, as the standard library makes it.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)
