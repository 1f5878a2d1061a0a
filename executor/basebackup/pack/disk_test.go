package pack

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// disk is a file system of its own, on a file.
type disk struct {
	t                    *testing.T
	image, device, point string
}

func newDisk(t *testing.T) *disk {
	t.Helper()
	dir := t.TempDir()
	d := &disk{t: t, image: filepath.Join(dir, "image"), point: filepath.Join(dir, "disk")}
	if err := os.Mkdir(d.point, 0o700); err != nil {
		t.Fatal(err)
	}
	d.run("truncate", "-s", "32M", d.image)
	d.run("mkfs.ext4", "-q", "-b", "4096", "-F", d.image)
	d.device = d.run("losetup", "-f", "--show", d.image)
	t.Cleanup(func() { d.run("losetup", "-d", d.device) })
	d.mount()
	t.Cleanup(func() { unix.Unmount(d.point, unix.MNT_DETACH) }) //nolint:errcheck // a temporary directory
	return d
}

func (d *disk) run(name string, args ...string) string {
	d.t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		d.t.Fatalf("%s (Debian: e2fsprogs, mount; and root): %v: %s", name, err, out)
	}
	return strings.TrimSpace(string(out))
}

func (d *disk) mount() {
	d.t.Helper()
	if err := unix.Mount(d.device, d.point, "ext4", 0, ""); err != nil {
		d.t.Fatalf("mounting %s: %v", d.device, err)
	}
}

// spoil makes the disk fail to read the end of a file, and all that lies behind it.
func (d *disk) spoil(name string) {
	d.t.Helper()
	list := d.run("filefrag", "-b4096", "-v", name)
	all := regexp.MustCompile(`(?m)^ *\d+: +(\d+)\.\. +(\d+): +(\d+)\.\.`).FindAllStringSubmatch(list, -1)
	if len(all) == 0 {
		d.t.Fatalf("filefrag says %s", list)
	}
	var last int64 // block, where the run that lies behind all others has its middle
	for _, run := range all {
		var n [3]int64
		for i := range n {
			n[i], _ = strconv.ParseInt(run[i+1], 10, 64) // digits
		}
		last = max(last, n[2]+(n[1]-n[0])/2)
	}
	if err := unix.Unmount(d.point, 0); err != nil { // so that nothing of it is in memory
		d.t.Fatal(err)
	}
	d.mount()
	if err := os.Truncate(d.image, last*4096); err != nil {
		d.t.Fatal(err)
	}
	if _, err := os.ReadFile(name); !errors.Is(err, unix.EIO) {
		d.t.Fatalf("the disk can be read: %v", err)
	}
}

// TestFileThatTheDiskCannotReadEndsTheBackup has a disk that gives EIO.
func TestFileThatTheDiskCannotReadEndsTheBackup(t *testing.T) {
	disk := newDisk(t)
	d := newDirAt(t, filepath.Join(disk.point, "data"))
	disk.run("sync", "-f", disk.point) // so that the rest lies before it
	d.write("base/5/16384", noise(24<<20, 1))
	disk.spoil(d.path + "/base/5/16384")
	s := newStore(t, "zstd")
	p, err := New(context.Background(), d.options(s))
	if err != nil {
		t.Fatal(err)
	}
	err = p.Files(context.Background())
	if !errors.Is(err, unix.EIO) || !strings.Contains(err.Error(), d.path+"/base/5/16384") {
		t.Errorf("got %v", err)
	}
	p.Abort()
}
