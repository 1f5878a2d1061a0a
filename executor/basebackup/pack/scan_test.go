package pack

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"pg_manage/executor/basebackup/index"
)

// TestWhatIsLeftOut: what the manual says isn't copied, and nothing else.
func TestWhatIsLeftOut(t *testing.T) {
	d := newDir(t)
	space, wal := t.TempDir(), t.TempDir()
	for _, sub := range []string{"pg_dynshmem", "pg_notify/deep", "pg_serial", "pg_snapshots", "pg_stat_tmp", "pg_subtrans", "pg_replslot/slot", "pg_stat", "base/pgsql_tmp", "log"} {
		d.mkdir(sub)
	}
	if err := os.RemoveAll(d.path + "/pg_wal"); err != nil {
		t.Fatal(err)
	}
	for _, sub := range []string{wal + "/archive_status", wal + "/summaries", space + "/" + versionDir + "/5", space + "/PG_14_202107181/5", space + "/" + versionDir + "/pgsql_tmp"} {
		if err := os.MkdirAll(sub, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, link := range [][2]string{{wal, "pg_wal"}, {space, "pg_tblspc/16390"}, {"/etc/hostname", "link.conf"}, {"/etc", "pg_tblspc/strange"}} {
		if err := os.Symlink(link[0], d.path+"/"+link[1]); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mkfifo(d.path+"/fifo", 0o600); err != nil {
		t.Fatal(err)
	}
	kept := strings.Fields(`postgresql.auto.conf global/1262 global/pg_filenode.map base/5/PG_VERSION base/5/100_init base/5/100_init.1 base/5/101 base/5/101_fsm
		base/5/tx_1 log/postmaster.pid pg_stat/pgstat.stat pg_xact/0000 standby.signal`)
	left := strings.Fields(`postmaster.pid postmaster.opts postgresql.auto.conf.tmp current_logfiles current_logfiles.tmp backup_label backup_label.old tablespace_map
		tablespace_map.old backup_manifest global/pg_internal.init base/5/pg_internal.init.123 base/5/pgsql_tmp77.0 base/pgsql_tmp/x
		base/5/100 base/5/100.1 base/5/100_fsm base/5/100_vm base/5/t3_200 base/5/t3_200_fsm pg_dynshmem/x pg_notify/0000 pg_notify/deep/x pg_serial/x
		pg_snapshots/x pg_stat_tmp/x pg_subtrans/0000 pg_replslot/slot/state pg_wal/000000010000000000000001`)
	for _, path := range append(slices.Clone(kept), left...) {
		d.write(path, []byte(path))
	}
	for _, path := range []string{versionDir + "/5/300", versionDir + "/pgsql_tmp/x", "PG_14_202107181/5/300", "other"} {
		if err := os.WriteFile(space+"/"+path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	b := d.take(newStore(t, "none"), func(o *Options) { o.Cold = false }, nil)
	var got []string
	for path, e := range b.entries {
		if e.Path != "" {
			got = append(got, path)
		}
	}
	want := append(slices.Clone(kept), "PG_VERSION", controlFile, "pg_tblspc/16390/"+versionDir+"/5/300")
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("have\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	for _, dir := range []string{"pg_dynshmem", "pg_notify", "pg_replslot", "pg_subtrans", "pg_wal/archive_status", "pg_wal/summaries", "log", "pg_tblspc", "pg_tblspc/16390/" + versionDir + "/5"} {
		if e := b.entries[dir]; e == nil || e.Dir == "" || e.Mode != 0o700 {
			t.Errorf("%s: %+v", dir, e)
		}
	}
	if e := b.entries["pg_wal"]; e == nil || e.Link != "pg_wal" || e.To != wal {
		t.Errorf("%+v", e)
	}
	if e := b.entries["pg_tblspc/16390"]; e == nil || e.Link == "" || e.To != space {
		t.Errorf("%+v", e)
	}
	for _, dir := range []string{"pg_notify/deep", "base/pgsql_tmp", "pg_tblspc/16390/PG_14_202107181", "pg_tblspc/16390", "pg_wal"} {
		if e := b.entries[dir]; e != nil && e.Dir != "" {
			t.Errorf("%+v", e)
		}
	}
	for _, word := range []string{"fifo", "link.conf", "pg_tblspc/strange"} {
		if !slices.ContainsFunc(d.notices, func(n string) bool { return strings.HasPrefix(n, word) }) {
			t.Errorf("%s is left out without a word: %v", word, d.notices)
		}
	}
	same := d.take(newStore(t, "none"), nil, nil) // of a stopped server
	if same.entries["base/5/100"] == nil || same.entries["base/5/t3_200"] != nil {
		t.Error("a stopped server's unlogged relations are needed, temporary ones are not")
	}
}

// TestTablespacesAsOfTheBeginning: a tablespace that came later is in the WAL.
func TestTablespacesAsOfTheBeginning(t *testing.T) {
	d := newDir(t)
	for _, oid := range []string{"16390", "16391"} {
		to := t.TempDir()
		if err := os.MkdirAll(to+"/"+versionDir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(to, d.path+"/pg_tblspc/"+oid); err != nil {
			t.Fatal(err)
		}
	}
	b := d.take(newStore(t, "none"), func(o *Options) { o.Tablespaces = map[uint32]string{16390: "/as/the/server/says"} }, nil)
	if e := b.entries["pg_tblspc/16390"]; e == nil || e.To != "/as/the/server/says" {
		t.Errorf("%+v", e)
	}
	if b.entries["pg_tblspc/16391"] != nil {
		t.Error("a tablespace that came later is in the backup")
	}
}

func TestDirectoriesThatCannotBeCopiedAreRefused(t *testing.T) {
	fails := func(d *dir, words ...string) {
		t.Helper()
		_, err := New(context.Background(), d.options(newStore(t, "none")))
		for _, word := range words {
			if err == nil || !strings.Contains(err.Error(), word) {
				t.Errorf("%v, want %q", err, word)
			}
		}
	}
	d := newDir(t)
	if err := os.Rename(d.path+"/pg_xact", d.path+"/elsewhere"); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("elsewhere", d.path+"/pg_xact"); err != nil {
		t.Fatal(err)
	}
	fails(d, "pg_xact is a symbolic link")
	d = newDir(t)
	if err := os.Truncate(filepath.Join(d.path, "PG_VERSION"), maxFile+1); err != nil {
		t.Fatal(err)
	}
	fails(d, "PG_VERSION", "files of more than")
	fails(&dir{t: t, path: t.TempDir()}, "is no data directory")
	d = newDir(t)
	b := files(t, d.path)[controlFile]
	d.write(controlFile, append([]byte{b[0] ^ 1}, b[1:]...))
	p, err := New(context.Background(), d.options(newStore(t, "none")))
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Files(context.Background()); err == nil || !strings.Contains(err.Error(), "pg_control is damaged") {
		t.Error(err)
	}
}

// TestFilesThatChange vanish, grow and shrink between looking and copying.
func TestFilesThatChange(t *testing.T) {
	d := newDir(t)
	for _, name := range []string{"goes", "grows", "grows_much", "shrinks", "big_goes", "big_grows", "replaced"} {
		n := 10_000
		if strings.HasPrefix(name, "big") {
			n = 2 << 20
		}
		d.write("base/5/"+name, noise(n, 1))
	}
	d.mkdir("base/6")
	d.write("base/6/x", nil)
	b := d.take(newStore(t, "zstd"), nil, func() {
		for _, path := range []string{"base/5/goes", "base/5/big_goes", "base/6", "base/5/replaced"} {
			if err := os.RemoveAll(d.path + "/" + path); err != nil {
				t.Fatal(err)
			}
		}
		d.write("base/5/grows", noise(20_000, 1))
		d.write("base/5/grows_much", noise(5<<20, 1))
		d.write("base/5/big_grows", noise(4<<20, 1))
		d.write("base/5/shrinks", noise(100, 1))
		d.write("base/5/new", noise(100, 1))
		if err := syscall.Mkfifo(d.path+"/base/5/replaced", 0o600); err != nil {
			t.Fatal(err)
		}
	})
	want := files(t, d.path)
	delete(want, "base/5/new")
	same(t, files(t, b.tar(t)), want)
}

// TestFileThatShrinksWhileItIsRead is filled up with zeroes.
func TestFileThatShrinksWhileItIsRead(t *testing.T) {
	d := newDir(t)
	was := noise(8<<20, 1)
	d.write("base/5/big", was)
	o := d.options(newStore(t, "none"))
	o.Workers = 1
	cut := false
	o.Progress = func(done, _ int64) {
		if done > 0 && !cut {
			cut = true
			if err := os.Truncate(d.path+"/base/5/big", 5_000_001); err != nil {
				t.Error(err)
			}
		}
	}
	p, err := New(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Files(context.Background()); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Finish(context.Background(), nil, nil); err != nil {
		t.Fatal(err)
	}
	b := &backup{store: o.Store.(*store), entries: o.Store.(*store).entries(t)}
	if b.coder, err = newCoder("none"); err != nil {
		t.Fatal(err)
	}
	got := content(t, "base/5/big", []*backup{b})
	want := append(was[:5_000_001:5_000_001], make([]byte, 8<<20-5_000_001)...)
	if string(got) != string(want) || index.Blocks(int64(len(got))) != 1024 {
		t.Errorf("%d bytes", len(got))
	}
}
