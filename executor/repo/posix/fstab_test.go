package posix

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pg_manage/executor/repo/storage"
)

// TestAnEmptyMountPointIsNoTarget: a disk of its own that is declared in fstab, and is not mounted.
func TestAnEmptyMountPointIsNoTarget(t *testing.T) {
	dir := t.TempDir()
	disk, link := filepath.Join(dir, "the disk"), filepath.Join(dir, "link")
	root := filepath.Join(disk, "backups")
	if err := os.Mkdir(disk, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(disk, link); err != nil {
		t.Fatal(err)
	}
	for what, named := range map[string]string{"as it is": disk, "by a link": link} {
		t.Run(what, func(t *testing.T) {
			fstab := filepath.Join(t.TempDir(), "fstab")
			text := "# a comment\n/dev/vda1 / ext4 defaults 0 1\n/dev/vda2 none swap sw 0 0\n/dev/vdb1 " + strings.ReplaceAll(named, " ", `\040`) + " ext4 defaults 0 2\nother:/x /elsewhere nfs defaults 0 0\n"
			if err := os.WriteFile(fstab, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			unmount := tmpfs(t, disk, "size=4m")
			s := open(t, filepath.Join(named, "backups"))
			s.fstab = fstab
			if err := s.Put(t.Context(), "a/b", bytes.NewBufferString("text")); err != nil {
				t.Fatal(err)
			}
			unmount()
			_, errList := s.List(t.Context(), "a")
			_, errOpen := s.Open(t.Context(), "a/b")
			_, errStat := s.Stat(t.Context(), "a/b")
			for op, err := range map[string]error{"Put": s.Put(t.Context(), "a/c", bytes.NewBufferString("text")), "List": errList, "Open": errOpen, "Stat": errStat} {
				if err == nil || errors.Is(err, storage.ErrNotExist) || !strings.Contains(err.Error(), "nothing is mounted there: mount it") {
					t.Errorf("%s: %v", op, err)
				}
			}
			if _, err := os.Lstat(root); err == nil {
				t.Error("something was made below the mount point")
			}
		})
	}
	// One that is in no table is a directory like any other.
	s := open(t, root)
	if err := s.Put(t.Context(), "a/b", bytes.NewBufferString("text")); err != nil {
		t.Fatal(err)
	}
}
