package recovery

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestADrillLeavesTheTablespacesOfTheSourceAlone lets the WAL make a tablespace whose
// directory on this node is the one that the source works with.
func TestADrillLeavesTheTablespacesOfTheSourceAlone(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	live := b.Mkdir(b.Root + "/live")
	b.SQL("create tablespace young location '" + live + "'")
	b.SQL("create table v tablespace young as select i, md5(i::text) x from generate_series(1, 1000) i")
	b.SQL("create unlogged table w tablespace young as select * from v")
	segment := b.SQL("select pg_walfile_name(pg_switch_wal())")
	for end := time.Now().Add(time.Minute); b.SQL("select last_archived_wal >= '"+segment+"' from pg_stat_archiver") != "t"; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal(segment + " was not archived")
		}
	}
	b.SQL("update v set x = 'after'")
	b.SQL("checkpoint")
	before := sums(t, live)
	a := b.drill(func(o *Options) { o.Latest = true })
	if after := sums(t, live); after != before {
		t.Errorf("the drill has written to the source's tablespace:\n%s\nbefore:\n%s", after, before)
	}
	if !strings.Contains(a.Error, "makes a tablespace") {
		t.Errorf("%+v %+v", a, a.Result)
	}
	b.gone()
	if got := b.SQL("select count(*) from v where x = 'after'"); got != "1000" {
		t.Errorf("the source has %s rows", got)
	}
}

// TestADrillDoesNothingOfWhatTheSourceDoesByItself: a subscription of the source would take
// from its publisher what is the source's.
func TestADrillDoesNothingOfWhatTheSourceDoesByItself(t *testing.T) {
	t.Parallel()
	login := `do $a$ begin if current_setting('server_version_num')::int >= 170000 then
execute 'create function f() returns event_trigger language plpgsql as $b$ begin raise log $c$login trigger$c$; end $b$';
execute 'create event trigger e on login execute function f()'; end if; end $a$`
	b := newBench(t, login, "create subscription sub connection 'host=/nowhere dbname=postgres' publication p with (connect = false)", "alter subscription sub enable")
	a := b.drill(func(o *Options) { o.Keep = true })
	if a.Error != "" || len(a.Result.Problems) > 0 {
		t.Fatalf("%+v %+v", a, a.Result)
	}
	log := read(t, a.Result.Scratch, logName)
	if !strings.Contains(log, "database system is ready to accept connections") || strings.Contains(log, "logical replication") || strings.Contains(log, "login trigger") {
		t.Error(log)
	}
}

// sums lists all files below a directory with what they hold.
func sums(t *testing.T, dir string) (text string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		text += fmt.Sprintf("%s %d %x\n", path, len(b), sha256.Sum256(b))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return text
}
