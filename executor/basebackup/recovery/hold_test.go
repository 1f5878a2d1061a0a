package recovery

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pg_manage/executor/basebackup/pgtest"
)

// TestAServerIsNotOpenedBeforeItIsKnownWhereItsRecoveryEnds starts PostgreSQL on directories
// that are whole: a cold copy needs no recovery at all, and a hot one has the WAL that it needs.
func TestAServerIsNotOpenedBeforeItIsKnownWhereItsRecoveryEnds(t *testing.T) {
	t.Parallel()
	s := pgtest.New(t)
	in := s.Mkdir(s.Root + "/in")
	s.Configure(fmt.Sprintf("archive_mode = always\narchive_command = 'cp %%p %s/%%f'\n", in))
	s.Start(s.Data)
	s.SQL("create table t (i int)")
	s.Run(s.Bin+"/pg_basebackup", "-h", s.Root, "-U", "postgres", "-D", s.Root+"/hot", "-X", "fetch", "-c", "fast")
	s.SQL("insert into t values (1)")
	s.Stop(s.Data)
	s.Run("cp", "-a", s.Data, s.Root+"/cold")
	s.Run("cp", "-a", in, s.Root+"/archive")
	start := func(data, more string) error {
		return s.Command(s.Bin+"/pg_ctl", "-D", data, "-w", "-t", "60", "-l", s.Root+"/log", "-o", "-k "+s.Root+" -c listen_addresses= -c fsync=off "+more, "start").Run()
	}
	names := func() string { return s.Run("ls", in) }
	// So it goes without.
	s.Run("cp", "-a", s.Data, s.Root+"/free")
	s.Start(s.Root + "/free")
	if got := s.SQL("create table n (); select pg_is_in_recovery()"); got != "f" {
		t.Error("a cold copy does not open by itself: the test proves nothing")
	}
	s.Stop(s.Root + "/free")
	for _, kind := range []string{"hot", "cold"} {
		t.Run(kind, func(t *testing.T) {
			s.T = t
			data, before := s.Root+"/"+kind, names()
			write(t, data, recoverySignal, "") // of a restore before
			if err := Hold(data); err != nil {
				t.Fatal(err)
			}
			s.Run("truncate", "-s", "0", s.Root+"/log")
			for _, name := range []string{autoConf, standbySignal} {
				s.Own(filepath.Join(data, name))
			}
			if err := start(data, ""); err == nil {
				s.Stop(data)
				t.Fatal("it starts")
			}
			log := read(t, s.Root, "log")
			if !strings.Contains(log, "cut off before it was told where recovery ends") || strings.Contains(log, "ready to accept") {
				t.Error(log)
			}
			// The setting does not count: then it waits, as a standby.
			t.Cleanup(func() { s.Stop(data) })
			if err := start(data, "-c restore_command=/bin/false"); err != nil {
				t.Fatal(err, read(t, s.Root, "log"))
			}
			if got := s.SQL("select pg_is_in_recovery()"); got != "t" {
				t.Error("it is open")
			}
			if out, err := s.Command(s.Bin+"/psql", "-h", s.Root, "-U", "postgres", "-d", "postgres", "-qAtXc", "create table n ()").CombinedOutput(); err == nil || !strings.Contains(string(out), "read-only") {
				t.Errorf("%v: %s", err, out)
			}
			s.Stop(data)
			if got := names(); got != before {
				t.Errorf("archived: %s, before %s", got, before)
			}
			if err := Write(data, Settings{Target: Target{Timeline: "current"}, RestoreCommand: "[ -e mark ] || exit 200; cp " + s.Root + "/archive/%f %p"}); err != nil {
				t.Fatal(err)
			}
			if there(data, standbySignal) || !there(data, recoverySignal) {
				t.Error("the signal is another")
			}
			own(s, data)
			if err := start(data, ""); err == nil {
				t.Fatal("it starts before its mark is there")
			}
			write(t, data, "mark", "")
			s.Start(data)
			for end := time.Now().Add(time.Minute); s.SQL("select pg_is_in_recovery()") == "t"; time.Sleep(20 * time.Millisecond) {
				if time.Now().After(end) {
					t.Fatal("it stays in recovery")
				}
			}
			if got := s.SQL("select count(*) from t"); kind == "cold" && got != "1" {
				t.Errorf("%s rows", got)
			}
			s.Stop(data)
		})
	}
	s.T = t
}

// TestHoldingGoesOnWhereItWasCutOff: it may be called again, and takes away what steered a
// recovery before.
func TestHoldingGoesOnWhereItWasCutOff(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, autoConf, "work_mem = '5MB'\nprimary_conninfo = 'host=nowhere'\nrecovery_target_xid = '7'\n")
	for range 2 {
		if err := Hold(dir); err != nil {
			t.Fatal(err)
		}
		text := read(t, dir, autoConf)
		if !there(dir, standbySignal) || there(dir, recoverySignal) || !strings.Contains(text, "exit 200") || !strings.Contains(text, "work_mem") || strings.Contains(text, "nowhere") || strings.Contains(text, "xid") {
			t.Error(text)
		}
		write(t, dir, recoverySignal, "") // both were there when it was cut off
	}
	write(t, dir, "postmaster.pid", "1\n")
	if err := Hold(dir); err == nil || !strings.Contains(err.Error(), "a server runs there") {
		t.Error(err)
	}
}
