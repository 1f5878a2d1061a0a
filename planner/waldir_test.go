package planner

import (
	"slices"
	"strings"
	"testing"
)

// TestWALStaysOnTheDiskThatItWasOn: of restored and of rebuilt nodes, beside the old WAL, which
// is not touched.
func TestWALStaysOnTheDiskThatItWasOn(t *testing.T) {
	c, w := after(threeBackedUp, backInTime, nil)(t)
	for _, mount := range []bool{false, true} {
		seen := w.observe(c)
		for _, f := range seen.Clusters[c.Name].Nodes {
			f.Data.WALDir, f.Data.WALMount = "/wal/main.restored-20250101T000000Z", mount
		}
		opts := testOptions()
		opts.Now, opts.Restore = w.clock, w.restore
		p := New(config(c), seen, opts)
		at := opts.Now.UTC().Format("20060102T150405Z")
		for id, want := range map[string]string{"main/node1/restore-backup": "/wal/main.restored-" + at, "main/node2/build-standby": "/wal/main.rebuilt-" + at} {
			s := p.Step(id)
			if s == nil {
				t.Fatalf("no %s in %v", id, steps(p))
			}
			got := ""
			switch d := s.Detail.(type) {
			case RestoreDetail:
				got = d.WALDir
			case BuildDetail:
				if got = d.WALDir; !strings.Contains(s.Commands[0], "--waldir="+want) {
					t.Errorf("%s: %v", id, s.Commands)
				}
			}
			if shown := slices.ContainsFunc(s.Changes, func(c Change) bool {
				return c.Name == "pg_wal" && c.After == want && c.Before == "/wal/main.restored-20250101T000000Z"
			}); got != want || !shown {
				t.Errorf("%s: %q, %+v", id, got, s.Changes)
			}
			if (s.Blocked != "") != mount || mount && !strings.Contains(s.Blocked, "mount point") {
				t.Errorf("%s: blocked %q", id, s.Blocked)
			}
		}
	}
	w.restore.Delta = true // goes over what is there, links and all
	seen := w.observe(c)
	seen.Clusters[c.Name].Nodes["node1"].Data.WALDir = "/wal/main"
	opts := testOptions()
	opts.Now, opts.Restore = w.clock, w.restore
	if s := New(config(c), seen, opts).Step("main/node1/restore-backup"); s == nil || s.Detail.(RestoreDetail).WALDir != "" {
		t.Errorf("%+v", s)
	}
}
