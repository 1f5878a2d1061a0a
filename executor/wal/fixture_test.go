package wal

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"pg_manage/executor/repo"
	"pg_manage/executor/repo/storage"
	"pg_manage/executor/wal/audit/walcheck/waltest"
	"pg_manage/schema/postgres"
)

const (
	system  = uint64(7711132678460134211)
	segSize = postgres.MinSegmentSize
	seg1    = "000000010000000000000001"
	seg2    = "000000010000000000000002"
)

// instance is a directory that looks like a data directory, its configuration and a
// target in a directory. The test runs in it, as PostgreSQL's commands do.
type instance struct {
	t                    *testing.T
	data, target, config string
}

func newInstance(t *testing.T) *instance {
	t.Helper()
	root := t.TempDir()
	in := &instance{t: t, data: filepath.Join(root, "data"), target: filepath.Join(root, "target"), config: filepath.Join(root, "state", "hook.json")}
	for _, d := range []string{in.data + "/global", in.data + "/pg_wal", in.target, filepath.Dir(in.config)} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	head := make([]byte, 512)
	binary.LittleEndian.PutUint64(head, system)
	binary.LittleEndian.PutUint32(head[8:], 1700)
	in.write("global/pg_control", head)
	in.writeConfig(nil)
	t.Chdir(in.data)
	return in
}

func (in *instance) writeConfig(change func(c *Config)) {
	in.t.Helper()
	c := Config{
		Version: ConfigVersion, Cluster: "main", Node: "node1", DataDir: in.data,
		Targets: []repo.Target{{Name: "nas", Scheme: "file", Path: in.target, ArchiveDir: "pg_archlog", BackupDir: "pg_hotbackup", Required: true}},
	}
	if change != nil {
		change(&c)
	}
	text, err := json.Marshal(c)
	if err != nil {
		in.t.Fatal(err)
	}
	if err := os.WriteFile(in.config, text, 0o600); err != nil {
		in.t.Fatal(err)
	}
}

func (in *instance) write(name string, content []byte) {
	in.t.Helper()
	if err := os.WriteFile(filepath.Join(in.data, name), content, 0o600); err != nil {
		in.t.Fatal(err)
	}
}

// segment is the content of a whole segment of this name, of which a quarter is not zero.
func segment(t *testing.T, name string, seed uint64) []byte {
	t.Helper()
	f, err := postgres.ClassifyWALName(name)
	if err != nil {
		t.Fatal(err)
	}
	start, err := f.Start(segSize)
	if err != nil {
		t.Fatal(err)
	}
	n := uint64(start) / uint64(segSize)
	w := waltest.New(system, uint32(f.Timeline), uint64(segSize), n, seed)
	for w.Pos < uint64(start)+uint64(segSize)/4 {
		w.Record(2000)
	}
	w.Switch()
	return w.Segments[n]
}

// hook runs a subcommand and gives its status and what it said.
func (in *instance) hook(args ...string) (status int, said string) {
	in.t.Helper()
	var out, errs bytes.Buffer
	status = Hook(append([]string{"--config", in.config}, args...), &out, &errs)
	return status, out.String() + errs.String()
}

func (in *instance) must(want int, args ...string) string {
	in.t.Helper()
	status, said := in.hook(args...)
	if status != want {
		in.t.Fatalf("%v ended with %d, not %d: %s", args, status, want, said)
	}
	return said
}

// init sets up the archive with one segment in pg_wal.
func (in *instance) init() []byte {
	in.t.Helper()
	s := segment(in.t, seg1, 1)
	in.write("pg_wal/"+seg1, s)
	in.must(ExitOK, "init")
	return s
}

func (in *instance) stored(name string) string {
	return filepath.Join(in.target, "pg_archlog", "main", name)
}

// load is the instance with another way to open its targets; nil is the ordinary one.
func (in *instance) load(open Opener) *Instance {
	in.t.Helper()
	c, err := LoadConfig(in.config)
	if err != nil {
		in.t.Fatal(err)
	}
	if open == nil {
		open = func(ctx context.Context, t repo.Target) (storage.Driver, error) { return repo.Open(ctx, t) }
	}
	i, err := NewInstance(c, open, false)
	if err != nil {
		in.t.Fatal(err)
	}
	return i
}

// inArchive gives the names of all files in the archive, unfinished ones too.
func (in *instance) inArchive() map[string]string {
	in.t.Helper()
	return in.inArchiveOf(in.target)
}

func (in *instance) inArchiveOf(target string) map[string]string {
	in.t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(target, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		found[path] = string(b)
		return err
	})
	if err != nil {
		in.t.Fatal(err)
	}
	return found
}

// faulty is a driver whose operations fail where the test says.
type faulty struct {
	storage.Driver
	fail func(op, name string) error
}

func (f *faulty) Stat(ctx context.Context, name string) (storage.Info, error) {
	if err := f.fail("stat", name); err != nil {
		return storage.Info{}, err
	}
	return f.Driver.Stat(ctx, name)
}
