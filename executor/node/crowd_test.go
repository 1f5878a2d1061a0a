package node_test

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"pg_manage/executor/node"
	"pg_manage/planner"
)

// TestBackupsExpiryRestoreAndVerifyAllAtOnce runs two writers, an expiry, restores, a verify and
// somebody who lists, each in processes of their own, over one catalogue.
func TestBackupsExpiryRestoreAndVerifyAllAtOnce(t *testing.T) {
	t.Parallel()
	for _, scheme := range []string{"file", "ssh"} {
		t.Run(scheme, func(t *testing.T) {
			t.Parallel()
			l := newLive(t)
			if scheme == "ssh" {
				l.target = sshd(t, l.pg, l.target)
			}
			l.take("node1", false)
			l.take("node1", true)
			c := &crowd{live: l}
			load := l.pg.Command(l.pg.Bin+"/pgbench", "-h", l.pg.Root, "-U", "postgres", "-n", "-R", "50", "-T", "3600", "postgres")
			if err := load.Start(); err != nil {
				t.Fatal(err)
			}
			defer load.Wait()         //nolint:errcheck // killed
			defer load.Process.Kill() //nolint:errcheck // it may have ended
			for round := range 3 {
				c.round(round)
				l.allSound()
				l.restored(c.newest, filepath.Join(l.pg.Root, "sample"))
				if t.Failed() {
					t.Fatalf("round %d", round)
				}
				t.Logf("round %d: %d backups", round, len(c.labels()))
			}
			t.Logf("taken %d, removed %d, restored %d, refused: %q", c.taken, c.removed, c.restores, c.refused)
			if c.taken < 3 || c.removed == 0 || c.restores == 0 {
				t.Error("not all of them got anything done")
			}
		})
	}
}

// crowd is all that happens at once.
type crowd struct {
	*live
	newest string // whole, as last seen

	mu                       sync.Mutex
	taken, removed, restores int
	refused                  []string // what was said for not doing it
}

func (c *crowd) round(n int) {
	before := c.seen(c.catalog())
	var all sync.WaitGroup
	for i, name := range []string{"node1", "node2"} {
		all.Go(func() { c.backup(name, (n+i)%2 == 1) })
	}
	all.Go(func() { c.expire() })
	for i := range 2 {
		label := before[rand.IntN(len(before))]
		all.Go(func() { c.restore(label, filepath.Join(c.pg.Root, fmt.Sprintf("restored%d", i))) })
	}
	label := before[rand.IntN(len(before))]
	all.Go(func() { c.verify(label) })
	over := make(chan struct{})
	go func() { all.Wait(); close(over) }()
	for done := false; !done; {
		select {
		case <-over:
			done = true
		default:
		}
		c.seen(c.catalog())
	}
}

// seen looks at a list: the newest whole backup must never go.
func (c *crowd) seen(f planner.CatalogFact) []string {
	labels := labelsOf(f)
	if len(labels) == 0 || c.newest != "" && !slices.Contains(labels, c.newest) && !slices.ContainsFunc(labels, func(l string) bool { return l > c.newest }) {
		c.t.Errorf("%s was the newest whole backup, and now there are %q", c.newest, labels)
		return labels
	}
	c.newest = labels[len(labels)-1]
	return labels
}

func (c *crowd) count(n *int, by int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	*n += by
}

// refuse takes note of an error, which must be one of those that are right here.
func (c *crowd) refuse(p *call, right ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refused = append(c.refused, p.command+": "+p.said())
	if !slices.ContainsFunc(right, func(r string) bool { return strings.Contains(p.said(), r) }) {
		c.t.Errorf("%s: %v: %s\n%s", p.command, p.err, p.said(), p.stdout.String())
	}
}

func (c *crowd) backup(name string, incremental bool) {
	p := c.start("backup", c.backupRequest(name, incremental)).wait(nil)
	if p.err == nil {
		c.count(&c.taken, 1)
		return
	}
	c.refuse(p, "its parent") // which went meanwhile
}

// expire removes all but the two newest, children before their parents.
func (c *crowd) expire() {
	labels := c.labels()
	if len(labels) < 3 {
		return
	}
	old := labels[:len(labels)-2]
	slices.Reverse(old)
	for _, label := range old { // each by itself, as one that is needed stays with all behind it
		var res node.ExpireResult
		p := c.start("expire", node.ExpireRequest{Version: node.Version, Place: c.place(), Labels: []string{label}, StateDir: c.state("expirer")}).wait(&res)
		if p.err != nil {
			c.refuse(p, "builds on it")
		}
		c.count(&c.removed, len(res.Removed))
	}
}

// restore restores what may be removed meanwhile.
func (c *crowd) restore(label, dir string) {
	r := c.restoreRequest(label, dir)
	r.StateDir = c.state(filepath.Base(dir))
	p := c.start("restore", r).wait(nil)
	if p.err == nil {
		c.whole(dir)
		c.count(&c.restores, 1)
	} else {
		c.unstartable(dir)
		c.refuse(p, "was removed while it was restored")
	}
	c.drop(dir)
}

func (c *crowd) verify(label string) {
	var res node.VerifyResult
	p := c.start("verify", c.verifyRequest(label)).wait(&res)
	if p.err != nil {
		c.refuse(p, "was removed", "there is no backup.json")
		if slices.Contains(c.labels(), label) {
			c.t.Errorf("%s is there: %+v", label, res)
		}
	}
}
