package posix

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// checkFstab makes sure that what the system's administrator has declared to be mounted above a
// path is: an empty mount point is no target. Where there is no table, or none to read, nothing is known of that.
func checkFstab(path, fstab string) error {
	text, err := os.ReadFile(fstab)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return nil
	}
	if err != nil {
		return err
	}
	point, device := declared(string(text), path, existing(path)) // a look lets automount(8) mount it
	if point == "" {
		return nil
	}
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // read only
	points, err := mountPoints(f)
	if err != nil {
		return err
	}
	at, err := filepath.EvalSymlinks(point)
	if err == nil && slices.Contains(points, at) {
		return nil
	}
	return fmt.Errorf("%s lies below %s, where %s has %s mounted, and nothing is mounted there: mount it (mount %s); until then nothing is written, since it would land on the disk below the mount point, and what is not there is not taken for gone", path, point, fstab, device, point)
}

// declared finds the innermost mount point above one of paths in the text of fstab(5), and
// what is mounted there. The root file system is always there.
func declared(fstab string, paths ...string) (point, device string) {
	for line := range strings.Lines(fstab) {
		f := strings.Fields(line)
		if len(f) < 3 || strings.HasPrefix(f[0], "#") || f[2] == "swap" {
			continue
		}
		p := filepath.Clean(unescape(f[1]))
		if p == "/" || !filepath.IsAbs(p) || len(p) <= len(point) {
			continue
		}
		if slices.ContainsFunc(paths, func(path string) bool { return path == p || strings.HasPrefix(path, p+"/") }) {
			point, device = p, unescape(f[0])
		}
	}
	return point, device
}

// mountPoints are those in the text of /proc/self/mountinfo (proc(5)).
func mountPoints(r io.Reader) (all []string, err error) {
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		f := strings.Fields(lines.Text())
		if len(f) < 5 {
			return nil, errors.New("/proc/self/mountinfo cannot be read")
		}
		all = append(all, unescape(f[4]))
	}
	return all, lines.Err()
}
