package acceptance

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"pg_manage/testdata/lab"
)

// TestPITROracle restores to many points of a cluster that was promoted twice, onto another host, and compares the rows
// with what pg_waldump says was committed by then.
func TestPITROracle(t *testing.T) {
	t.Parallel()
	s := newSite(t, "trixie", "node1", "node2")
	n1, n2 := s.node("node1"), s.node("node2")
	manual := `backup "manual" { target = "vault" }`
	s.declare([]string{"node1"}, manual)
	s.converge()
	rows := []map[string]int{{}, {}, {}} // of each timeline: another one has the same transaction IDs for others
	mark := func(name string) { psql(t, n1, "SELECT pg_create_restore_point('"+name+"')") }
	psql(t, n1, "CREATE TABLE oracle (id int PRIMARY KEY, fill text)")
	s.ok("backup", "main", "--full")
	s.writeRows("node1", 1, 20, rows[0])
	mark("one")
	s.writeRows("node1", 21, 20, rows[0])
	s.ok("backup", "main", "--incremental")
	s.writeRows("node1", 41, 20, rows[0])
	mark("two")
	s.writeRows("node1", 61, 20, rows[0])
	s.archived("node1")
	// Back to "two": rows 61 to 80 are on the old timeline alone.
	s.ok("restore", "main", "--to-name=two", "--auto-approve", "--allow-data-loss=node1")
	s.writeRows("node1", 101, 20, rows[1])
	mark("three")
	s.ok("backup", "main", "--incremental")
	s.writeRows("node1", 121, 20, rows[1])
	s.archived("node1")
	s.ok("restore", "main", "--latest", "--auto-approve", "--allow-data-loss=node1")
	s.writeRows("node1", 201, 20, rows[2])
	mark("four")
	s.writeRows("node1", 221, 20, rows[2])
	s.archived("node1")

	const wal = "/var/lib/postgresql/oracle"
	unpackArchive(t, s.node("vault"), n1, wal)
	one := commits(t, n1, wal, 1, rows[0])
	two := slices.Concat(one.before(fork(t, n1, wal, 2)), commits(t, n1, wal, 2, rows[1]))
	three := slices.Concat(two.before(fork(t, n1, wal, 3)), commits(t, n1, wal, 3, rows[2]))
	if len(one.all()) != 80 || len(two.all()) != 100 || len(three.all()) != 140 {
		t.Fatalf("the timelines have %d, %d and %d rows", len(one.all()), len(two.all()), len(three.all()))
	}
	spell := func(at time.Time) string { return at.UTC().Format("2006-01-02 15:04:05.999999") + "+00" }
	zone := func(at time.Time) string {
		return at.In(time.FixedZone("", 5*3600+1800)).Format("2006-01-02T15:04:05.999999-07:00")
	}
	type point struct {
		block string
		want  []int
	}
	var points []point
	add := func(want []int, format string, args ...any) {
		points = append(points, point{fmt.Sprintf(format, args...), want})
	}
	for _, x := range []struct {
		h        history
		row      int
		timeline string
	}{{one, 75, "1"}, {two, 110, "2"}, {three, 215, "latest"}} {
		c := x.h.of(t, x.row)
		at := func(d commit) bool { return d.xid == c.xid }
		add(x.h.until(at, true), "xid = %q\n timeline = %q", c.xid, x.timeline)
		add(x.h.until(at, false), "xid = %q\n inclusive = false\n timeline = %q", c.xid, x.timeline)
		add(x.h.until(at, true), "lsn = %q\n timeline = %q", c.lsn, x.timeline)
		add(x.h.until(at, false), "lsn = %q\n inclusive = false\n timeline = %q", c.lsn, x.timeline)
		add(x.h.untilTime(c.at, true), "time = %q\n timeline = %q", spell(c.at), x.timeline)
		add(x.h.untilTime(c.at, false), "time = %q\n inclusive = false\n timeline = %q", zone(c.at), x.timeline)
	}
	upTo := func(h history, last int) []int {
		return slices.DeleteFunc(h.all(), func(row int) bool { return row > last })
	}
	add(upTo(one, 20), "name = \"one\"")
	add(upTo(one, 60), "name = \"two\"\n timeline = \"1\"")
	add(upTo(two, 120), "name = \"three\"")
	add(upTo(three, 220), "name = \"four\"")
	add(upTo(one, 40), "immediate = true\n backup = %q", s.backups()[1])
	add(three.all(), "")
	add(one.all(), "timeline = \"1\"")

	copied := newOperator(t, s.lab)
	copied.env = s.env
	for i, p := range points {
		if t.Failed() {
			return
		}
		copied.write("cluster.hcl", fmt.Sprintf(`target "vault" { url = "ssh://backup@{{vault}}/backup" }
cluster "copy%d" {
  version = 17
  connection { user = "postgres" }
  node "node2" {
    host = "{{node2}}"
    role = "primary"
  }
  archive { target = "vault" }
  bootstrap {
    restore {
      target  = "vault"
      cluster = "main"
      %s
    }
  }
}
`, i, p.block))
		copied.apply()
		copied.settled()
		got := psql(t, n2, "SELECT coalesce(string_agg(id::text, ' ' ORDER BY id), '') FROM oracle")
		if want := strings.Trim(fmt.Sprint(p.want), "[]"); got != want {
			t.Errorf("%s:\ngot  %s\nwant %s", p.block, got, want)
		}
		if i == 0 || i == len(points)-1 {
			n2.Shell(t, "postgres", pgbin(n2, "pg_amcheck")+" --install-missing --all")
		}
		n2.Shell(t, "postgres", fmt.Sprintf("pg_ctlcluster 17 main stop; rm -rf /var/lib/postgresql/17/main /var/lib/postgresql/17/main.* /var/lib/postgresql/.pg_manage/copy%d", i))
		n2.Run(t, "sh", "-c", "rm -rf /etc/postgresql/17/main")
	}
	t.Logf("%d points", len(points))
	s.settled()
}

// fork tells where a timeline left its parent.
func fork(t testing.TB, n *lab.Node, dir string, timeline int) string {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(n.Run(t, "cat", fmt.Sprintf("%s/%08X.history", dir, timeline))), "\n")
	return strings.Fields(lines[len(lines)-1])[1]
}

// unpackArchive puts the plain files of the vault's archive into a directory of a node.
func unpackArchive(t testing.TB, vault, n *lab.Node, dir string) {
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
	n.Run(t, "install", "-d", "-o", "postgres", dir)
	into := n.Command("tar", "-C", dir, "--no-same-owner", "--mode=0644", "-xf", "-")
	in, err := into.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := into.Start(); err != nil {
		t.Fatal(err)
	}
	w := tar.NewWriter(in)
	for r := tar.NewReader(out); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		name, packed := strings.CutSuffix(path.Base(h.Name), ".zst")
		if h.Typeflag != tar.TypeReg {
			continue
		}
		content := io.Reader(r)
		if packed {
			if err := dec.Reset(r); err != nil {
				t.Fatal(err)
			}
			content = dec
		}
		var plain bytes.Buffer
		if _, err := io.Copy(&plain, content); err != nil {
			t.Fatal(err)
		}
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(plain.Len())}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(plain.Bytes()); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), in.Close(), into.Wait(), cmd.Wait()); err != nil {
		t.Fatal(err)
	}
}
