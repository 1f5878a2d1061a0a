package acceptance

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pg_manage/testdata/lab"
)

// begin runs pg_manage beside the test; end waits until it has ended.
func (s *site) begin(args ...string) (end func() result) {
	s.t.Helper()
	done := make(chan result, 1)
	cmd := s.command(args...)
	go func() {
		defer close(done)
		done <- finish(s.t, cmd)
	}()
	return func() result {
		s.t.Helper()
		r, ok := <-done
		if !ok {
			s.t.FailNow() // it has said why
		}
		return r
	}
}

// unframed is what a command said, in one line and without the frame around its errors.
func (r result) unframed() result {
	r.stdout = strings.Join(strings.Fields(strings.ReplaceAll(r.stdout+" "+r.stderr, "│", " ")), " ")
	r.stderr = ""
	return r
}

// stored are all files below the directory of backups at the vault.
func (s *site) stored() []string {
	s.t.Helper()
	return strings.Fields(s.node("vault").Run(s.t, "find", "/backup/pg_hotbackup", "-type", "f"))
}

// copying waits until a backup is in the middle of its first part.
func (s *site) copying() {
	s.t.Helper()
	eventually(s.t, time.Minute, "a backup is being stored", func() bool {
		_, err := s.node("vault").Exec("sh", "-c", `d=$(ls -d /backup/pg_hotbackup/main/* | tail -n 1)
			[ ! -e "$d/backup.json" ] && find "$d" -name '.part-*' -size +200k | grep -q .`)
		return err == nil
	})
}

// quiet waits until no work of ours goes on on a node.
func (s *site) quiet(n *lab.Node) {
	s.t.Helper()
	eventually(s.t, 2*time.Minute, "nothing works on "+n.Name+" any more", func() bool {
		_, err := n.Exec("sh", "-c", "! pgrep -f 'pg_manage node (backup|verify|restore)'")
		return err == nil
	})
}

// unheld makes sure that nothing of ours holds the server of a node in backup mode.
func (s *site) unheld(n *lab.Node) {
	s.t.Helper()
	s.quiet(n)
	if got := psql(s.t, n, "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pg_manage backup'"); got != "0" {
		s.t.Errorf("%s sessions of backups are left on %s", got, n.Name)
	}
}

// listed makes sure that the backups are these and that the newest is whole.
func (s *site) listed(want []string) {
	s.t.Helper()
	if got := s.backups(); !slices.Equal(got, want) {
		s.t.Errorf("the backups are %q, want %q", got, want)
	}
	s.ok("verify", "main", want[len(want)-1])
}

// another takes a backup and gives the list that it is the newest of.
func (s *site) another(before []string) []string {
	s.t.Helper()
	s.ok("backup", "main", "--full")
	after := s.backups()
	if len(after) != len(before)+1 || !slices.Equal(after[:len(before)], before) {
		s.t.Fatalf("the backups were %q and are %q", before, after)
	}
	return after
}

// bulk fills a database with some megabytes that do not pack well.
func bulk(t testing.TB, n *lab.Node) {
	t.Helper()
	psql(t, n, "CREATE TABLE bulk AS SELECT g, md5(g::text) || md5((-g)::text) || md5((7 * g)::text) AS fill FROM generate_series(1, 150000) g")
}

// slow is how many megabits a second a host gets that a test wants to meet in the middle.
const slow = 6

// TestBackupFaults has the target of a backup go away, come back and fill up, all in the middle of it.
func TestBackupFaults(t *testing.T) {
	t.Parallel()
	s := newSite(t, "trixie", "node1")
	n, vault := s.node("node1"), s.node("vault")
	if err := vault.SmallDisk("/backup", 400); err != nil {
		t.Fatal(err)
	}
	s.declare([]string{"node1"}, nightly)
	s.converge()
	bulk(t, n)
	labels := s.another(s.backups())
	throttle := func(mbit int) {
		if err := vault.Throttle(mbit); err != nil {
			s.t.Fatal(err)
		}
	}

	t.Run("the cable to the target is cut", s.in(func() {
		throttle(slow)
		end := s.begin("backup", "main", "--full")
		s.copying()
		if err := vault.Cut(); err != nil {
			s.t.Fatal(err)
		}
		r := end().want(s.t, exitError).unframed().says(s.t, "no backup was taken", "ssh://backup@"+vault.IP, "storing part-0", "the connection to the target is lost", "it is listed nowhere, and `pg_manage backup expire` clears it away")
		s.t.Logf("the backup ended %s after it began, and said: %s", r.took.Round(time.Second), r.stdout)
		s.unheld(n)
		if err := vault.Join(); err != nil {
			s.t.Fatal(err)
		}
		throttle(0)
		s.listed(labels)
		labels = s.another(labels)
	}))

	t.Run("what the cut one left is swept once it is old", s.in(func() {
		dead := vault.Run(s.t, "sh", "-c", `for d in /backup/pg_hotbackup/main/*; do [ -e "$d/backup.json" ] || echo "$d"; done`)
		if len(strings.Fields(dead)) != 1 {
			s.t.Fatalf("without backup.json are %q", dead)
		}
		s.ok("backup", "expire", "main", "--auto-approve")
		vault.Run(s.t, "test", "-e", dead) // its writer might be alive
		vault.Run(s.t, "sh", "-c", "find "+dead+" -exec touch -d '4 days ago' {} +")
		psql(s.t, n, "SELECT pg_switch_wal()")
		labels = s.another(labels)
		s.ok("backup", "expire", "main", "--auto-approve")
		if _, err := vault.Exec("test", "-e", dead); err == nil {
			s.t.Errorf("%s is left after its time:\n%s", dead, vault.Run(s.t, "ls", "-la", dead))
		}
		labels = s.backups()
	}))

	t.Run("the cable is cut for some seconds", s.in(func() {
		throttle(slow)
		end := s.begin("backup", "main", "--full")
		s.copying()
		if err := vault.Cut(); err != nil {
			s.t.Fatal(err)
		}
		<-time.After(5 * time.Second) // the fault's own length
		if err := vault.Join(); err != nil {
			s.t.Fatal(err)
		}
		throttle(0)
		end().want(s.t, exitOK)
		s.unheld(n)
		after := s.backups()
		if len(after) != len(labels)+1 {
			s.t.Errorf("the backups were %q and are %q", labels, after)
		}
		labels = after
		s.listed(labels)
	}))

	t.Run("the target is full", s.in(func() {
		before := s.stored()
		throttle(slow)
		end := s.begin("backup", "main", "--full")
		s.copying()
		eventually(s.t, time.Minute, "the target is full", func() bool { return vault.FillDisk("/backup", 512) == nil }) // the backup takes some meanwhile
		throttle(0)
		r := end().want(s.t, exitError).unframed().says(s.t, "no backup was taken", "storing part-0", "no space left")
		s.t.Logf("the backup said: %s", r.stdout)
		s.unheld(n)
		if after := s.stored(); !slices.Equal(after, before) {
			s.t.Errorf("the full target has %q, and had %q before", after, before)
		}
		if got := s.backups(); !slices.Equal(got, labels) {
			s.t.Errorf("the backups are %q, want %q", got, labels)
		}
		// What the backup took is free again, so once more, for the archive.
		if err := vault.FreeDisk("/backup"); err != nil {
			s.t.Fatal(err)
		}
		eventually(s.t, time.Minute, "the target is full", func() bool { return vault.FillDisk("/backup", 0) == nil })
		wal := psql(s.t, n, "SELECT pg_walfile_name(pg_switch_wal())") // cannot be archived now
		eventually(s.t, time.Minute, "PostgreSQL hears that its archive is full", func() bool {
			return psql(s.t, n, "SELECT last_failed_wal >= '"+wal+"' FROM pg_stat_archiver") == "t"
		})
		if err := vault.FreeDisk("/backup"); err != nil {
			s.t.Fatal(err)
		}
		s.listed(labels)
		s.archived("node1")
		vault.Run(s.t, "test", "-s", fmt.Sprintf("/backup/pg_archlog/main/%s/%s.zst", wal[:16], wal))
		labels = s.another(labels)
		s.listed(labels)
	}))
}
