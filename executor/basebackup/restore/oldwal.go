package restore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/dustin/go-humanize"
)

// walName is what WAL files are called: segments, also partial ones, and timeline histories.
var walName = regexp.MustCompile(`^([0-9A-F]{24}(\.partial)?|[0-9A-F]{8}\.history)$`)

// segmentName is how long the name of a segment is.
const segmentName = 24

// saveWAL moves WAL that is not marked as archived out of pg_wal: recovery would read it as
// if it were the restored cluster's, and it may be the only copy of the last commits. It
// stays on its file system, beside the data directory or beside where pg_wal leads. A
// directory that pg_wal no longer leads to after the restore keeps all its files.
func (r *restoring) saveWAL() error {
	data := r.layout.data
	info, err := data.root.Lstat(walDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	from, p, rel := filepath.Join(data.dir, walDir), data, walDir
	if info.Mode().Type() == fs.ModeSymlink {
		to, err := filepath.EvalSymlinks(from)
		if err != nil {
			return fmt.Errorf("where is the WAL of %s: %w", data.dir, err)
		}
		wal := r.layout.wal
		if there, err := resolve(wal.dir); err != nil || there != to {
			r.Notice(fmt.Sprintf("the WAL of the cluster before stays in %s", to))
			return err
		}
		from, p, rel = to, wal, "."
	}
	own, err := r.ownTimeline()
	if err != nil {
		return err
	}
	names, size, err := unarchived(p, rel, own)
	if err != nil || len(names) == 0 {
		return err
	}
	if r.report.OldWAL, err = r.asideDir(from); err != nil {
		return err
	}
	for _, name := range names {
		if err := os.Rename(filepath.Join(from, name), filepath.Join(r.report.OldWAL, name)); err != nil {
			return fmt.Errorf("move the cluster's old WAL aside: %w", err)
		}
	}
	if err := errors.Join(syncPath(r.report.OldWAL), syncPath(from)); err != nil {
		return fmt.Errorf("move the cluster's old WAL aside: %w", err)
	}
	r.Notice(fmt.Sprintf("%d WAL files of the cluster before (%s) that may not be archived were moved to %s: remove them when they are not needed", len(names), humanize.IBytes(uint64(size)), r.report.OldWAL))
	return nil
}

// States in pg_control, and where it has them and the timeline of the last checkpoint
// (src/include/catalog/pg_control.h, of all versions from 13 on).
const (
	stoppedInRecovery = 2
	inRecovery        = 5
	stateOffset       = 16
	timelineOffset    = 48
)

// ownTimeline is the timeline that the cluster before wrote itself, as a primary. A standby
// marks as archived what it receives, whatever its primary has archived
// (walreceiver.c): of a standby it is none, which is one above all, and of a promoted one the last.
func (r *restoring) ownTimeline() (uint32, error) {
	f, err := r.layout.data.root.Open(controlOld)
	if errors.Is(err, fs.ErrNotExist) {
		return math.MaxUint32, nil
	}
	if err != nil {
		return 0, err
	}
	defer func() { _ = f.Close() }()
	b := make([]byte, timelineOffset+4)
	if _, err := io.ReadFull(f, b); err != nil {
		return 0, fmt.Errorf("%s: %w", f.Name(), err)
	}
	if state := binary.NativeEndian.Uint32(b[stateOffset:]); state == stoppedInRecovery || state == inRecovery {
		return math.MaxUint32, nil
	}
	return binary.NativeEndian.Uint32(b[timelineOffset:]), nil
}

// timelineOf is the timeline in the name of a WAL file.
func timelineOf(name string) uint32 {
	n, err := strconv.ParseUint(name[:8], 16, 32)
	if err != nil {
		return 0
	}
	return uint32(n)
}

// unarchived lists the WAL files of a directory without a mark that they are archived, and
// the segments of timelines before the cluster's own, of which the mark says nothing.
func unarchived(p *place, dir string, own uint32) (names []string, size int64, err error) {
	d, err := p.root.Open(dir)
	if err != nil {
		return nil, 0, err
	}
	infos, err := d.Readdir(-1)
	if err = errors.Join(err, d.Close()); err != nil {
		return nil, 0, err
	}
	infos = slices.DeleteFunc(infos, func(i fs.FileInfo) bool { return !i.Mode().IsRegular() || !walName.MatchString(i.Name()) })
	for _, info := range infos {
		if len(info.Name()) >= segmentName { // right after a promotion pg_control does not tell of it yet
			own = max(own, timelineOf(info.Name()))
		}
	}
	for _, info := range infos {
		received := len(info.Name()) >= segmentName && timelineOf(info.Name()) < own
		switch _, err := p.root.Lstat(path.Join(dir, "archive_status", info.Name()+".done")); {
		case errors.Is(err, fs.ErrNotExist), err == nil && received:
			names = append(names, info.Name())
			size += info.Size()
		case err != nil:
			return nil, 0, err
		}
	}
	return names, size, nil
}

// asideDir makes a directory on the file system of from: beside the data directory, or of
// where pg_wal leads; when that is not ours to write to or another file system, in the data directory.
func (r *restoring) asideDir(from string) (string, error) {
	data := r.layout.data.dir
	suffix := ".old-wal-" + time.Now().UTC().Format("20060102T150405.000000Z")
	places := []string{from + suffix, filepath.Join(data, "pg_wal"+suffix)}
	if filepath.Dir(from) == filepath.Clean(data) {
		places[0] = filepath.Clean(data) + suffix
	}
	var all error
	for _, dir := range places {
		err := os.Mkdir(dir, 0o700)
		if err == nil {
			err = sameVolume(from, dir)
			if err == nil {
				return dir, syncPath(filepath.Dir(dir))
			}
			err = errors.Join(err, os.Remove(dir))
		}
		all = errors.Join(all, err)
	}
	return "", fmt.Errorf("move the cluster's old WAL aside: %w", all)
}

func sameVolume(a, b string) error {
	x, err := os.Stat(a)
	if err != nil {
		return err
	}
	y, err := os.Stat(b)
	if err != nil {
		return err
	}
	if device(x) != device(y) {
		return fmt.Errorf("%s and %s lie on different file systems", a, b)
	}
	return nil
}
