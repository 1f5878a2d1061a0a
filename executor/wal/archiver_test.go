package wal

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"pg_manage/executor/repo"
)

// archiverOf gives the archiver that runs for a configuration; 0 when there is none.
func (s *server) archiverOf(config string) int {
	s.t.Helper()
	var st StatusReport
	if err := json.Unmarshal([]byte(s.run(s.hook, "--config", config, "status", "--local")), &st); err != nil {
		s.t.Fatal(err)
	}
	return st.Archiver.PID
}

// serving waits for the archiver that the first call has started.
func (s *server) serving(config string) (pid int) {
	s.t.Helper()
	waitFor(s.t, func() bool { pid = s.archiverOf(config); return pid != 0 })
	return pid
}

// killed ends a process that the test started, and waits until it is gone.
func killed(t *testing.T, pid int) {
	t.Helper()
	if pid > 0 {
		syscall.Kill(pid, syscall.SIGKILL) //nolint:errcheck // it may have ended
		waitFor(t, func() bool { state := procState(pid); return state == "" || state == "Z" })
	}
}

// procState is the state of a process as proc(5) names it; "" when there is none.
func procState(pid int) string {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return ""
	}
	return strings.Fields(string(stat)[strings.LastIndexByte(string(stat), ')')+1:])[0]
}

// children of a process, as "name state".
func children(t *testing.T, parent int) (all []string) {
	t.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range stats {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // it ended
		}
		name, rest, _ := strings.Cut(string(text), ") ")
		if f := strings.Fields(rest); f[1] == strconv.Itoa(parent) {
			all = append(all, name[strings.IndexByte(name, '(')+1:]+" "+f[0])
		}
	}
	return all
}

// within are the processes whose working directory is a directory.
func within(t *testing.T, dir string) (pids []string) {
	t.Helper()
	links, err := filepath.Glob("/proc/[0-9]*/cwd")
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range links {
		if to, err := os.Readlink(l); err == nil && to == dir {
			pids = append(pids, strings.Split(l, "/")[2])
		}
	}
	return pids
}

func (s *server) postmaster(data string) int {
	s.t.Helper()
	text, err := os.ReadFile(data + "/postmaster.pid")
	if err != nil {
		s.t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.Split(string(text), "\n")[0])
	if err != nil {
		s.t.Fatal(err)
	}
	return pid
}

// startIn starts a server whose socket lies in a directory of its own.
func (s *server) startIn(data, sockets string) {
	s.t.Helper()
	s.mkdir(sockets)
	if _, err := s.try(s.bin+"/pg_ctl", "-D", data, "-w", "-t", "60", "-l", s.root+"/log", "-o", "-k "+sockets+" -c listen_addresses= -c fsync=off", "start"); err != nil {
		log, _ := os.ReadFile(s.root + "/log")
		s.t.Fatalf("%v: %s", err, log)
	}
}

func (s *server) sqlIn(sockets, text string) string {
	s.t.Helper()
	return s.run(s.bin+"/psql", "-h", sockets, "-U", "postgres", "-d", "postgres", "-qAtX", "-v", "ON_ERROR_STOP=1", "-c", text)
}

func (s *server) settings(data, text string) {
	s.t.Helper()
	f, err := os.OpenFile(data+"/postgresql.auto.conf", os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		s.t.Fatal(err)
	}
	_, err = f.WriteString(text)
	if cerr := f.Close(); err != nil || cerr != nil {
		s.t.Fatal(err, cerr)
	}
}

// switched ends a segment and waits until it is archived.
func (s *server) switched(sockets, when string) {
	s.t.Helper()
	last := s.sqlIn(sockets, "set client_min_messages = error; create table if not exists tick (n int); insert into tick values (1); select pg_walfile_name(pg_switch_wal())")
	defer func() {
		if s.t.Failed() {
			log, _ := filepath.Glob(sockets + "/*log*")
			s.t.Logf("%s: waited for %s, and there is %s; %v", when, last, s.sqlIn(sockets, "select * from pg_stat_archiver"), log)
			for _, f := range []string{s.root + "/state/archiver.log", s.root + "/state2/archiver.log", s.root + "/log"} {
				text, _ := os.ReadFile(f)
				s.t.Logf("%s: %s", f, text)
			}
			logs, _ := filepath.Glob(s.data + "/log/*")
			for _, f := range logs {
				text, _ := os.ReadFile(f)
				s.t.Logf("%s: %s", f, text)
			}
		}
	}()
	waitFor(s.t, func() bool {
		return s.sqlIn(sockets, "select coalesce(last_archived_wal, '') from pg_stat_archiver") >= last
	})
}

// TestPostgreSQLAndItsArchiver: what happens to the one leaves the other alone.
func TestPostgreSQLAndItsArchiver(t *testing.T) {
	s := newServer(t)
	target := repo.Target{Name: "nas", Scheme: "file", Path: s.root + "/target", ArchiveDir: "pg_archlog", Required: true}
	configs := map[string]string{s.config: s.data, s.root + "/state2/hook.json": s.root + "/copy", s.root + "/state3/hook.json": s.root + "/third"}
	t.Cleanup(func() {
		for config := range configs {
			if _, err := os.Stat(config); err == nil {
				killed(t, s.archiverOf(config))
			}
		}
	})
	s.archiveUnderLoad(s.configure(s.config, s.data, target))
	s.settings(s.data, "logging_collector = on\n")
	if err := s.start(s.data); err != nil {
		t.Fatal(err)
	}
	s.switched(s.root, "at first")
	pid := s.serving(s.config)

	// It ends, by whatever means: PostgreSQL goes on, and keeps no zombie.
	killed(t, pid)
	s.switched(s.root, "after its end")
	for _, c := range children(t, s.postmaster(s.data)) {
		if strings.HasPrefix(c, "pg_manage") {
			t.Errorf("the postmaster has a child %s", c)
		}
	}
	pid = s.serving(s.config)

	// PostgreSQL ends, by whatever means: it goes on, and holds nobody up.
	for _, mode := range []string{"fast", "immediate", "kill"} {
		main := s.postmaster(s.data)
		if mode == "kill" {
			killed(t, main)
			waitFor(t, func() bool { return syscall.Kill(main, 0) != nil }) // as PostgreSQL looks at it
		} else {
			s.run(s.bin+"/pg_ctl", "-D", s.data, "-w", "-t", "60", "-m", mode, "stop")
		}
		waitFor(t, func() bool { return len(within(t, s.data)) == 0 }) // the log collector too
		if state := procState(pid); state == "" || state == "Z" {      // which also would have held up the stop until its end
			t.Errorf("after stop %s the archiver is gone", mode)
		}
		if out, err := s.try(s.bin+"/pg_ctl", "-D", s.data, "-w", "-t", "60", "-l", s.root+"/log", "-o", "-k "+s.root+" -c listen_addresses= -c fsync=off", "start"); err != nil {
			log, _ := os.ReadFile(s.root + "/log")
			t.Fatalf("after stop %s: %v: %s\n%s", mode, err, out, log[max(0, len(log)-2000):])
		}
		s.switched(s.root, "after stop "+mode)
		if now := s.archiverOf(s.config); now != pid {
			t.Errorf("after stop %s another archiver runs: %d, not %d", mode, now, pid)
		}
	}
	if n := s.sql("select failed_count from pg_stat_archiver"); n != "0" {
		t.Logf("%s archive commands failed since the statistics were reset", n)
	}
	s.promote(target)
}

// promote makes a standby the primary, and follows its timeline from the archive.
func (s *server) promote(target repo.Target) {
	t := s.t
	s.run("cp", "-a", s.root+"/copy", s.root+"/third")
	for _, d := range []string{"/state2", "/state3"} {
		s.mkdir(s.root + d)
	}
	second, third := s.root+"/s2", s.root+"/s3"
	cmd := s.configure(s.root+"/state2/hook.json", s.root+"/copy", target)
	s.settings(s.root+"/copy", fmt.Sprintf("restore_command = %srestore %%f %%p'\narchive_command = %sarchive %%p'\nprimary_conninfo = 'host=%s user=postgres'\n", cmd, cmd, s.root))
	s.write(s.root+"/copy/standby.signal", "")
	s.startIn(s.root+"/copy", second)
	s.sql("create table last (n int); insert into last values (1)")
	waitFor(t, func() bool { return s.sqlIn(second, "select count(*) from pg_class where relname = 'last'") == "1" })
	s.run(s.bin+"/pg_ctl", "-D", s.data, "-w", "-m", "immediate", "stop")
	s.run(s.bin+"/pg_ctl", "-D", s.root+"/copy", "-w", "-t", "60", "promote")
	s.switched(second, "on the new timeline")
	s.sqlIn(second, "insert into last values (2)")
	s.switched(second, "on the new timeline")
	for _, pattern := range []string{"00000002.history", "0000000100000000/*.partial.zst", "0000000200000000/*.zst"} {
		if found, err := filepath.Glob(s.root + "/target/pg_archlog/main/" + pattern); err != nil || len(found) == 0 {
			t.Errorf("no %s is in the archive, %v", pattern, err)
		}
	}
	s.serving(s.root + "/state2/hook.json")
	cmd = s.configure(s.root+"/state3/hook.json", s.root+"/third", target)
	s.settings(s.root+"/third", fmt.Sprintf("restore_command = %srestore %%f %%p'\narchive_mode = off\n", cmd))
	s.write(s.root+"/third/recovery.signal", "")
	s.startIn(s.root+"/third", third)
	waitFor(t, func() bool { return s.sqlIn(third, "select pg_is_in_recovery()") == "f" })
	if got := s.sqlIn(third, "select (select count(*) from load) || ' ' || (select string_agg(n::text, ',' order by n) from last)"); got != "20000 1,2" {
		t.Errorf("after recovery along both timelines: %s", got)
	}
	if left, _ := filepath.Glob(s.root + "/third/pg_wal/xlogtemp*"); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	s.stop(s.root + "/third")
	s.stop(s.root + "/copy")
}
