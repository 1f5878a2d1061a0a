package take

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pg_manage/executor/event"
	"pg_manage/executor/repo"
	"pg_manage/executor/repo/catalog"
	"pg_manage/executor/wal"
)

// told keeps the events. With a gate the copy stands still at its first progress.
type told struct {
	mu   sync.Mutex
	all  []event.Event
	gate *gate
}

type gate struct {
	once          sync.Once
	reached, open chan struct{}
}

func (l *told) Emit(e event.Event) {
	if l.gate != nil && e.Type == event.Progress {
		l.gate.once.Do(func() { close(l.gate.reached) })
		<-l.gate.open
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, e)
}

func (l *told) notices() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var text []string
	for _, e := range l.all {
		if e.Type == event.Notice {
			text = append(text, e.Message)
		}
	}
	return strings.Join(text, "\n")
}

// options are those of a backup of a server into the target beside it.
func (s *server) options() (Options, *told) {
	s.t.Helper()
	target := repo.Target{Name: "nas", Scheme: "file", Path: filepath.Join(s.root, "target"), ArchiveDir: "pg_archlog"}
	d, err := repo.Open(s.t.Context(), target)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { d.Close() }) //nolint:errcheck // a directory
	c, err := catalog.New(d, "pg_hotbackup/main", target)
	if err != nil {
		s.t.Fatal(err)
	}
	events := &told{}
	return Options{
		Catalog: c, Archive: s.lookup(0), Events: events, Cluster: "main", Node: "node1", StateDir: filepath.Join(s.root, "state"), ToolVersion: "test",
		Server: Server{DataDir: s.data, BinDir: s.bin, SocketDir: s.root, Port: s.port, User: "postgres", Major: s.major},
	}, events
}

// lookup looks into the archive of a system.
func (s *server) lookup(system uint64) Archive {
	target := repo.Target{Name: "nas", Scheme: "file", Path: filepath.Join(s.root, "target"), ArchiveDir: "pg_archlog"}
	l := wal.NewLookup(target, "main", system, repo.Open)
	s.t.Cleanup(func() { l.Close() }) //nolint:errcheck // a directory
	return l
}

// mustTake takes a backup that is listed then.
func (s *server) mustTake(o Options) *catalog.Info {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 5*time.Minute)
	defer cancel()
	info, err := Take(ctx, o)
	if err != nil {
		log, _ := os.ReadFile(s.log())
		s.t.Fatalf("%v\n%s", err, log)
	}
	if !slices.Contains(s.listed(o), info.Label) {
		s.t.Errorf("%s is not listed", info.Label)
	}
	return info
}

func (s *server) listed(o Options) []string {
	s.t.Helper()
	all, err := o.Catalog.List(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	var labels []string
	for _, e := range all {
		if e.Broken != "" {
			s.t.Errorf("%s is broken: %s", e.Label, e.Broken)
		}
		labels = append(labels, e.Label)
	}
	return labels
}

// mustFail takes a backup that fails with a message, and leaves nothing.
func (s *server) mustFail(ctx context.Context, o Options, want string) error {
	s.t.Helper()
	before := s.files()
	_, err := Take(ctx, o)
	if err == nil || !strings.Contains(err.Error(), want) {
		s.t.Errorf("got %v, want %q", err, want)
	}
	if after := s.files(); !slices.Equal(before, after) {
		s.t.Errorf("files are left: %v, before: %v", after, before)
	}
	return err
}

// files are all that lie below the directory of backups.
func (s *server) files() []string {
	s.t.Helper()
	var all []string
	err := filepath.WalkDir(filepath.Join(s.root, "target", "pg_hotbackup"), func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			all = append(all, path)
		}
		return err
	})
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		s.t.Fatal(err)
	}
	return all
}

// restore unpacks a full backup with tar and zstd alone.
func (s *server) restore(o Options, info *catalog.Info, name string) *server {
	s.t.Helper()
	to := &server{s.pg, filepath.Join(s.root, name), s.port + 10}
	s.mkdir(to.data)
	dir := filepath.Join(s.root, "target", "pg_hotbackup", "main", info.Label)
	unpack := exec.Command("sh", "-ec", "for p; do zstd -dcq \"$p\" | tar -xp -C \"$0\"; done; cp \"${p%/*}/backup_manifest\" \"$0\"", to.data)
	for _, part := range info.Parts {
		unpack.Args = append(unpack.Args, filepath.Join(dir, part.Name))
	}
	if out, err := unpack.CombinedOutput(); err != nil {
		s.t.Fatalf("unpack %s: %v: %s", info.Label, err, out)
	}
	s.ownAll(to.data)
	if info.WAL == catalog.WALIncluded {
		s.run(s.bin+"/pg_verifybackup", to.data) // which reads the WAL too
	} else {
		s.run(s.bin+"/pg_verifybackup", "-n", to.data)
	}
	to.configure("archive_mode = off", "restore_command = 'cp "+s.archive+"/$(echo %f | cut -c 1-16)/%f %p || cp "+s.archive+"/%f %p'")
	return to
}

func TestFullBackupUnderLoad(t *testing.T) {
	s := newPG(t).primary()
	s.sql("CREATE TABLE t (n int); INSERT INTO t SELECT generate_series(1, 1000)")
	s.run(s.bin+"/pgbench", "-h", s.root, "-p", "5401", "-U", "postgres", "-i", "-s", "2", "-q", "postgres")
	bench := s.command(s.bin+"/pgbench", "-h", s.root, "-p", "5401", "-U", "postgres", "-c", "2", "-T", "60", "postgres")
	if err := bench.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { bench.Process.Kill(); bench.Wait() }() //nolint:errcheck // killed
	s.await("SELECT count(*) > 20 FROM pgbench_history", "t")
	o, events := s.options()
	o.SystemIdentifier = s.sql("SELECT system_identifier FROM pg_control_system()")
	info := s.mustTake(o)
	if info.Kind != catalog.Full || info.SystemIdentifier != o.SystemIdentifier || info.Timeline != 1 || info.StopLSN <= info.StartLSN ||
		info.SegmentSize != 1<<20 || info.BlockSize != 8192 || !info.Checksums || info.Files < 500 || info.Size < 20<<20 || info.Stored == 0 ||
		info.WAL != catalog.WALArchived || info.FromStandby || info.Damaged != 0 || info.StopTime.Before(info.StartTime) || info.ToolVersion != "test" ||
		!strings.HasPrefix(info.PostgreSQL, fmt.Sprint(s.major)+".") {
		t.Errorf("got %+v", info)
	}
	last := events.all[len(events.all)-1]
	if last.Type != event.Progress || last.Done == 0 || last.Done > last.Total {
		t.Errorf("the last event is %+v", last)
	}
	names, err := neededWAL(1, info.StartLSN, info.StopLSN, info.SegmentSize)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range names {
		if _, err := os.Stat(filepath.Join(s.archive, n[:16], n)); err != nil {
			t.Error(err)
		}
	}
	s.await("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pg_manage backup'", "0") // the server lets go of it when it comes to that
	r := s.restore(o, info, "restored")
	r.write(r.data+"/recovery.signal", "")
	r.start()
	if n := r.sql("SELECT count(*) FROM t"); n != "1000" {
		t.Errorf("the restored server has %s rows of 1000", n)
	}
}
