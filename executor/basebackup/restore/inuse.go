package restore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"
)

// refuseUsed fails when a server that runs on another data directory has a tablespace or its
// WAL in a place. The links of a copy of a data directory lead to where the original has them,
// and in the copy nothing tells of its server. A stopped server cannot be found so.
func refuseUsed(p *place) error {
	var here unix.Stat_t
	if err := unix.Fstat(int(p.top.Fd()), &here); err != nil {
		return fmt.Errorf("is a server using %s: %w", p.dir, err)
	}
	procs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return err
	}
	slices.Sort(procs)
	seen := map[[2]uint64]bool{}
	for _, proc := range procs {
		pid, err := strconv.Atoi(filepath.Base(proc))
		if err != nil || pid == os.Getpid() {
			continue
		}
		// A server of another user cannot use what is ours, and may not be looked at.
		var works unix.Stat_t
		cwd := proc + "/cwd"
		if unix.Stat(cwd, &works) != nil || seen[[2]uint64{works.Dev, works.Ino}] {
			continue
		}
		seen[[2]uint64{works.Dev, works.Ino}] = true
		// Backends outlive a postmaster that was killed, so whose number it has is not asked.
		if _, err := os.Stat(cwd + "/" + pidFile); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		links, err := filepath.Glob(cwd + "/pg_tblspc/[0-9]*")
		if err != nil {
			return err
		}
		for _, link := range append(links, cwd+"/"+walDir) {
			if leadsTo(proc, link, here) {
				dir, err := os.Readlink(cwd)
				if err != nil {
					dir = cwd
				}
				return fmt.Errorf("%s, %s, is in use by the server that runs on %s (process %d): name another directory for it, or stop that server, if what it has there is not needed", p.what, p.dir, dir, pid)
			}
		}
	}
	return nil
}

// leadsTo says whether a link of a process's directory leads to a place, as we or as the
// process see the paths: it may have another root.
func leadsTo(proc, link string, here unix.Stat_t) bool {
	same := func(path string) bool {
		var st unix.Stat_t
		return unix.Stat(path, &st) == nil && st.Dev == here.Dev && st.Ino == here.Ino
	}
	if same(link) {
		return true
	}
	to, err := os.Readlink(link)
	return err == nil && filepath.IsAbs(to) && same(proc+"/root"+to)
}
