package wal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"pg_manage/executor/repo"
	"pg_manage/executor/repo/codec"
	"pg_manage/executor/repo/storage"
	"pg_manage/schema/postgres"
)

// site is the archive at one target, through an open connection.
type site struct {
	c     *Config
	t     repo.Target
	d     storage.Driver
	forms *forms

	mu     sync.Mutex
	others map[string]map[string]string // directory -> plain name -> the name under which it is stored in another form than ours
}

func (s *site) close() {
	s.d.Close() //nolint:errcheck // all that matters has been checked by then
}

// dir is the archive's directory at the target.
func (s *site) dir() string { return archiveDir(s.t, s.c.Cluster) }

func archiveDir(t repo.Target, cluster string) string { return below(t.ArchiveDir, cluster) }

// below is a cluster's directory in one of a target's.
func below(dir, cluster string) string {
	return strings.Trim(filepath.ToSlash(filepath.Clean("/"+dir)), "/") + "/" + cluster
}

func (s *site) identityName() string { return s.dir() + "/archive.json" }

// local says that the target is a directory here, where asking first costs nothing.
func (s *site) local() bool { return s.t.Scheme != "ssh" && s.t.Scheme != "s3" }

// base is a file's name at the target without the extension that says its form.
func (s *site) base(f postgres.WALFile) string { return folder(s.dir(), f) + "/" + f.Name }

// folder is the directory of a file at the target.
func folder(dir string, f postgres.WALFile) string {
	if f.Kind == postgres.WALHistory {
		return dir
	}
	return dir + "/" + f.Name[:16]
}

// name is where a file is written.
func (s *site) name(f postgres.WALFile) string { return s.base(f) + s.forms.of(f).Extension() }

// otherForm finds a file that is stored in another form than the one that is written
// now, from before the target's compression or recipients were changed; "" when there
// is none. What other forms there are is looked up once a directory: nobody adds to them.
func (s *site) otherForm(ctx context.Context, f postgres.WALFile) (string, error) {
	dir := folder(s.dir(), f)
	s.mu.Lock()
	known, ok := s.others[dir]
	s.mu.Unlock()
	if !ok {
		var err error
		if known, err = s.listOthers(ctx, dir, f); err != nil {
			return "", err
		}
		s.mu.Lock()
		if len(s.others) > 16 || s.others == nil {
			s.others = map[string]map[string]string{}
		}
		s.others[dir] = known
		s.mu.Unlock()
	}
	if stored := known[f.Name]; stored != "" {
		return dir + "/" + stored, nil
	}
	return "", nil
}

// besides finds a file that is stored in another form than that of the name that it is
// about to get, which may be an old one: the cause of there being others than ours.
func (s *site) besides(ctx context.Context, f postgres.WALFile, name string) (string, error) {
	if name == s.name(f) {
		return s.otherForm(ctx, f)
	}
	dir := folder(s.dir(), f)
	s.mu.Lock()
	delete(s.others, dir) // it will have one more
	s.mu.Unlock()
	files, err := s.d.List(ctx, dir)
	if err != nil && !errors.Is(err, storage.ErrNotExist) {
		return "", err
	}
	for _, i := range files {
		if plain, _ := codec.Split(i.Name); plain == f.Name && dir+"/"+i.Name != name {
			return dir + "/" + i.Name, nil
		}
	}
	return "", nil
}

func (s *site) listOthers(ctx context.Context, dir string, like postgres.WALFile) (map[string]string, error) {
	own := s.forms.of(like).Extension()
	files, err := s.d.List(ctx, dir)
	if err != nil && !errors.Is(err, storage.ErrNotExist) {
		return nil, err
	}
	known := map[string]string{}
	for _, i := range files {
		plain, ext := codec.Split(i.Name)
		if f, err := postgres.ClassifyWALName(plain); err == nil && !i.Dir && ext != own && (f.Kind == postgres.WALHistory) == (like.Kind == postgres.WALHistory) {
			known[plain] = i.Name
		}
	}
	return known, nil
}

// open opens a stored file in its plain form, whatever form it is stored in.
// storage.ErrNotExist says that it is there in none.
func (s *site) open(ctx context.Context, f postgres.WALFile) (*stored, string, error) {
	name := s.name(f)
	r, err := s.openStored(ctx, name)
	if !errors.Is(err, storage.ErrNotExist) {
		return r, name, err
	}
	// Not from what otherForm remembers: another node may write another form meanwhile.
	others, lerr := s.listOthers(ctx, folder(s.dir(), f), f)
	if lerr != nil {
		return nil, name, lerr
	}
	if others[f.Name] == "" {
		return nil, name, err
	}
	name = folder(s.dir(), f) + "/" + others[f.Name]
	r, err = s.openStored(ctx, name)
	return r, name, err
}

// openStored opens the file of a name at the target in its plain form.
func (s *site) openStored(ctx context.Context, name string) (*stored, error) {
	raw, err := s.d.Open(ctx, name)
	if err != nil {
		return nil, err
	}
	_, ext := codec.Split(name)
	plain, err := s.forms.segment.Reader(raw, ext)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %s: %w", s.d, name, err), raw.Close())
	}
	return &stored{Reader: plain, unsummed: codec.Unsummed(plain), close: func() error { return errors.Join(plain.Close(), raw.Close()) }}, nil
}

// stored is a file at the target in its plain form.
type stored struct {
	io.Reader
	unsummed bool // its stored form bears no checksum
	close    func() error
}

func (s *stored) Close() error { return s.close() }

// verify makes sure that this is the archive of the instance's cluster, and gives its identity.
func (s *site) verify(ctx context.Context, system uint64) (*Identity, error) {
	id, err := s.readIdentity(ctx)
	if err != nil {
		return nil, err
	}
	return id, id.check(s, system)
}

// sweep removes now and then what writers that died have left; none of it matters to anybody.
func (s *site) sweep(ctx context.Context, f postgres.WALFile) {
	if f.Kind == postgres.WALSegment && f.Seg&0x3F == 0 {
		_ = s.d.Sweep(ctx, folder(s.dir(), f), leftoverAge)
	}
}

// leftoverAge is how old an unfinished file must be to be taken for one whose writer died.
const leftoverAge = time.Hour
