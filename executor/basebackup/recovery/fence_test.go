package recovery

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pg_manage/executor/basebackup/pgtest"
)

// TestARecoveryStopsAtATablespaceThatIsNewerThanTheBackup: replay would link it to where the
// live server has it.
func TestARecoveryStopsAtATablespaceThatIsNewerThanTheBackup(t *testing.T) {
	t.Parallel()
	s := pgtest.New(t)
	in, space, gone := s.Mkdir(s.Root+"/in"), s.Mkdir(s.Root+"/space"), s.Mkdir(s.Root+"/gone")
	s.Configure(fmt.Sprintf("archive_mode = on\narchive_command = 'cp %%p %[1]s/.new && mv %[1]s/.new %[1]s/%%f'\n", in))
	s.Start(s.Data)
	s.SQL("create tablespace gone location '" + gone + "'")
	s.Run(s.Bin+"/pg_basebackup", "-h", s.Root, "-U", "postgres", "-D", s.Root+"/copy", "-X", "none", "-c", "fast", "-T", gone+"="+s.Root+"/gone2")
	s.SQL("drop tablespace gone")
	s.SQL("create table before ()")
	s.SQL("select pg_create_restore_point('before')")
	s.SQL("create tablespace late location '" + space + "'")
	s.SQL("create table t tablespace late as select generate_series(1, 1000) i")
	last := s.SQL("select pg_walfile_name(pg_switch_wal())")
	for end := time.Now().Add(time.Minute); !there(in, last); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal(last, " was not archived")
		}
	}
	s.Stop(s.Data)
	s.Run("sed", "-i", "s/^archive_mode = on/archive_mode = off/", s.Root+"/copy/postgresql.conf")
	before := sums(t, space)
	prepare := func(target Target) string {
		data := s.Root + "/again"
		s.Run("sh", "-c", "[ ! -e "+data+" ] || { chmod -R u+w "+data+" && rm -rf "+data+"; }; cp -a "+s.Root+"/copy "+data)
		if err := Write(data, Settings{Target: target, RestoreCommand: "cp '" + in + "'/%f %p", Fenced: true}); err != nil {
			t.Fatal(err)
		}
		own(s, data)
		return data
	}
	data := prepare(Target{})
	s.Run("truncate", "-s", "0", s.Root+"/log")
	start := s.Command(s.Bin+"/pg_ctl", "-D", data, "-W", "-l", s.Root+"/log", "-o", "-k "+s.Root+" -c listen_addresses= -c fsync=off", "start")
	if err := start.Run(); err != nil {
		t.Fatal(err)
	}
	log := ""
	for end := time.Now().Add(time.Minute); !strings.Contains(log, "database system is shut down"); time.Sleep(20 * time.Millisecond) {
		if log = read(t, s.Root, "log"); strings.Contains(log, "archive recovery complete") || time.Now().After(end) {
			s.Stop(data)
			t.Fatalf("it goes past the tablespace: %s", log)
		}
	}
	if !strings.Contains(log, "Permission denied") || !strings.Contains(log, "Tablespace/CREATE") {
		t.Error(log)
	}
	if after := sums(t, space); after != before {
		t.Errorf("the live files are others:\n%s\nbefore:\n%s", after, before)
	}
	// Up to there it gets, and the link of the tablespace that was dropped goes.
	data = prepare(Target{Name: "before"})
	s.Start(data)
	for end := time.Now().Add(time.Minute); s.SQL("select pg_is_in_recovery()") == "t"; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it stays in recovery")
		}
	}
	if err := Clean(data); err != nil {
		t.Fatal(err)
	}
	if links, err := filepath.Glob(data + "/pg_tblspc/*"); err != nil || len(links) > 0 {
		t.Error(links, err)
	}
	other := s.Mkdir(s.Root + "/other")
	s.SQL("create tablespace other location '" + other + "'")
	s.Stop(data)
	if err := Unfence(data); err != nil { // again, and of what is not fenced nothing goes
		t.Fatal(err)
	}
	if links, _ := filepath.Glob(data + "/pg_tblspc/*"); len(links) != 1 {
		t.Error(links)
	}
}
