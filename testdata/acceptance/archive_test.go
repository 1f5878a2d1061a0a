package acceptance

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"path"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"pg_manage/testdata/lab"
)

// underFire is how many segments a primary archives while the test shoots at what archives them.
const underFire = 500

// TestArchiveUnderFire: a primary under load archives to a target behind SSH, while its archiver is killed every second
// and the cable to the target is cut and joined. Every segment that PostgreSQL holds for archived is in the archive, byte
// by byte, and none is missing.
func TestArchiveUnderFire(t *testing.T) {
	t.Parallel()
	s := newSite(t, "trixie", "node1")
	s.declare([]string{"node1"}, `parameters = { wal_keep_size = "64GB", max_wal_size = "4GB" }`) // the originals stay, to compare with
	s.apply()
	n := s.node("node1")
	asPostgres := func(script string) { n.Shell(t, "postgres", script) }
	asPostgres("/usr/lib/postgresql/17/bin/pgbench --quiet --initialize --scale=10 postgres")

	stop := make(chan struct{})
	var all sync.WaitGroup
	kills := 0
	all.Go(func() { // the load, in rounds that end with a new segment
		for {
			select {
			case <-stop:
				return
			default:
			}
			if out, err := n.Exec("runuser", "-u", "postgres", "--", "sh", "-c",
				"/usr/lib/postgresql/17/bin/pgbench --client=2 --transactions=40 postgres >/dev/null 2>&1; psql -qAtXc 'SELECT pg_switch_wal()' postgres"); err != nil {
				t.Errorf("the load: %v: %s", err, out)
				return
			}
		}
	})
	all.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(time.Second):
			}
			if pid := archiverPID(n); pid != 0 {
				if _, err := n.Exec("kill", "-9", strconv.Itoa(pid)); err == nil {
					kills++
				}
			}
		}
	})
	all.Go(func() {
		for _, away := range []time.Duration{3 * time.Second, 12 * time.Second, 70 * time.Second, 3 * time.Second, 12 * time.Second, 3 * time.Second} {
			select {
			case <-stop:
				return
			case <-time.After(10 * time.Second):
			}
			if err := s.node("vault").Cut(); err != nil {
				t.Error(err)
			}
			select { // not just the pause: the cable must be back at the end
			case <-stop:
			case <-time.After(away):
			}
			if err := s.node("vault").Join(); err != nil {
				t.Error(err)
			}
		}
	})
	began := time.Now()
	eventually(t, 15*time.Minute, fmt.Sprintf("%d segments archived under fire", underFire), func() bool {
		out, err := tryPSQL(n, "SELECT archived_count FROM pg_stat_archiver")
		count, cerr := strconv.Atoi(out)
		return err == nil && cerr == nil && count >= underFire
	})
	close(stop)
	all.Wait()
	if err := s.node("vault").Join(); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d archivers were killed in %s; failed archive commands: %s", kills, time.Since(began).Round(time.Second), psql(t, n, "SELECT failed_count FROM pg_stat_archiver"))
	if kills < 20 {
		t.Errorf("only %d archivers were killed", kills)
	}
	eventually(t, 5*time.Minute, "all that was written is archived", func() bool {
		psql(t, n, "SELECT pg_switch_wal()") // wakes PostgreSQL's archiver, which may pause for a minute after failures
		out, err := n.Exec("sh", "-c", "ls /var/lib/postgresql/17/main/pg_wal/archive_status | grep -c 'ready$'")
		return strings.TrimSpace(out) == "0" && (err == nil || strings.Contains(err.Error(), "exit status 1"))
	})
	compareArchive(t, n, s.node("vault"), underFire)
	s.settled()
}

// archiverPID asks the archiver of the node for its process ID; 0 when none runs.
func archiverPID(n *lab.Node) int {
	out, err := n.Exec("sh", "-c", `for p in /proc/[0-9]*; do
		tr '\0' ' ' <"$p/cmdline" 2>/dev/null | grep -q 'hook.json archiver' && echo "${p#/proc/}"
	done | head -n 1`)
	pid, aerr := strconv.Atoi(strings.TrimSpace(out))
	if err != nil || aerr != nil {
		return 0
	}
	return pid
}

// compareArchive compares every segment that a node has archived with what the vault has of it.
func compareArchive(t *testing.T, n, vault *lab.Node, least int) {
	t.Helper()
	const data = "/var/lib/postgresql/17/main/pg_wal"
	sums := n.Run(t, "sh", "-c", "cd "+data+" && for f in archive_status/*.done; do n=${f##*/}; sha256sum ${n%.done}; done")
	stored := archivedSums(t, vault)
	compared := 0
	for line := range strings.Lines(sums) {
		f := strings.Fields(line)
		if len(f) != 2 {
			t.Fatalf("what is this: %q", line)
		}
		switch got := stored[f[1]]; got {
		case f[0]:
			compared++
		case "":
			t.Errorf("%s is acknowledged and not in the archive", f[1])
		default:
			t.Errorf("%s is in the archive with other content", f[1])
		}
	}
	if compared < least {
		t.Errorf("only %d segments were compared", compared)
	}
	t.Logf("%d segments are in the archive, byte by byte", compared)
}

// archivedSums reads the whole archive of the vault: name to SHA-256 of the plain content.
func archivedSums(t *testing.T, vault *lab.Node) map[string]string {
	t.Helper()
	cmd := vault.Command("tar", "-C", "/backup/pg_archlog/main", "-cf", "-", ".")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	dec, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer dec.Close()
	sums := map[string]string{}
	for r := tar.NewReader(out); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		name := path.Base(h.Name)
		if h.Typeflag != tar.TypeReg || name == "archive.json" {
			continue
		}
		plain, packed := strings.CutSuffix(name, ".zst")
		content := io.Reader(r)
		if packed {
			if err := dec.Reset(r); err != nil {
				t.Fatal(err)
			}
			content = dec
		}
		sum := sha256.New()
		if _, err := io.Copy(sum, content); err != nil {
			t.Errorf("%s: %v", h.Name, err)
			continue
		}
		sums[plain] = hex.EncodeToString(sum.Sum(nil))
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	return sums
}
