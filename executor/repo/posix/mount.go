package posix

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// checkMount makes sure that a path lies on a mounted share of the scheme's kind.
func checkMount(path, scheme string) error {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // read only
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		// Nothing to resolve yet: the deepest directory that is there decides.
		real = existing(path)
	}
	return checkMountInfo(f, real, scheme)
}

func existing(path string) string {
	for {
		if real, err := filepath.EvalSymlinks(path); err == nil {
			return real
		}
		if parent := filepath.Dir(path); parent != path {
			path = parent
			continue
		}
		return path
	}
}

// checkMountInfo finds the mount that holds path in the text of /proc/self/mountinfo
// (proc(5)): the longest mount point, and of several on the same one the last.
func checkMountInfo(r io.Reader, path, scheme string) error {
	var point, fstype string
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		before, after, ok := strings.Cut(lines.Text(), " - ")
		f, g := strings.Fields(before), strings.Fields(after)
		if !ok || len(f) < 5 || len(g) < 1 {
			return errors.New("/proc/self/mountinfo cannot be read")
		}
		p := unescape(f[4])
		if len(p) >= len(point) && (p == "/" || path == p || strings.HasPrefix(path, p+"/")) {
			point, fstype = p, g[0]
		}
	}
	if err := lines.Err(); err != nil {
		return err
	}
	var want []string
	switch scheme {
	case "nfs":
		want = []string{"nfs", "nfs4"}
	case "cifs":
		want = []string{"cifs", "smb3", "smbfs"}
	default:
		return fmt.Errorf("unknown kind of share %q", scheme)
	}
	for _, w := range want {
		if fstype == w {
			return nil
		}
	}
	return fmt.Errorf("%s does not lie on a mounted %s share (%s is mounted at %s): mount the share; until then nothing is written, since it would land on the disk below the mount point", path, scheme, fstype, point)
}

// unescape reads the octal escapes of /proc/self/mountinfo, such as \040 for a space.
func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if v, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(v))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
