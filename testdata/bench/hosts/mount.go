package hosts

import (
	"fmt"
	"runtime"

	"golang.org/x/sys/unix"
)

// mountInto mounts a directory of this machine in the mount namespace of a process. A path
// of this machine means nothing there, so it goes along as an open file (open_tree(2)).
func mountInto(pid int, dir, at string) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // for good: the thread is left in the other namespace and ends with the goroutine
		done <- func() error {
			tree, err := unix.OpenTree(unix.AT_FDCWD, dir, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
			if err != nil {
				return fmt.Errorf("open_tree %s: %w", dir, err)
			}
			defer unix.Close(tree) //nolint:errcheck // nothing is written through it
			ns, err := unix.Open(fmt.Sprintf("/proc/%d/ns/mnt", pid), unix.O_RDONLY|unix.O_CLOEXEC, 0)
			if err != nil {
				return fmt.Errorf("mount namespace of %d: %w", pid, err)
			}
			defer unix.Close(ns) //nolint:errcheck // as above
			if err := unix.Unshare(unix.CLONE_FS); err != nil {
				return fmt.Errorf("unshare: %w", err)
			}
			if err := unix.Setns(ns, unix.CLONE_NEWNS); err != nil {
				return fmt.Errorf("setns: %w", err)
			}
			if err := unix.MoveMount(tree, "", unix.AT_FDCWD, at, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
				return fmt.Errorf("mount %s at %s: %w", dir, at, err)
			}
			return nil
		}()
	}()
	return <-done
}
