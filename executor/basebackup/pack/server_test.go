package pack

import (
	"context"
	"os"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"pg_manage/executor/basebackup/frame"
	"pg_manage/executor/basebackup/manifest"
	"pg_manage/executor/basebackup/pgtest"
	"pg_manage/schema/postgres"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(asUser); dir != "" {
		os.Exit(packAsUser(dir))
	}
	goleak.VerifyTestMain(m)
}

// server is a real PostgreSQL that is backed up.
type server struct{ *pgtest.Server }

func newServer(t *testing.T) *server {
	t.Helper()
	return &server{pgtest.New(t)}
}

// options are those for a backup of the server.
func (s *server) options(st *store) Options {
	s.T.Helper()
	head, err := os.ReadFile(s.Data + "/" + controlFile)
	if err != nil {
		s.T.Fatal(err)
	}
	id, err := postgres.ControlFileIdentity(head)
	if err != nil {
		s.T.Fatal(err)
	}
	return Options{
		Store: st, Label: "20260101T000000Z-node1-full", DataDir: s.Data, Checksums: true, Workers: 3,
		Manifest: manifest.Header{Major: s.Major, SystemIdentifier: id},
		Notice:   func(text string) { s.T.Log(text) },
	}
}

// take takes a backup of the running server. During, if not nil, runs between New and Files.
func (s *server) take(st *store, change func(*Options), during func()) *backup {
	s.T.Helper()
	c := s.Session()
	defer c.End()
	start, stop := "pg_backup_start('x', true)", "pg_backup_stop(false)"
	if s.Major < 15 {
		start, stop = "pg_start_backup('x', true, false)", "pg_stop_backup(false, false)"
	}
	o := s.options(st)
	var err error
	if o.StartLSN, err = postgres.ParseLSN(c.SQL("select " + start)); err != nil {
		s.T.Fatal(err)
	}
	if change != nil {
		change(&o)
	}
	p, err := New(context.Background(), o)
	if err != nil {
		s.T.Fatal(err)
	}
	if during != nil {
		during()
	}
	if err := p.Files(context.Background()); err != nil {
		s.T.Fatal(err)
	}
	parts := strings.Split(c.SQL("select lsn || '~' || labelfile || '~' || spcmapfile from "+stop), "~")
	end, err := postgres.ParseLSN(parts[0])
	if err != nil {
		s.T.Fatal(err)
	}
	extra := []File{{Path: "backup_label", Data: []byte(parts[1])}}
	if parts[2] != "" {
		extra = append(extra, File{Path: "tablespace_map", Data: []byte(parts[2])})
	}
	extra = append(extra, s.wal(o.StartLSN, end)...)
	r, err := p.Finish(context.Background(), extra, []manifest.Range{{Timeline: 1, Start: o.StartLSN, End: end}})
	if err != nil {
		s.T.Fatal(err)
	}
	return s.read(st, r)
}

// wal lists the segments from start to end.
func (s *server) wal(start, end postgres.LSN) (files []File) {
	s.T.Helper()
	for lsn := start &^ (1<<20 - 1); lsn < end; lsn += 1 << 20 {
		name, err := postgres.SegmentName(1, lsn, 1<<20)
		if err != nil {
			s.T.Fatal(err)
		}
		files = append(files, File{Path: "pg_wal/" + name})
	}
	return files
}

func (s *server) read(st *store, r *Result) *backup {
	s.T.Helper()
	c, err := frame.NewCoder(st.compression)
	if err != nil {
		s.T.Fatal(err)
	}
	return &backup{store: st, result: r, entries: st.entries(s.T), coder: c}
}

// store makes a store in a directory of its own.
func (s *server) store(compression string) *store {
	s.T.Helper()
	dir, err := os.MkdirTemp(s.Root, "store")
	if err != nil {
		s.T.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		s.T.Fatal(err)
	}
	return &store{dir: dir, compression: compression}
}
