package locate

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"pg_manage/executor/repo/codec"
	"pg_manage/executor/repo/posix"
	"pg_manage/executor/wal/audit"
	"pg_manage/planner"
	"pg_manage/schema/postgres"
)

// server is a real PostgreSQL that archives by cp. PostgreSQL refuses to run as root, so
// root runs it as postgres.
type server struct {
	t         *testing.T
	bin, root string
	cred      *syscall.Credential
}

func newServer(t *testing.T) *server {
	t.Helper()
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil || len(found) == 0 {
		t.Fatal("PostgreSQL's server programs are needed (Debian: the package postgresql)")
	}
	s := &server{t: t, bin: filepath.Dir(found[0])}
	if s.root, err = os.MkdirTemp("", "pgloc"); err != nil { // short, since a socket's path may have 107 bytes
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(s.root); err != nil {
			t.Error(err)
		}
	})
	if os.Getuid() != 0 {
		return s
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		t.Fatal(err)
	}
	uid, err1 := strconv.Atoi(u.Uid)
	gid, err2 := strconv.Atoi(u.Gid)
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	s.cred = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	if err := os.Chown(s.root, uid, gid); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *server) run(name string, args ...string) string {
	s.t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir = s.root
	if s.cred != nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.cred}
	}
	cmd.Env = append(os.Environ(), "HOME="+s.root, "LC_ALL=C", "TZ=UTC")
	out, err := cmd.CombinedOutput()
	if err != nil {
		log, _ := os.ReadFile(s.root + "/log")
		s.t.Fatalf("%s %v: %v: %s\n%s", name, args, err, out, log)
	}
	return strings.TrimSpace(string(out))
}

func (s *server) start(data string) {
	s.t.Helper()
	s.run(s.bin+"/pg_ctl", "-D", data, "-w", "-l", s.root+"/log", "-o", "-k "+s.root+" -c listen_addresses= -c fsync=off", "start")
	s.t.Cleanup(func() { // a failed test must not leave it running
		if _, err := os.Stat(data + "/postmaster.pid"); err == nil {
			s.run(s.bin+"/pg_ctl", "-D", data, "-w", "-m", "immediate", "stop")
		}
	})
}

func (s *server) sql(text string) string {
	s.t.Helper()
	return s.run(s.bin+"/psql", "-h", s.root, "-U", "postgres", "-d", "postgres", "-qAtX", "-v", "ON_ERROR_STOP=1", "-c", text)
}

// history writes WAL with all that the parser must know, over two timelines, and gives the
// directory that it was archived to.
func (s *server) history() string {
	data, in := s.root+"/data", s.root+"/in"
	s.run("mkdir", in)
	s.run(s.bin+"/initdb", "-D", data, "-A", "trust", "-N", "--wal-segsize=1", "-U", "postgres")
	conf := fmt.Sprintf("archive_mode = on\narchive_command = 'test ! -f %[1]s/%%f && cp %%p %[1]s/.%%f && mv %[1]s/.%%f %[1]s/%%f'\nmax_prepared_transactions = 4\nwal_level = logical\nmax_wal_size = 1GB\n", in)
	s.append(data+"/postgresql.conf", conf)
	s.start(data)
	s.sql("create table t (i int, x text)")
	s.work("one")
	s.sql("select pg_create_restore_point('twice')")
	s.run(s.bin+"/pg_basebackup", "-h", s.root, "-U", "postgres", "-D", s.root+"/copy", "-c", "fast", "-X", "stream")
	s.work("two")
	s.sql("select pg_create_restore_point('twice')")
	s.sql("select pg_create_restore_point('once')")
	s.work("three")
	s.archived(data)
	s.run(s.bin+"/pg_ctl", "-D", data, "-w", "-m", "fast", "stop")
	copied := s.root + "/copy"
	s.append(copied+"/postgresql.auto.conf", fmt.Sprintf("restore_command = 'cp %s/%%f %%p'\n", in))
	s.run("touch", copied+"/recovery.signal")
	s.start(copied)
	for s.sql("select pg_is_in_recovery()") != "f" {
		time.Sleep(20 * time.Millisecond)
	}
	s.work("four")
	s.archived(copied)
	s.run(s.bin+"/pg_ctl", "-D", copied, "-w", "-m", "fast", "stop")
	return in
}

func (s *server) append(file, text string) {
	s.t.Helper()
	f, err := os.OpenFile(file, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		s.t.Fatal(err)
	}
	if _, err := f.WriteString(text); err != nil {
		s.t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		s.t.Fatal(err)
	}
}

// work commits, rolls back, prepares, and writes records that span several segments.
func (s *server) work(name string) {
	s.sql("insert into t select i, repeat(md5(i::text), 4) from generate_series(1, 3000) i")
	s.sql("begin; insert into t values (1); rollback")
	s.sql("begin; savepoint a; insert into t values (2); rollback to a; savepoint b; insert into t values (3); commit")
	// A commit record of many subtransactions, far larger than a page.
	s.sql("do $$ begin for i in 1..3000 loop begin insert into t values (i); exception when others then null; end; end loop; end $$")
	for _, end := range []string{"commit", "rollback"} {
		s.sql("create table p" + name + end + " (i int)")
		s.sql("begin; drop table p" + name + end + "; savepoint a; insert into t values (4); savepoint b; insert into t values (5); prepare transaction 'g" + name + end + "'")
		s.sql(end + " prepared 'g" + name + end + "'")
	}
	// A record that is larger than a segment.
	s.sql("select pg_logical_emit_message(false, 'big', repeat('x', 2500000))")
	s.sql("select pg_logical_emit_message(true, 'big', repeat('y', 1200000))")
	s.sql("select pg_replication_origin_create('o" + name + "'); select pg_replication_origin_session_setup('o" + name + "'); insert into t values (6)")
}

func (s *server) archived(data string) {
	s.t.Helper()
	last := s.sql("select pg_walfile_name(pg_switch_wal())")
	deadline := time.Now().Add(2 * time.Minute) // PostgreSQL rests for one when a command has failed
	for {
		if _, err := os.Stat(data + "/pg_wal/archive_status/" + last + ".done"); err == nil {
			return
		}
		if time.Now().After(deadline) {
			log, _ := os.ReadFile(s.root + "/log")
			s.t.Fatalf("%s was not archived\n%s", last, log)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// store moves what cp has archived into the layout of an archive.
func (s *server) store(in string) audit.Archive {
	s.t.Helper()
	root := s.t.TempDir()
	d, err := posix.New("file://"+root, "file", root)
	if err != nil {
		s.t.Fatal(err)
	}
	a := audit.Archive{Driver: d, Target: "nas", Dir: "pg_archlog/main", SegmentSize: 1 << 20, Open: d.Open, Split: codec.Split}
	put := func(name string, text []byte) {
		if err := d.Put(context.Background(), a.Dir+"/"+name, strings.NewReader(string(text))); err != nil {
			s.t.Fatal(err)
		}
	}
	put("archive.json", []byte("{}"))
	files, err := os.ReadDir(in)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, e := range files {
		b, err := os.ReadFile(in + "/" + e.Name())
		if err != nil {
			s.t.Fatal(err)
		}
		if f, err := postgres.ClassifyWALName(e.Name()); err != nil || f.Kind == postgres.WALHistory {
			put(e.Name(), b)
		} else {
			put(e.Name()[:16]+"/"+e.Name(), b)
		}
	}
	for line := range strings.Lines(s.run(s.bin+"/pg_controldata", s.root+"/data")) {
		if k, v, ok := strings.Cut(line, ":"); ok && k == "Database system identifier" {
			if a.SystemIdentifier, err = strconv.ParseUint(strings.TrimSpace(v), 10, 64); err != nil {
				s.t.Fatal(err)
			}
		}
	}
	return a
}

// oracle is what pg_waldump says of one timeline's segments.
func (s *server) oracle(in string, tli postgres.Timeline, from postgres.LSN) (out []Record) {
	s.t.Helper()
	line := regexp.MustCompile(`tx: +(\d+), lsn: ([0-9A-F/]+), prev .* desc: (COMMIT|ABORT|COMMIT_PREPARED|ABORT_PREPARED|RESTORE_POINT) (?:(\d+): )?(.*)`)
	clock := regexp.MustCompile(`^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)? UTC`)
	cmd := exec.Command(s.bin+"/pg_waldump", "-p", in, "-t", fmt.Sprint(tli), "-s", from.String())
	cmd.Env = append(os.Environ(), "TZ=UTC", "LC_ALL=C")
	text, _ := cmd.Output() // it ends with an error where the WAL does
	for _, l := range strings.Split(string(text), "\n") {
		m := line.FindStringSubmatch(l)
		if m == nil {
			continue
		}
		lsn, err := postgres.ParseLSN(m[2])
		if err != nil {
			s.t.Fatal(err)
		}
		if m[3] == "RESTORE_POINT" {
			out = append(out, Record{Kind: RestorePoint, LSN: lsn, Name: m[5]})
			continue
		}
		r := Record{Kind: Commit, LSN: lsn}
		if strings.HasPrefix(m[3], "ABORT") {
			r.Kind = Abort
		}
		xid := m[1]
		if m[4] != "" {
			xid = m[4]
		}
		n, err := strconv.ParseUint(xid, 10, 32)
		if err != nil {
			s.t.Fatal(err)
		}
		r.XID = uint32(n)
		if r.Time, err = time.Parse("2006-01-02 15:04:05 MST", clock.FindString(m[5])); err != nil {
			s.t.Fatalf("%s: %v", l, err)
		}
		out = append(out, r)
	}
	return out
}

func TestWhatIsLocatedIsWhatPgWaldumpTells(t *testing.T) {
	ctx := context.Background()
	s := newServer(t)
	in := s.history()
	a := s.store(in)
	report, err := audit.Check(ctx, a, audit.Options{Workers: 2})
	if err != nil || !report.Sound() {
		t.Fatalf("%+v, %v", report, err)
	}
	facts, err := Facts(report)
	if err != nil || len(facts.Runs) != 1 || facts.Runs[0].Timeline != 2 {
		t.Fatalf("%+v, %v", facts, err)
	}
	fork := facts.Timelines[1].Fork
	run := facts.Runs[0]
	var want []Record
	for _, r := range s.oracle(in, 1, run.From) {
		if r.LSN < fork {
			want = append(want, r)
		}
	}
	for _, r := range s.oracle(in, 2, fork-fork%(1<<20)) {
		if r.LSN >= fork {
			want = append(want, r)
		}
	}
	slices.SortFunc(want, func(a, b Record) int { return cmp.Compare(a.LSN, b.LSN) })
	if len(want) < 40 {
		t.Fatalf("pg_waldump tells of %d records alone", len(want))
	}
	for workers, step := range map[int]int{1: 5, 3: 1} {
		scan := &Scan{
			Open: Segments(a), SystemIdentifier: a.SystemIdentifier, SegmentSize: a.SegmentSize, Timeline: 2,
			Branches: branches(facts.Timelines, 2), From: run.From, To: run.To, Workers: workers,
		}
		all(t, scan, want, step)
	}
	resolve(t, a, facts, want)
}

// all compares every answer with the oracle's, or for one transaction of step.
func all(t *testing.T, scan *Scan, want []Record, step int) {
	t.Helper()
	ctx := context.Background()
	byXID := map[uint32]Record{}
	var newest Record
	points := 0
	for _, w := range want {
		switch {
		case w.Kind == RestorePoint:
			points++
		default:
			byXID[w.XID] = w
			if !w.Time.Before(newest.Time) {
				newest = w
			}
		}
	}
	for xid, w := range byXID {
		if int(xid)%step != 0 {
			continue
		}
		r, err := scan.Transaction(ctx, uint64(xid)+1<<32)
		if err != nil || r == nil || *r != w {
			t.Errorf("transaction %d: %+v, %v, want %+v", xid, r, err, w)
		}
	}
	if r, err := scan.Transaction(ctx, 2_000_000); r != nil || err != nil {
		t.Errorf("a transaction that never was: %+v, %v", r, err)
	}
	found := 0
	for _, name := range []string{"once", "twice", "never"} {
		rs, err := scan.RestorePoints(ctx, name)
		if err != nil {
			t.Error(err)
		}
		for _, r := range rs {
			if k := slices.IndexFunc(want, func(w Record) bool { return w.LSN == r.LSN && w.Name == r.Name }); k < 0 || time.Since(r.Time) > time.Hour {
				t.Errorf("%+v is not among pg_waldump's", r)
			}
		}
		if !slices.IsSortedFunc(rs, func(a, b Record) int { return cmp.Compare(a.LSN, b.LSN) }) {
			t.Errorf("%s: out of order", name)
		}
		found += len(rs)
	}
	if found != points || points != 3 {
		t.Errorf("%d restore points, want %d", found, points)
	}
	e, err := scan.End(ctx)
	if err != nil || e.Commit == nil || *e.Commit != newest || e.Record < newest.LSN {
		t.Errorf("end: %+v, %v, want %+v", e, err, newest)
	}
	behind(t, scan, want)
}

func behind(t *testing.T, scan *Scan, want []Record) {
	t.Helper()
	for k, w := range want {
		if w.Kind == RestorePoint || k%7 != 0 {
			continue
		}
		for _, exclusive := range []bool{false, true} {
			var first *Record
			for i := range want {
				if x := &want[i]; x.Kind != RestorePoint && (x.Time.After(w.Time) || exclusive && x.Time.Equal(w.Time)) {
					first = x
					break
				}
			}
			r, err := scan.Behind(context.Background(), w.Time, exclusive)
			if err != nil || (r == nil) != (first == nil) || r != nil && *r != *first {
				t.Errorf("behind %s: %+v, %v, want %+v", w.Time, r, err, first)
			}
		}
	}
	r, err := scan.Behind(context.Background(), time.Now().Add(time.Hour), false)
	if r != nil || err != nil {
		t.Errorf("behind the future: %+v, %v", r, err)
	}
}

// resolve goes the whole way to the choice of a backup.
func resolve(t *testing.T, a audit.Archive, facts planner.ArchiveWAL, want []Record) {
	t.Helper()
	run := facts.Runs[0]
	var commits []Record
	for _, w := range want {
		if w.Kind == Commit {
			commits = append(commits, w)
		}
	}
	middle := commits[len(commits)/2]
	backup := planner.BackupFact{
		Label: "b", SystemIdentifier: facts.SystemIdentifier, Timeline: 1, WAL: "archive",
		StartLSN: run.From, StopLSN: run.From + 1<<20, StopTime: commits[0].Time, StartTime: commits[0].Time,
	}
	last := commits[len(commits)-1]
	for _, test := range []struct {
		point planner.RecoveryPoint
		end   postgres.LSN
		kind  string
	}{
		{planner.RecoveryPoint{XID: fmt.Sprint(middle.XID)}, middle.LSN, ""},
		{planner.RecoveryPoint{XID: "99999"}, 0, planner.RefusedTarget},
		{planner.RecoveryPoint{Time: middle.Time, Exclusive: true}, middle.LSN, ""},
		{planner.RecoveryPoint{Time: last.Time.Add(time.Second)}, 0, planner.RefusedPast},
		{planner.RecoveryPoint{LSN: middle.LSN}, middle.LSN, ""},
		{planner.RecoveryPoint{LSN: run.To - 8}, 0, planner.RefusedPast},
		{planner.RecoveryPoint{}, run.To, ""},
	} {
		q := planner.RecoveryQuery{Backups: []planner.BackupFact{backup}, Point: test.point, Archive: facts}
		err := Resolve(context.Background(), a, &q, Options{Workers: 2})
		if err != nil {
			t.Errorf("%+v: %v", test.point, err)
			continue
		}
		c, err := planner.ChooseBackup(q)
		if r := (*planner.RecoveryRefusal)(nil); test.kind != "" {
			if r, _ = err.(*planner.RecoveryRefusal); r == nil || r.Kind != test.kind { //nolint:errorlint // it is given as it is
				t.Errorf("%+v: %+v, %v, want a refusal: %s", test.point, c, err, test.kind)
			}
			continue
		}
		if err != nil || c.EndLSN != test.end {
			t.Errorf("%+v: %+v, %v", test.point, c, err)
		}
	}
}
