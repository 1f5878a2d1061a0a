package recovery

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pg_manage/executor/basebackup/pgtest"
	"pg_manage/schema/postgres"
)

// commit is a row and what is known of its transaction.
type commit struct {
	row  int
	xid  string
	at   time.Time
	done postgres.LSN // before the next one begins
}

// TestPostgreSQLEndsRecoveryWhereTheSettingsSay recovers copies of a server to points among
// rows of which each has a transaction of its own.
func TestPostgreSQLEndsRecoveryWhereTheSettingsSay(t *testing.T) {
	t.Parallel()
	s := pgtest.New(t)
	in := s.Mkdir(s.Root + "/in")
	s.Configure(fmt.Sprintf("archive_mode = on\narchive_command = 'cp %%p %[1]s/.new && mv %[1]s/.new %[1]s/%%f'\ntimezone = 'Asia/Tokyo'\ntrack_commit_timestamp = on\nhot_standby = off\n", in))
	s.Start(s.Data)
	for _, text := range []string{"restore_command = 'false'", "recovery_target_timeline = '7'", "primary_conninfo = 'host=nowhere'", "work_mem = '5MB'"} {
		s.SQL("alter system set " + text)
	}
	s.SQL("create table t (i int)")
	s.Run(s.Bin+"/pg_basebackup", "-h", s.Root, "-U", "postgres", "-D", s.Root+"/copy", "-X", "none", "-c", "fast")
	rows := commits(s)
	last := s.SQL("select pg_walfile_name(pg_switch_wal())")
	for end := time.Now().Add(time.Minute); !there(in, last); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal(last, " was not archived")
		}
	}
	s.Stop(s.Data)
	s.Run("sed", "-i", "s/^archive_mode = on/archive_mode = off/", s.Root+"/copy/postgresql.conf") // no copy gets into the way of the next
	// What the source's own files say of some other recovery steers none of ours.
	for _, line := range []string{"recovery_target_inclusive = off", "recovery_min_apply_delay = 1d", "archive_cleanup_command = 'touch " + in + "/cleaned'", "recovery_end_command = 'touch " + in + "/cleaned'"} {
		s.Run("sed", "-i", "$ a "+line, s.Root+"/copy/postgresql.conf")
	}
	three := rows[2]
	for name, want := range map[string]struct {
		target Target
		rows   string
	}{
		"time":            {Target{Time: three.at}, "1,2,3"},
		"time, before it": {Target{Time: three.at, Exclusive: true}, "1,2"},
		"xid":             {Target{XID: three.xid}, "1,2,3"},
		"xid, before it":  {Target{XID: three.xid, Exclusive: true, Timeline: "1"}, "1,2"},
		"LSN":             {Target{LSN: three.done, Timeline: "current"}, "1,2,3"},
		"name":            {Target{Name: "it's \\ four"}, "1,2,3,4"},
		"immediate":       {Target{Immediate: true}, ""},
		"latest":          {Target{}, "1,2,3,4,5,6"},
	} {
		t.Run(name, func(t *testing.T) {
			data := s.Root + "/again"
			s.Run("rm", "-rf", data)
			s.Run("cp", "-a", s.Root+"/copy", data)
			s.T = t
			if err := Write(data, Settings{Target: want.target, RestoreCommand: "cp '" + in + "'/%f %p"}); err != nil {
				t.Fatal(err)
			}
			own(s, data)
			s.Start(data)
			recovered(s)
			if got := s.SQL("select coalesce(string_agg(i::text, ',' order by i), '') from t"); got != want.rows {
				t.Errorf("got the rows %s, want %s", got, want.rows)
			}
			s.Stop(data)
			if err := Clean(data); err != nil {
				t.Error(err)
			}
			if text := read(t, data, autoConf); strings.Contains(text, "recovery") || strings.Contains(text, "restore") || strings.Contains(text, "conninfo") || !strings.Contains(text, "work_mem") {
				t.Error(text)
			}
		})
	}
	s.T = t
	if there(in, "cleaned") {
		t.Error("a command of the source was run in its archive")
	}
}

// recovered waits until the server is open, which without hot_standby it is when recovery has ended.
func recovered(s *pgtest.Server) {
	s.T.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		out, err := s.Command(s.Bin+"/psql", "-h", s.Root, "-U", "postgres", "-d", "postgres", "-qAtXc", "select 1").CombinedOutput()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			s.T.Fatalf("%v: %s", err, out)
		}
	}
}

// own gives back what the test's user has written.
func own(s *pgtest.Server, data string) {
	s.T.Helper()
	for _, name := range []string{autoConf, recoverySignal} {
		if there(data, name) {
			s.Own(filepath.Join(data, name))
		}
	}
}

// commits writes rows, with a restore point after the fourth.
func commits(s *pgtest.Server) (out []commit) {
	s.T.Helper()
	for i := 1; i <= 6; i++ {
		xid := s.SQL(fmt.Sprintf("begin; insert into t values (%d); select pg_current_xact_id(); commit", i))
		at, err := time.Parse("2006-01-02 15:04:05.999999", s.SQL("select pg_xact_commit_timestamp('"+xid+"'::xid) at time zone 'UTC'"))
		if err != nil {
			s.T.Fatal(err)
		}
		lsn, err := postgres.ParseLSN(s.SQL("select pg_current_wal_insert_lsn()"))
		if err != nil {
			s.T.Fatal(err)
		}
		out = append(out, commit{i, xid, at, lsn})
		if i == 4 {
			s.SQL(`select pg_create_restore_point('it''s \ four')`)
		}
	}
	return out
}
