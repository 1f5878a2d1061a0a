package wal

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// TestASegmentThatIsStillWrittenIsNotArchived: somebody who tries the command out by hand
// takes the newest file of pg_wal. Half of it in the archive would shut out the whole one
// for ever.
func TestASegmentThatIsStillWrittenIsNotArchived(t *testing.T) {
	in := newInstance(t)
	half := in.init()
	if err := os.Mkdir("pg_wal/archive_status", 0o700); err != nil {
		t.Fatal(err)
	}
	before := in.inArchive()
	in.must(ExitRefused, "archive", "pg_wal/"+seg1)
	if after := in.inArchive(); len(after) != len(before) {
		t.Error("a segment that PostgreSQL still writes is in the archive")
	}
	half[segSize-1]++
	in.write("pg_wal/"+seg1, half)
	in.write("pg_wal/archive_status/"+seg1+".ready", nil)
	in.must(ExitOK, "archive", "pg_wal/"+seg1)
	if err := os.Rename("pg_wal/archive_status/"+seg1+".ready", "pg_wal/archive_status/"+seg1+".done"); err != nil {
		t.Fatal(err)
	}
	in.must(ExitOK, "archive", "pg_wal/"+seg1)
	in.write("pg_wal/00000002.history", []byte("1\t0/1000000\tx\n")) // whole as soon as it is there
	in.must(ExitOK, "archive", "pg_wal/00000002.history")
}

// TestRestoreNeverTakesThePlaceOfAFile: of a segment that a running server writes, above all.
func TestRestoreNeverTakesThePlaceOfAFile(t *testing.T) {
	in := newInstance(t)
	in.init()
	in.must(ExitOK, "archive", "pg_wal/"+seg1)
	newer := segment(t, seg1, 2)
	in.write("pg_wal/"+seg1, newer)
	in.must(ExitUnclear, "restore", "--retries", "0", seg1, "pg_wal/"+seg1)
	in.must(ExitUnclear, "restore", "--retries", "0", seg1, filepath.Join(in.data, "pg_wal", seg1))
	if got, err := os.ReadFile("pg_wal/" + seg1); err != nil || !bytes.Equal(got, newer) {
		t.Errorf("the file that was there is another now (%v)", err)
	}
	if left, _ := filepath.Glob("pg_wal/xlogtemp*"); len(left) > 0 {
		t.Errorf("restore left %v", left)
	}
}
