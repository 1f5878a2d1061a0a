package restore

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

// syncer is how the files of a place become durable.
type syncer struct {
	device uint64
	each   bool // every file and directory by itself; else the whole file system at once, in the end
}

// magics of file systems whose syncfs tells of every error (Linux 5.8 on) and leaves nothing out.
func wholeAtOnce() []int64 {
	return []int64{unix.EXT4_SUPER_MAGIC, unix.XFS_SUPER_MAGIC, unix.BTRFS_SUPER_MAGIC, unix.TMPFS_MAGIC, unix.F2FS_SUPER_MAGIC}
}

// newSyncer looks at the file system of an open directory. With many small files, syncing
// each costs more than the restore; where the kernel's word for a whole file system can be
// trusted it is asked once.
func newSyncer(f *os.File) (syncer, error) {
	var st unix.Stat_t
	var fs unix.Statfs_t
	var name unix.Utsname
	err := errors.Join(unix.Fstat(int(f.Fd()), &st), unix.Fstatfs(int(f.Fd()), &fs), unix.Uname(&name))
	if err != nil {
		return syncer{}, fmt.Errorf("%s: %w", f.Name(), err)
	}
	var major, minor int
	_, err = fmt.Sscanf(unix.ByteSliceToString(name.Release[:]), "%d.%d", &major, &minor)
	modern := err == nil && (major > 5 || major == 5 && minor >= 8)
	return syncer{st.Dev, !modern || !slices.Contains(wholeAtOnce(), int64(fs.Type))}, nil
}

// syncDir makes the names in a directory of a place durable.
func (p *place) syncDir(rel string) error {
	d, err := p.root.Open(rel)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// syncAll makes everything in all places durable that is not yet. syncfs tells of errors
// since its directory was opened, which was before the first byte was written.
func (r *restoring) syncAll() error {
	done := map[uint64]bool{}
	for _, p := range r.layout.places() {
		if p.sync.each || done[p.sync.device] {
			continue
		}
		done[p.sync.device] = true
		if err := unix.Syncfs(int(p.top.Fd())); err != nil {
			return fmt.Errorf("make the files below %s durable: %w", p.dir, err)
		}
	}
	for _, p := range r.layout.places() {
		if p.sync.each {
			if err := p.syncDir("."); err != nil {
				return fmt.Errorf("make the files below %s durable: %w", p.dir, err)
			}
		}
	}
	for _, d := range r.layout.dirs {
		p, rel := r.layout.find(d.Path)
		if !p.sync.each {
			continue
		}
		if err := p.syncDir(rel); err != nil {
			return fmt.Errorf("make %s durable: %w", d.Path, err)
		}
	}
	return nil
}

// startWriteback lets the kernel begin to write what was put into a file, so that less is
// left to do in the end. It is a hint: an error shows when the file is synced.
func startWriteback(f *os.File, offset, length int64) {
	_ = unix.SyncFileRange(int(f.Fd()), offset, length, unix.SYNC_FILE_RANGE_WRITE)
}
