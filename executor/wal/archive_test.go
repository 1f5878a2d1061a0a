package wal

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestArchiveAndRestore(t *testing.T) {
	in := newInstance(t)
	s := in.init()
	history := []byte("1\t0/1000000\tno recovery target specified\n")
	backup := []byte("START WAL LOCATION: 0/1000028 (file " + seg1 + ")\nSTOP WAL LOCATION: 0/1000100 (file " + seg1 + ")\n")
	files := map[string][]byte{
		seg1:                      s,
		seg2 + ".partial":         segment(t, seg2, 2),
		"00000002.history":        history,
		seg1 + ".00000028.backup": backup,
		// The first segment of a new timeline starts as a copy of the old one's.
		"000000020000000000000002": segment(t, seg2, 3),
	}
	for name, content := range files {
		in.write("pg_wal/"+name, content)
		for range 2 { // the second time it is there already
			in.must(ExitOK, "archive", "pg_wal/"+name)
		}
		in.must(ExitOK, "restore", name, "pg_wal/RECOVERYXLOG")
		if got, err := os.ReadFile("pg_wal/RECOVERYXLOG"); err != nil || !bytes.Equal(got, content) {
			t.Errorf("%s came back other than it went: %v", name, err)
		}
	}
	if n := len(in.inArchive()); n != len(files)+1 {
		t.Errorf("the archive holds %v", n)
	}
	if left, _ := filepath.Glob("pg_wal/xlogtemp*"); len(left) > 0 {
		t.Errorf("left over: %v", left)
	}
}

// TestArchiveRefuses: nothing may become visible, and the status is never 0.
func TestArchiveRefuses(t *testing.T) {
	in := newInstance(t)
	in.init()
	before := len(in.inArchive())
	patch := func(at int, b ...byte) []byte {
		s := segment(t, seg2, 2)
		copy(s[at:], b)
		return s
	}
	other := patch(24)
	binary.LittleEndian.PutUint64(other[24:], system+1)
	big := segment(t, seg2, 2)
	binary.LittleEndian.PutUint32(big[32:], 2*segSize)
	for what, c := range map[string]struct {
		name    string
		content []byte
	}{
		"cut short":                {seg2, segment(t, seg2, 2)[:segSize-1]},
		"half":                     {seg2, segment(t, seg2, 2)[:segSize/2]},
		"empty":                    {seg2, nil},
		"too long":                 {seg2, append(segment(t, seg2, 2), 0)},
		"zeros":                    {seg2, make([]byte, segSize)},
		"garbage":                  {seg2, bytes.Repeat([]byte("garbage "), segSize/8)},
		"other cluster":            {seg2, other},
		"other segment":            {seg2, segment(t, seg1, 2)},
		"later timeline":           {seg2, segment(t, "000000020000000000000002", 2)},
		"other segment size":       {seg2, append(big, make([]byte, segSize)...)},
		"partial cut short":        {seg2 + ".partial", segment(t, seg2, 2)[:100]},
		"history garbage":          {"00000002.history", []byte("garbage\n")},
		"history empty":            {"00000002.history", nil},
		"history of itself":        {"00000002.history", []byte("2\t0/1000000\tx\n")},
		"history too long":         {"00000002.history", bytes.Repeat([]byte("# x\n"), 1<<19)},
		"backup garbage":           {seg1 + ".00000028.backup", []byte("garbage\n")},
		"backup of another":        {seg1 + ".00000028.backup", []byte("START WAL LOCATION: 0/2000028 (file " + seg2 + ")\n")},
		"name: lower case":         {"00000001000000000000000a", segment(t, seg2, 2)},
		"name: no WAL":             {"postgresql.conf", []byte("x")},
		"name: gz":                 {seg2 + ".gz", segment(t, seg2, 2)},
		"name: impossible segment": {"000000010000000000002000", segment(t, seg2, 2)},
	} {
		in.write("pg_wal/"+c.name, c.content)
		if status, said := in.hook("archive", "pg_wal/"+c.name); status != ExitRefused {
			t.Errorf("%s: status %d: %s", what, status, said)
		}
		if now := len(in.inArchive()); now != before {
			t.Fatalf("%s: something became visible in the archive", what)
		}
		if err := os.Remove(filepath.Join(in.data, "pg_wal", c.name)); err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range []string{"pg_wal/" + seg2, "../target/" + seg1, "/etc/passwd", "pg_wal/../" + seg1, "", "pg_wal/archive_status/../../" + seg1} {
		if status, said := in.hook("archive", path); status == ExitOK || status > 125 || len(in.inArchive()) != before {
			t.Errorf("path %q: status %d: %s", path, status, said)
		}
	}
	for _, args := range [][]string{{"archive"}, {"archive", "a", "b"}, {"archive", "-n", "pg_wal/" + seg1}, {"status", "x"}, {"cleanup"}} {
		if status, _ := in.hook(args...); status != ExitUsage {
			t.Errorf("%v: status %d", args, status)
		}
	}
	// What may be a restore that somebody misspelled is no answer to one.
	for _, args := range [][]string{{}, {"restor", seg1, "pg_wal/RECOVERYXLOG"}, {"nonsense"}, {"--bad"}, {"--bad", "archive", "a"}, {"--restore", seg1, "a"}} {
		if status, _ := in.hook(args...); status != ExitUnknown {
			t.Errorf("%v: status %d", args, status)
		}
	}
	if status := Hook([]string{"archive", "pg_wal/" + seg1}, os.Stdout, &bytes.Buffer{}); status != ExitUsage {
		t.Errorf("without a configuration: status %d", status)
	}
}

func TestNothingIsOverwritten(t *testing.T) {
	in := newInstance(t)
	in.init()
	in.write("pg_wal/00000002.history", []byte("1\t0/1000000\tfirst\n"))
	for _, name := range []string{seg1, "00000002.history"} {
		in.must(ExitOK, "archive", "pg_wal/"+name)
	}
	before := in.inArchive()
	in.write("pg_wal/"+seg1, segment(t, seg1, 99))
	in.write("pg_wal/00000002.history", []byte("1\t0/1000000\tsecond\n"))
	for _, name := range []string{seg1, "00000002.history"} {
		if said := in.must(ExitRefused, "archive", "pg_wal/"+name); !strings.Contains(said, "OTHER content") {
			t.Error(said)
		}
	}
	for name, content := range in.inArchive() {
		if before[name] != content {
			t.Errorf("%s was changed", name)
		}
	}
	// A stored file that is damaged is no success either, and stays for the person who must look.
	in.write("pg_wal/"+seg1, segment(t, seg1, 1))
	file := in.stored(seg1[:16] + "/" + seg1 + ".zst")
	whole := before[file]
	for what, damaged := range map[string]string{
		"cut":       whole[:len(whole)-3],
		"empty":     "",
		"one byte":  whole[:len(whole)/2] + string(whole[len(whole)/2]^1) + whole[len(whole)/2+1:],
		"more":      whole + whole,
		"no magic":  "x" + whole[1:],
		"checksum":  whole[:len(whole)-1] + string(whole[len(whole)-1]^1),
		"trailing":  whole + "x",
		"header":    whole[:4] + "\xff" + whole[5:],
		"half only": whole[:len(whole)/2],
	} {
		if err := os.WriteFile(file, []byte(damaged), 0o600); err != nil {
			t.Fatal(err)
		}
		if status, said := in.hook("archive", "pg_wal/"+seg1); status != ExitRefused {
			t.Errorf("%s: archive ended with %d: %s", what, status, said)
		}
		for _, mode := range []struct {
			standby bool
			want    int
		}{{false, ExitUnclear}, {true, ExitRetry}} {
			if mode.standby {
				in.write("standby.signal", nil)
			}
			status, said := in.hook("restore", "--retries", "0", seg1, "pg_wal/RECOVERYXLOG")
			if status != mode.want {
				t.Errorf("%s: restore ended with %d: %s", what, status, said)
			}
			if found, _ := filepath.Glob("pg_wal/*[XM]*"); len(found) > 0 {
				t.Errorf("%s: restore left %v", what, found)
			}
			os.Remove("standby.signal") //nolint:errcheck // it may not be there
		}
	}
}

func TestInstanceGuards(t *testing.T) {
	in := newInstance(t)
	in.init()
	in.must(ExitOK, "archive", "pg_wal/"+seg1)
	// A copied data directory runs the same command, with its own working directory.
	clone := filepath.Join(filepath.Dir(in.data), "clone")
	if err := os.CopyFS(clone, os.DirFS(in.data)); err != nil {
		t.Fatal(err)
	}
	t.Chdir(clone)
	if said := in.must(ExitRefused, "archive", "pg_wal/"+seg1); !strings.Contains(said, "copied data directory") {
		t.Error(said)
	}
	in.must(ExitUnclear, "restore", seg1, "pg_wal/RECOVERYXLOG")
	t.Chdir(in.data)
	// Another cluster in this very place.
	head := make([]byte, 512)
	binary.LittleEndian.PutUint64(head, system+5)
	binary.LittleEndian.PutUint32(head[8:], 1700)
	in.write("global/pg_control", head)
	in.must(ExitRefused, "archive", "pg_wal/"+seg1)
	if said := in.must(ExitRefused, "init"); !strings.Contains(said, "archive of its own") {
		t.Error(said)
	}
	s := segment(t, seg2, 1)
	binary.LittleEndian.PutUint64(s[24:], system+5)
	in.write("pg_wal/"+seg2, s)
	if said := in.must(ExitRefused, "archive", "pg_wal/"+seg2); !strings.Contains(said, "archive of its own") {
		t.Error(said)
	}
	// "Not there" in a foreign archive says nothing.
	in.must(ExitUnclear, "restore", "--retries", "0", seg2, "pg_wal/RECOVERYXLOG")
}

func TestConfigGuards(t *testing.T) {
	in := newInstance(t)
	in.init()
	for what, change := range map[string]func(c *Config){
		"version":       func(c *Config) { c.Version = 1 },
		"cluster":       func(c *Config) { c.Cluster = "../x" },
		"relative":      func(c *Config) { c.DataDir = "data" },
		"no target":     func(c *Config) { c.Targets[0].Path = "" },
		"compression":   func(c *Config) { c.Targets[0].Compression = "lzma" },
		"none required": func(c *Config) { c.Targets[0].Required = false },
		"twice":         func(c *Config) { c.Targets = append(c.Targets, c.Targets[0]) },
		"name":          func(c *Config) { c.Targets[0].Name = "../x" },
		"scheme":        func(c *Config) { c.Targets[0].Scheme = "ftp" },
		"not mounted":   func(c *Config) { c.Targets[0].Scheme = "nfs" },
	} {
		in.writeConfig(change)
		if status, said := in.hook("archive", "pg_wal/"+seg1); status == ExitOK || status > 125 {
			t.Errorf("%s: archive ended with %d: %s", what, status, said)
		}
		if status, said := in.hook("restore", "--retries", "0", seg1, "pg_wal/RECOVERYXLOG"); status != ExitUnclear {
			t.Errorf("%s: restore ended with %d: %s", what, status, said)
		}
	}
	in.writeConfig(nil)
	if err := os.Chmod(in.config, 0o666); err != nil {
		t.Fatal(err)
	}
	in.must(ExitRefused, "archive", "pg_wal/"+seg1)
	if err := os.Remove(in.config); err != nil {
		t.Fatal(err)
	}
	in.must(ExitRefused, "archive", "pg_wal/"+seg1)
	in.must(ExitUnclear, "restore", seg1, "pg_wal/RECOVERYXLOG")
	in.config = filepath.Join(in.data, "hook.json")
	in.writeConfig(nil)
	if said := in.must(ExitRefused, "archive", "pg_wal/"+seg1); !strings.Contains(said, "inside the data directory") {
		t.Error(said)
	}
}

func TestInitAndStatus(t *testing.T) {
	in := newInstance(t)
	status := func(want string) {
		t.Helper()
		if said := in.must(ExitOK, "status"); !strings.Contains(said, `"state":"`+want+`"`) {
			t.Errorf("want %s: %s", want, said)
		}
	}
	status(StateAbsent)
	in.write("pg_wal/"+seg1, segment(t, seg1, 1))
	if said := in.must(ExitFailed, "archive", "pg_wal/"+seg1); !strings.Contains(said, "pg_manage apply") {
		t.Error(said)
	}
	in.must(ExitUnclear, "restore", "--retries", "0", seg1, "pg_wal/RECOVERYXLOG")
	if len(in.inArchive()) != 0 {
		t.Error("an archive that nobody set up was written to")
	}
	for range 2 {
		in.must(ExitOK, "init")
	}
	status(StateOurs)
	in.must(ExitRefused, "init", "--segment-size", "16777216")
	in.must(ExitRefused, "init", "--system-identifier", "42")
	if err := os.WriteFile(in.stored("archive.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	status(StateForeign)
	in.must(ExitRefused, "archive", "pg_wal/"+seg1)
	if err := os.Rename(in.stored("archive.json"), in.stored("other")); err != nil {
		t.Fatal(err)
	}
	status(StateForeign)
	if said := in.must(ExitRefused, "init"); !strings.Contains(said, "not empty") {
		t.Error(said)
	}
	in.writeConfig(func(c *Config) { c.Targets[0].Scheme = "nfs" })
	status(StateUnreachable)
}

func TestCleanup(t *testing.T) {
	in := newInstance(t)
	in.init()
	names := []string{seg1, seg2, "000000010000000000000003", "000000010000000000000004", "000000010000000000000005"}
	for _, n := range names {
		in.write("pg_wal/"+n, segment(t, n, 1))
		in.must(ExitOK, "archive", "pg_wal/"+n)
	}
	backup := names[2] + ".00000028.backup"
	in.write("pg_wal/"+backup, []byte("START WAL LOCATION: 0/300028 (file "+names[2]+")\n"))
	in.must(ExitOK, "archive", "pg_wal/"+backup)
	in.must(ExitOK, "cleanup", names[4])
	for i, n := range names {
		want := ExitOK
		if i < 2 { // the others are what the backup needs
			want = ExitAbsent
		}
		in.must(want, "restore", n, "pg_wal/RECOVERYXLOG")
	}
	in.must(ExitRefused, "cleanup", "../x")
}
