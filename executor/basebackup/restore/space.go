package restore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/dustin/go-humanize"
	"golang.org/x/sys/unix"
)

// unit is what files are rounded up to on disk, in bytes.
const unit = 4096

func onDisk(size int64) int64 { return (size + unit - 1) / unit * unit }

// volume is a file system that something is restored to.
type volume struct {
	need, files int64
	dir         string // on it
}

// checkSpace refuses a restore that does not fit: nothing is worse than to learn it
// in the end.
func (r *restoring) checkSpace(ctx context.Context) error {
	volumes := map[uint64]*volume{}
	of := map[*place]*volume{}
	for _, p := range r.layout.places() {
		dir := p.dir
		var st unix.Stat_t
		err := unix.Stat(dir, &st)
		for errors.Is(err, fs.ErrNotExist) && dir != "/" {
			dir = filepath.Dir(dir)
			err = unix.Stat(dir, &st)
		}
		if err != nil {
			return fmt.Errorf("how much space is there for %s: %s: %w", p.what, dir, err)
		}
		if volumes[st.Dev] == nil {
			volumes[st.Dev] = &volume{dir: dir}
		}
		of[p] = volumes[st.Dev]
	}
	for _, d := range r.layout.dirs {
		p, _ := r.layout.find(d.Path)
		of[p].need += unit
		of[p].files++
	}
	for name, size := range r.chain.Sizes() {
		p, _ := r.layout.find(name)
		of[p].need += onDisk(size)
		of[p].files++
	}
	info, err := r.spool.Stat()
	if err != nil {
		return err
	}
	of[r.layout.data].need += onDisk(info.Size())
	if r.delta {
		if err := r.walkPlaces(ctx, &reuse{r, of}); err != nil {
			return err
		}
	}
	for _, v := range volumes {
		if err := v.check(); err != nil {
			return err
		}
	}
	return nil
}

func (v *volume) check() error {
	var st unix.Statfs_t
	if err := unix.Statfs(v.dir, &st); err != nil {
		return fmt.Errorf("how much space is there: %s: %w", v.dir, err)
	}
	free := int64(st.Bavail)
	if os.Geteuid() == 0 {
		free = int64(st.Bfree)
	}
	free *= st.Bsize
	switch {
	case v.need > free:
		return fmt.Errorf("the file system of %s has %s free, and the restore needs %s more than is there: make room, or restore elsewhere", v.dir, humanize.IBytes(uint64(free)), humanize.IBytes(uint64(v.need)))
	case st.Files > 0 && v.files > int64(st.Ffree):
		return fmt.Errorf("the file system of %s has %d inodes free, and the restore needs %d", v.dir, st.Ffree, v.files)
	}
	return nil
}

// reuse subtracts what is there already, or goes.
type reuse struct {
	r  *restoring
	of map[*place]*volume
}

func (u *reuse) expected(p *place, rel string, info fs.FileInfo) error {
	if info.Mode().IsRegular() {
		u.of[p].need -= min(allocated(info), onDisk(u.r.chain.Size(p.path(rel))))
	}
	u.of[p].files--
	return nil
}

func (u *reuse) foreign(p *place, rel string, info fs.FileInfo) error {
	if info.Mode().IsRegular() && !within(p.path(rel), walDir) { // old WAL may be kept
		u.of[p].need -= allocated(info)
	}
	return nil
}
