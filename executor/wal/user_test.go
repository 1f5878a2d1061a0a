package wal

import (
	"os"
	"strings"
	"testing"
)

// TestAnotherUserIsRefused: root must not leave files that the instance's user cannot touch.
func TestAnotherUserIsRefused(t *testing.T) {
	if os.Getuid() != 0 {
		t.Log("giving a directory to another user needs root")
		return
	}
	in := newInstance(t)
	in.init()
	in.must(ExitOK, "archive", "pg_wal/"+seg1)
	if err := os.Chown(in.data, 65534, 65534); err != nil {
		t.Fatal(err)
	}
	before := len(in.inArchive())
	in.write("pg_wal/"+seg2, segment(t, seg2, 2))
	for _, args := range [][]string{{"archive", "pg_wal/" + seg2}, {"init"}, {"check"}, {"push-missing"}, {"cleanup", seg2}} {
		if said := in.must(ExitRefused, args...); !strings.Contains(said, "sudo -u") {
			t.Error(said)
		}
	}
	in.must(ExitUnclear, "restore", "--retries", "0", seg1, "pg_wal/RECOVERYXLOG")
	if now := len(in.inArchive()); now != before {
		t.Errorf("%d files were left at the target", now-before)
	}
	in.must(ExitOK, "status")
	if err := os.Chown(in.config, 65534, 65534); err != nil {
		t.Fatal(err)
	}
	if said := in.must(ExitRefused, "archive", "pg_wal/"+seg2); !strings.Contains(said, "sudo -u nobody before") {
		t.Errorf("root is told, of a file that is as it must be: %s", said)
	}
}
