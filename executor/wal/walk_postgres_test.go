package wal

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"pg_manage/executor/repo"
	"pg_manage/schema/postgres"
)

// TestPostgreSQLWithoutChecksums archives uncompressed from a server that crashes, is
// restored and goes on in a new timeline. All of that is restored, and a flipped bit stops
// PostgreSQL, which would else have opened the database where the bit is.
func TestPostgreSQLWithoutChecksums(t *testing.T) {
	s := newServer(t)
	target := repo.Target{Name: "nas", Scheme: "file", Path: s.root + "/target", ArchiveDir: "pg_archlog", Compression: "none", Required: true}
	cmd := s.configure(s.config, s.data, target)
	must := func(data string) {
		t.Helper()
		if err := s.start(data); err != nil {
			log, _ := os.ReadFile(s.root + "/log")
			t.Fatalf("%v\n%s", err, log)
		}
	}
	must(s.data)
	s.run(s.hook, "--config", s.config, "init")
	s.sql("alter system set archive_mode = on")
	s.sql("alter system set archive_command = " + cmd + "archive %p'")
	s.stop(s.data)
	must(s.data)
	s.run(s.bin+"/pg_basebackup", "-h", s.root, "-U", "postgres", "-D", s.root+"/copy", "-X", "none", "-c", "fast")
	s.run("cp", "-a", s.root+"/copy", s.root+"/copy2")
	s.sql("create table load (t text)")
	rows := func(n int) string {
		return fmt.Sprintf("insert into load select repeat(md5(i::text), 8) from generate_series(1, %d) i", n)
	}
	switched := func() {
		last := s.sql("select pg_walfile_name(pg_switch_wal())")
		waitFor(t, func() bool { return s.sql("select coalesce(last_archived_wal, '') from pg_stat_archiver") >= last })
	}
	for i := range 3 {
		s.sql(rows(3000 + 777*i))
		s.run(s.bin+"/pg_ctl", "-D", s.data, "-w", "-m", "immediate", "stop")
		must(s.data)
		s.sql(rows(100))
	}
	switched()
	s.stop(s.data)
	all := s.segments(target)
	restoring := func(data, config, more string) string {
		cmd := s.configure(config, data, target)
		s.stopsOnTwo(data)
		f, err := os.OpenFile(data+"/postgresql.auto.conf", os.O_WRONLY|os.O_APPEND, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close() //nolint:errcheck // PostgreSQL misses what is not there
		if _, err := fmt.Fprintf(f, "restore_command = %srestore --retries 0 %%f %%p%s'\narchive_command = %sarchive %%p'\nrecovery_target_timeline = 'current'\n%s\n", cmd, noRetry, cmd, more); err != nil {
			t.Fatal(err)
		}
		s.write(data+"/recovery.signal", "")
		return data
	}
	s.mkdir(s.root + "/state2")
	s.mkdir(s.root + "/state3")
	copied := restoring(s.root+"/copy", s.root+"/state2/hook.json", "")
	must(copied)
	waitFor(t, func() bool { return s.sql("select pg_is_in_recovery()") == "f" })
	want := s.sql("select count(*) from load")
	s.sql(rows(2000))
	switched()
	s.stop(copied)
	if now := s.segments(target); len(now) <= len(all) || !strings.HasPrefix(now[len(now)-1], "00000002") {
		t.Fatalf("the new timeline is not in the archive: %v", now)
	}
	for _, name := range s.segments(target) {
		dest := copied + "/pg_wal/RESTORED"
		s.run(s.hook, "--config", s.root+"/state2/hook.json", "restore", "--retries", "0", name, dest)
		if err := os.Remove(dest); err != nil {
			t.Fatal(err)
		}
	}
	// One bit in the middle of what recovery needs.
	bad := all[len(all)/2]
	file := filepath.Join(target.Path, "pg_archlog/main", bad[:16], bad)
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	content[len(content)/2+100] ^= 8
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
	last := restoring(s.root+"/copy2", s.root+"/state3/hook.json", "hot_standby = off")
	if err := s.start(last); err == nil { // pg_ctl doesn't wait for the end of recovery
		waitFor(t, func() bool {
			_, running := s.try(s.bin+"/pg_ctl", "-D", last, "status")
			_, recovering := os.Stat(last + "/recovery.signal")
			return running != nil || recovering != nil
		})
	}
	if _, err := os.Stat(last + "/recovery.signal"); err != nil {
		t.Errorf("recovery ended at the damage, short of %s rows: %v", want, err)
		s.stop(last)
	}
	if log, _ := os.ReadFile(s.root + "/log"); !strings.Contains(string(log), bad+": what is stored bears no checksum") {
		t.Errorf("the log does not name the segment:\n%s", log)
	}
}

// segments names the segments of the archive, in their order.
func (s *server) segments(target repo.Target) (names []string) {
	s.t.Helper()
	files, err := filepath.Glob(filepath.Join(target.Path, "pg_archlog/main/*/*"))
	if err != nil {
		s.t.Fatal(err)
	}
	for _, file := range files {
		if f, err := postgres.ClassifyWALName(filepath.Base(file)); err == nil && f.Kind == postgres.WALSegment {
			names = append(names, f.Name)
		}
	}
	slices.Sort(names)
	return names
}

func unpacked(t *testing.T, packed []byte) []byte {
	t.Helper()
	dec, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer dec.Close()
	plain, err := dec.DecodeAll(packed, nil)
	if err != nil {
		t.Fatal(err)
	}
	return plain
}
