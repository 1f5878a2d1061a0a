package lab

import (
	"fmt"
	"path"
	"strings"
)

// filler is the file with which FillDisk takes the space of a small disk.
const filler = ".lab-filler"

// SmallDisk mounts an empty file system of sizeMiB at path in the node. A directory that is there keeps its owner and
// mode. It is a tmpfs: what is on it is gone after PowerOff, as is the mount.
func (n *Node) SmallDisk(path string, sizeMiB int) error {
	_, err := n.Exec("sh", "-euc", `
		mkdir -p "$1"
		mount -t tmpfs -o "size=$2m,mode=$(stat -c %a "$1"),uid=$(stat -c %u "$1"),gid=$(stat -c %g "$1")" tmpfs "$1"`,
		"sh", path, fmt.Sprint(sizeMiB))
	return err
}

// FillDisk takes all space of a small disk but leaveKiB. It refuses anything else: this machine's disk is not ours to fill.
func (n *Node) FillDisk(dir string, leaveKiB int) error {
	fstype, err := n.Exec("stat", "-f", "-c", "%T", dir)
	if err != nil {
		return err
	}
	if strings.TrimSpace(fstype) != "tmpfs" {
		return fmt.Errorf("lab: %s on %s is %s: FillDisk fills a SmallDisk only", dir, n.Name, strings.TrimSpace(fstype))
	}
	_, err = n.Exec("sh", "-euc", `
		free=$(($(stat -f -c '%a * %S / 1024' "$1") - $2))
		[ "$free" -le 0 ] || fallocate -l "${free}KiB" "$1/`+filler+`"`, "sh", dir, fmt.Sprint(leaveKiB))
	return err
}

// FreeDisk gives back what FillDisk took.
func (n *Node) FreeDisk(dir string) error {
	_, err := n.Exec("rm", "-f", path.Join(dir, filler))
	return err
}
