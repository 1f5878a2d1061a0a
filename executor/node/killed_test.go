package node_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"pg_manage/executor/node"
)

// moments are how far a command has got when it is ended, in parts of all that it changes.
func moments() []float64 { return []float64{0.01, 0.35, 0.7, 0.97} }

// signals end a command: the one lets it tidy up, the other does not.
func signals() []syscall.Signal { return []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} }

// extent measures what lies below a directory: files, and what is in them.
func extent(dir string) float64 {
	var sum float64
	filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error { //nolint:errcheck // what goes meanwhile counts no more
		if err == nil && !d.IsDir() {
			sum += 4096
			if i, err := d.Info(); err == nil {
				sum += float64(i.Size())
			}
		}
		return nil
	})
	return sum
}

// end sends a signal once something is so. It says whether it came to that, or the command
// had ended before.
func (c *call) end(sig syscall.Signal, when func() bool) bool {
	c.l.t.Helper()
	over := make(chan struct{})
	go func() {
		c.wait(nil)
		close(over)
	}()
	for !when() {
		select {
		case <-over:
			return false
		case <-time.After(time.Millisecond): // so that the command gets on, too
		}
	}
	c.cmd.Process.Signal(sig) //nolint:errcheck // it may have ended just now
	<-over
	return c.err != nil
}

// changed says when a directory has changed so much.
func changed(dir string, change float64) func() bool {
	before := extent(dir)
	return func() bool {
		now := extent(dir)
		return max(now-before, before-now) >= change
	}
}

// reads says when a command has a part of a backup open.
func (c *call) reads() bool {
	fds, err := filepath.Glob("/proc/" + strconv.Itoa(c.cmd.Process.Pid) + "/fd/*")
	if err != nil {
		return false
	}
	return slices.ContainsFunc(fds, func(fd string) bool {
		to, err := os.Readlink(fd)
		return err == nil && strings.Contains(to, "/part-")
	})
}

// left are the files of backups that are not complete.
func (l *live) left() (all []string) {
	l.t.Helper()
	dirs, err := os.ReadDir(l.dir())
	if err != nil {
		l.t.Fatal(err)
	}
	for _, d := range dirs {
		if _, err := os.Stat(filepath.Join(l.dir(), d.Name(), "backup.json")); err != nil {
			files, err := filepath.Glob(filepath.Join(l.dir(), d.Name(), "*"))
			if err != nil {
				l.t.Fatal(err)
			}
			all = append(all, files...)
		}
	}
	return all
}

// each runs a test for every signal and every moment.
func each(f func(name string, sig syscall.Signal, moment float64)) {
	for _, sig := range signals() {
		for _, m := range moments() {
			f(sig.String(), sig, m)
		}
	}
}

func TestABackupThatIsEndedAtAnyMomentIsNone(t *testing.T) {
	t.Parallel()
	l := newLive(t)
	before := extent(l.pg.Root + "/target")
	l.take("node1", false)
	size := extent(l.pg.Root+"/target") - before
	ended := 0
	each(func(name string, sig syscall.Signal, moment float64) {
		was, left := l.labels(), l.left()
		reached := changed(l.pg.Root+"/target", moment*size)
		c := l.start("backup", l.backupRequest("node1", false))
		if c.end(sig, reached) {
			ended++
			// The signal may have come when all was done.
			if now := l.labels(); len(now) > len(was)+1 || !slices.Equal(now[:len(was)], was) {
				t.Errorf("%s at %v: the backups were %q and are %q", name, moment, was, now)
			}
		}
		if now := l.left(); sig == syscall.SIGTERM && !slices.Equal(now, left) {
			t.Errorf("%s at %v: left are %q, and it said %s", name, moment, now, c.said())
		}
		l.idle()
	})
	if ended < 4 {
		t.Errorf("only %d backups were ended", ended)
	}
	l.take("node1", true)
	l.allSound()
	newest := l.labels()
	l.restored(newest[len(newest)-1], filepath.Join(l.pg.Root, "restored"))
}

func TestARestoreThatIsEndedAtAnyMomentIsTakenUp(t *testing.T) {
	t.Parallel()
	l := newLive(t)
	l.take("node1", false)
	l.pg.SQL("UPDATE pgbench_accounts SET abalance = 1 WHERE aid % 100 = 0")
	label := l.take("node1", true)
	dir := filepath.Join(l.pg.Root, "restored")
	l.start("restore", l.restoreRequest(label, dir)).wait(nil).ok()
	size := extent(dir)
	l.drop(dir)
	ended := 0
	each(func(name string, sig syscall.Signal, moment float64) {
		c := l.start("restore", l.restoreRequest(label, dir))
		if c.end(sig, changed(dir, moment*size)) {
			ended++
			l.unstartable(dir)
			if sig == syscall.SIGTERM && c.said() == "" {
				t.Errorf("at %v it ended without a word", moment)
			}
			c := l.start("restore", l.restoreRequest(label, dir)).wait(nil)
			if c.ok(); c.err != nil {
				t.Fatalf("%s at %v", name, moment)
			}
		}
		l.whole(dir)
		l.drop(dir)
	})
	if ended < 4 {
		t.Errorf("only %d restores were ended", ended)
	}
}

func TestAnExpiryThatIsEndedAtAnyMomentLeavesWhatIsListedWhole(t *testing.T) {
	t.Parallel()
	l := newLive(t)
	ended := 0
	each(func(name string, sig syscall.Signal, moment float64) {
		for range 2 {
			l.take("node1", false)
			l.take("node1", true)
		}
		all := l.labels()
		old := slices.Clone(all[:len(all)-2])
		slices.Reverse(old)
		var size float64
		for _, label := range old {
			size += extent(filepath.Join(l.dir(), label))
		}
		r := node.ExpireRequest{Version: node.Version, Place: l.place(), Labels: old, StateDir: l.state("expirer")}
		reached := changed(l.dir(), moment*size)
		if l.start("expire", r).end(sig, reached) {
			ended++
		}
		if now := l.labels(); !has(now, all[len(all)-2:]...) {
			t.Errorf("%s at %v: left are %q of %q", name, moment, now, all)
		}
		l.allSound()
		l.start("expire", r).wait(nil).ok()
		if now := l.labels(); !slices.Equal(now, all[len(all)-2:]) {
			t.Errorf("%s at %v: the second expiry left %q of %q", name, moment, now, all)
		}
		if left := l.left(); len(left) > 0 {
			t.Errorf("%s at %v: the second expiry left %q", name, moment, left)
		}
	})
	t.Logf("%d expiries were ended", ended)
}

func TestAVerifyThatIsEndedFindsNoDamage(t *testing.T) {
	t.Parallel()
	l := newLive(t)
	l.take("node1", false)
	label := l.take("node1", true)
	before := l.left()
	for _, sig := range signals() {
		ended := false
		for range 50 { // it is quick
			c := l.start("verify", l.verifyRequest(label))
			if ended = c.end(sig, c.reads); ended {
				if c.stdout.Len() > 0 || strings.Contains(c.said(), "damaged") {
					t.Errorf("%s: it said %s and %s", sig, c.said(), c.stdout.String())
				}
				break
			}
			c.ok()
		}
		if !ended {
			t.Errorf("%s came too late each time", sig)
		}
	}
	if after := l.left(); !slices.Equal(after, before) {
		t.Errorf("left are %q", after)
	}
	l.allSound()
}
