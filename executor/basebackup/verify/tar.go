package verify

import (
	"archive/tar"
	"errors"
	"io"
	"slices"
	"sort"
	"strings"
	"sync"

	"pg_manage/executor/repo/catalog"
)

// member is a file or directory of a tar archive.
type member struct {
	name  string
	dir   bool
	mode  uint32
	mtime int64
	size  int64
	start int64 // of its content in the archive
}

// tarReader reads an archive that is written to it.
type tarReader struct {
	in      *io.PipeReader
	out     *io.PipeWriter
	done    chan struct{}
	members []member
	err     error
}

func startTar() *tarReader {
	t := &tarReader{done: make(chan struct{})}
	t.in, t.out = io.Pipe()
	go func() {
		defer close(t.done)
		t.err = t.read()
		// Whatever follows is not looked at, and must not stop the writer.
		_, _ = io.Copy(io.Discard, t.in)
	}()
	return t
}

func (t *tarReader) read() error {
	count := &counter{r: t.in}
	r := tar.NewReader(count)
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		m := member{name: h.Name, mode: uint32(h.Mode) & 0o7777, mtime: h.ModTime.Unix(), size: h.Size, start: count.n}
		switch h.Typeflag {
		case tar.TypeReg:
		case tar.TypeDir:
			m.dir, m.name = true, strings.TrimSuffix(h.Name, "/")
		default:
			return errors.New(h.Name + " is neither a file nor a directory")
		}
		t.members = append(t.members, m)
	}
}

// Write takes a piece of the archive. It never fails.
func (t *tarReader) Write(b []byte) (int, error) { return t.out.Write(b) }

func (t *tarReader) write(b []byte) { _, _ = t.out.Write(b) }

// end says what the archive held.
func (t *tarReader) end() ([]member, error) {
	t.stop()
	return t.members, t.err
}

func (t *tarReader) stop() {
	_ = t.out.Close()
	<-t.done
}

// covering gives the file whose content lies at a place of the archive; -1: there is none.
func covering(members []member, at int64) int {
	i := sort.Search(len(members), func(i int) bool { return members[i].start > at })
	for i--; i >= 0; i-- {
		if m := members[i]; m.size > 0 {
			if at < m.start+m.size {
				return i
			}
			break
		}
	}
	return -1
}

// found is what all archives of a backup have that has no content.
type found struct {
	mu    sync.Mutex
	dirs  map[string]uint32
	empty map[string]uint32
}

func (f *found) init() { f.dirs, f.empty = map[string]uint32{}, map[string]uint32{} }

func (f *found) addDir(name string, mode uint32) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.dirs[name] = mode
}

func (f *found) addEmpty(name string, mode uint32) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.empty[name] = mode
}

// checkTree makes sure that `tar` finds the directories and the empty files of a full backup.
// When a part was damaged they may be missing for that reason, which was taken down.
func (v *verifier) checkTree(info *catalog.Info, ix *indexed) {
	v.mu.Lock()
	sound := !slices.ContainsFunc(v.report.Damages, func(d Damage) bool { return d.Backup == info.Label })
	v.mu.Unlock()
	if !ix.full || !sound {
		return
	}
	compare := func(what string, want, have map[string]uint32) {
		for name, mode := range want {
			if got, ok := have[name]; !ok || got != mode&0o7777 {
				v.add(Damage{Backup: info.Label, Object: info.Index.Name, File: name, What: "the parts do not have this " + what + " with its mode"})
			}
		}
		for name := range have {
			if _, ok := want[name]; !ok {
				v.add(Damage{Backup: info.Label, Object: info.Index.Name, File: name, What: "the parts have this " + what + ", and the index does not"})
			}
		}
	}
	compare("directory", ix.dirs, ix.found.dirs)
	compare("empty file", ix.empty, ix.found.empty)
}
