package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"

	"pg_manage/testdata/bench/hosts"
	"pg_manage/testdata/bench/table"
)

// archiverWorkers is how many workers the archiver has whose memory is measured.
const archiverWorkers = 4

// memory measures what the background archiver takes while it drains the backlog, and
// what it holds on to over many segments.
func (s *site) memory() error {
	const what = "f  archiver, peak of a drain with 4 workers"
	if !s.hasArchiver() {
		s.report.NotMeasured(what, "< 100 MB", "this hook has no archiver")
		return nil
	}
	var peak uint64
	_, err := s.drain(s.ours(hosts.Dir+"/memory", false, archiverWorkers), func() error {
		pid, err := s.archiver()
		if err != nil {
			return err
		}
		if peak = hosts.Memory(pid, "VmHWM"); peak == 0 {
			return fmt.Errorf("no VmHWM of process %d", pid)
		}
		return nil
	})
	if err != nil {
		return err
	}
	s.report.Row(what, "< 100 MB", table.Megabytes(peak), fmt.Sprintf("VmHWM after %d segments", len(s.backlog)))
	return s.manyCalls()
}

// state is what a process holds.
type state struct {
	files, threads int
	rss            uint64
}

func stateOf(pid int) state {
	return state{files: hosts.OpenFiles(pid), threads: hosts.Threads(pid), rss: hosts.Memory(pid, "VmRSS")}
}

func (st state) String() string {
	return fmt.Sprintf("%d files, %d threads, %s", st.files, st.threads, table.Megabytes(st.rss))
}

// manyCalls archives many small segments, a call each, and looks at the archiver after
// the first 1,000 and at the end.
func (s *site) manyCalls() error {
	if err := os.RemoveAll(s.Path(dataDir)); err != nil {
		return err
	}
	if _, err := s.Run(hosts.PgBin+"/initdb", "-D", dataDir, "--auth=trust", "--wal-segsize=1", "--no-sync"); err != nil {
		return err
	}
	c := s.ours(hosts.Dir+"/calls", false, archiverWorkers)
	if err := c.reset(); err != nil {
		return err
	}
	maker, err := s.newSegmentMaker()
	if err != nil {
		return err
	}
	const ahead = 50
	var all []segment
	var early state
	var pid int
	for i := range s.calls + ahead {
		if i < s.calls {
			g, err := maker.segment()
			if err != nil {
				return err
			}
			all = append(all, g)
		}
		done := i - ahead
		if done < 0 {
			continue
		}
		g := all[done]
		if _, err := s.caller.call(command(c.archive, g)); err != nil {
			return err
		}
		if err := errors.Join(s.mark(g, "done"), os.Remove(s.Path(dataDir+"/pg_wal/"+g.name))); err != nil {
			return err
		}
		if done+1 == 1000 {
			if pid, err = s.archiver(); err != nil {
				return err
			}
			early = stateOf(pid)
		}
	}
	late := stateOf(pid)
	if now, err := s.archiver(); err != nil || now != pid {
		return errors.Join(fmt.Errorf("the archiver that was there after 1,000 calls (process %d) isn't any more: process %d", pid, now), err)
	}
	if err := c.verify(all); err != nil {
		return err
	}
	s.report.Row(fmt.Sprintf("f  archiver after %d calls / after 1,000", s.calls), "no growth", fmt.Sprintf("%+d files, %.2fx memory", late.files-early.files, float64(late.rss)/float64(early.rss)),
		fmt.Sprintf("after 1,000: %s; at the end: %s", early, late))
	return c.ended()
}

// segmentMaker makes segments of an instance that never ran: the beginning of its last
// one, which has its system identifier, with another address (access/xlog_internal.h,
// XLogPageHeaderData: xlp_pageaddr is the 8 bytes at 8), and the rest a hole.
type segmentMaker struct {
	wal      string
	uid, gid int
	size     int64
	head     []byte
	next     uint64 // number of the next segment
}

func (s *site) newSegmentMaker() (*segmentMaker, error) {
	m := &segmentMaker{wal: s.Path(dataDir + "/pg_wal"), size: 1 << 20, head: make([]byte, 64<<10)}
	own, err := filepath.Glob(m.wal + "/00000001*")
	if err != nil || len(own) == 0 {
		return nil, errors.Join(fmt.Errorf("no segment lies in %s", m.wal), err)
	}
	last := own[len(own)-1]
	var log, seg uint64
	if _, err := fmt.Sscanf(filepath.Base(last), "00000001%08X%08X", &log, &seg); err != nil {
		return nil, fmt.Errorf("%s: %w", last, err)
	}
	m.next = log<<12 + seg + 1
	f, err := os.Open(last)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // read only
	if _, err := io.ReadFull(f, m.head); err != nil {
		return nil, err
	}
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	sys, ok := st.Sys().(*syscall.Stat_t)
	if !ok || st.Size() != m.size {
		return nil, fmt.Errorf("%s is no segment of 1 MiB", f.Name())
	}
	m.uid, m.gid = int(sys.Uid), int(sys.Gid)
	return m, nil
}

// segment makes the next one, which waits to be archived.
func (m *segmentMaker) segment() (segment, error) {
	g := segment{name: fmt.Sprintf("%08X%08X%08X", 1, m.next>>12, m.next&0xFFF)}
	binary.NativeEndian.PutUint64(m.head[8:], m.next<<20)
	m.next++
	name, ready := m.wal+"/"+g.name, m.wal+"/archive_status/"+g.name+".ready"
	err := errors.Join(os.WriteFile(name, m.head, 0o600), os.Truncate(name, m.size), os.Chown(name, m.uid, m.gid))
	if err != nil {
		return g, err
	}
	if g.sum, err = sumFile(name); err != nil {
		return g, err
	}
	return g, errors.Join(os.WriteFile(ready, nil, 0o600), os.Chown(ready, m.uid, m.gid))
}
