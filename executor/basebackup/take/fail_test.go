package take

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// during takes a backup, and calls f while its copy stands still in the middle.
func (s *server) during(ctx context.Context, o Options, events *told, f func()) error {
	s.t.Helper()
	events.gate = &gate{reached: make(chan struct{}), open: make(chan struct{})}
	done := make(chan error, 1)
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	go func() {
		_, err := Take(ctx, o)
		done <- err
	}()
	select {
	case err := <-done:
		s.t.Fatalf("the backup has ended before anything was copied: %v", err)
	case <-events.gate.reached:
	}
	f()
	close(events.gate.open)
	return <-done
}

// unlisted makes sure that nothing is left of a backup.
func (s *server) unlisted(o Options) {
	s.t.Helper()
	if l := s.listed(o); len(l) > 0 {
		s.t.Errorf("%v is listed", l)
	}
	if f := s.files(); len(f) > 0 {
		s.t.Errorf("files are left: %v", f)
	}
}

func TestIdlePrimaryDoesNotHang(t *testing.T) {
	s := newPG(t).primary("archive_timeout = 0", "autovacuum = off")
	o, _ := s.options()
	s.mustTake(o) // which is not as patient as one that waits for traffic
	s.mustTake(o)
}

func TestFailingArchiveIsNamed(t *testing.T) {
	s := newPG(t).primary("archive_command = 'false'")
	s.sql("SELECT pg_switch_wal()")
	s.await("SELECT failed_count > 0 FROM pg_stat_archiver", "t")
	o, _ := s.options()
	o.ArchiveTimeout = 3 * time.Second
	err := s.mustFail(t.Context(), o, "has not come into the archive within 3s: archive_command fails, last for 0000000100000000")
	if err == nil || !strings.Contains(err.Error(), "The backup was not kept") {
		t.Error(err)
	}
	s.await("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pg_manage backup'", "0") // the server lets go of it when it comes to that
}

// TestArchiveElsewhereIsNotAwaitedForEver has a busy server whose archiver works well and
// stores its files in another place.
func TestArchiveElsewhereIsNotAwaitedForEver(t *testing.T) {
	s := newPG(t).primary("archive_command = 'true'")
	o, _ := s.options()
	o.ArchiveTimeout = 3 * time.Second
	busy := s.command(s.bin+"/pgbench", "-h", s.root, "-p", "5401", "-U", "postgres", "-n", "-T", "120", "-f", s.root+"/switch", "postgres")
	s.write(s.root+"/switch", "SELECT pg_switch_wal(); SELECT pg_logical_emit_message(false, 'x', 'y'); SELECT pg_sleep(0.2);")
	if err := busy.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { busy.Process.Kill(); busy.Wait() }() //nolint:errcheck // killed
	s.mustFail(t.Context(), o, "does its archive_command lead elsewhere?")
}

func TestOutageOfTheArchivePasses(t *testing.T) {
	s := newPG(t).primary()
	o, events := s.options()
	away := &sometimes{Archive: o.Archive, failures: 5}
	o.Archive = away
	s.mustTake(o)
	if away.failures > 0 || !strings.Contains(events.notices(), "the archive cannot be asked now") {
		t.Errorf("%d, %s", away.failures, events.notices())
	}
}

// sometimes is an archive that does not answer at first.
type sometimes struct {
	Archive
	failures int
}

func (a *sometimes) Has(ctx context.Context, name string) (bool, error) {
	if a.failures > 0 {
		a.failures--
		return false, errors.New("connection refused")
	}
	return a.Archive.Has(ctx, name)
}

func TestSessionThatIsKilledEndsTheBackup(t *testing.T) {
	s := newPG(t).primary()
	o, events := s.options()
	err := s.during(t.Context(), o, events, func() {
		s.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'pg_manage backup'")
	})
	if err == nil || !strings.Contains(err.Error(), "the session that holds the server in backup mode") {
		t.Errorf("got %v", err)
	}
	s.unlisted(o)
}

func TestServerThatIsKilledEndsTheBackup(t *testing.T) {
	s := newPG(t).primary()
	o, events := s.options()
	err := s.during(t.Context(), o, events, func() { s.run(s.bin+"/pg_ctl", "-D", s.data, "-w", "-m", "immediate", "stop") })
	if err == nil || !strings.Contains(err.Error(), "the session that holds the server in backup mode") {
		t.Errorf("got %v", err)
	}
	s.unlisted(o)
}

func TestInterruptLeavesNeitherBackupModeNorFiles(t *testing.T) {
	s := newPG(t).primary()
	o, events := s.options()
	ctx, cancel := context.WithCancelCause(t.Context())
	interrupted := errors.New("interrupted")
	if err := s.during(ctx, o, events, func() { cancel(interrupted) }); !errors.Is(err, interrupted) {
		t.Errorf("got %v", err)
	}
	s.unlisted(o)
	s.await("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pg_manage backup'", "0")
}

func TestTwoBackupsAtOnceOfOneInstance(t *testing.T) {
	s := newPG(t).primary()
	o, events := s.options()
	err := s.during(t.Context(), o, events, func() {
		second, _ := s.options()
		_, err := Take(t.Context(), second)
		if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("another backup of %s is running (process %d,", s.data, os.Getpid())) {
			t.Errorf("got %v", err)
		}
		second.StateDir = t.TempDir() // another node's, say
		s.mustTake(second)
	})
	if err != nil {
		t.Error(err)
	}
	if l := s.listed(o); len(l) != 2 {
		t.Errorf("listed are %v", l)
	}
}

func TestWrongServersAreRefused(t *testing.T) {
	p := newPG(t)
	s := p.primary()
	refused := func(want string, change func(o *Options)) {
		t.Helper()
		o, _ := s.options()
		change(&o)
		s.mustFail(t.Context(), o, want)
	}
	refused("the cluster main has 7000000000000000001: this is another cluster's data", func(o *Options) { o.SystemIdentifier = "7000000000000000001" })
	refused("and not 99 as declared", func(o *Options) { o.Server.Major = 99 })
	refused("cannot be part of a backup's label", func(o *Options) { o.Node = "a/b" })

	p.run("cp", "-a", s.data, p.root+"/copy")
	refused(" runs on "+s.data+", and not on "+p.root+"/copy", func(o *Options) { o.Server.DataDir = p.root + "/copy" })

	p.run(p.bin+"/initdb", "-D", p.root+"/other", "-A", "trust", "-N", "-U", "postgres")
	refused("they do not belong together", func(o *Options) { o.Server.DataDir = p.root + "/other" })

	s.sql("CREATE ROLE plain LOGIN")
	refused("the role plain may not take backups", func(o *Options) { o.Server.User = "plain" })
	refused("no such file or directory", func(o *Options) { o.Server.Port = 1 })

	p.write(filepath.Join(p.archive, "archive.json"), `{"version": 1, "cluster": "main", "system_identifier": "7000000000000000001", "segment_size": 1048576}`)
	refused("is the archive of the cluster with system identifier 7000000000000000001", func(o *Options) {
		o.Archive = s.lookup(7000000000000000002)
	})
}

func TestServerWithoutArchivingIsRefused(t *testing.T) {
	s := newPG(t).primary("archive_mode = off")
	o, _ := s.options()
	s.mustFail(t.Context(), o, "archive_mode is off")
	s.stop()
	s.configure("archive_mode = on", "archive_command = ''")
	s.start()
	s.mustFail(t.Context(), o, "archive_command is empty")
	s.stop()
	s.configure("archive_mode = off", "wal_level = minimal", "max_wal_senders = 0")
	s.start()
	s.mustFail(t.Context(), o, "wal_level is minimal")
}
