package wal

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"pg_manage/executor/repo"
	"pg_manage/executor/repo/storage"
	"pg_manage/schema/postgres"
)

func (in *instance) config1(t *testing.T) *Config {
	t.Helper()
	c, err := LoadConfig(in.config)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func wal(t *testing.T, name string) postgres.WALFile {
	t.Helper()
	f, err := postgres.ClassifyWALName(name)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// TestANoteAfterATornOneIsNotLost: a full disk or a crash may have left half a line, or
// zeros, and what is acknowledged afterwards must still be read.
func TestANoteAfterATornOneIsNotLost(t *testing.T) {
	for what, torn := range map[string]string{
		"half a line":   `{"wal":"0000000100000000000000`,
		"zeros":         strings.Repeat("\x00", 4096),
		"a lot of them": strings.Repeat("\x00", 100<<10),
		"a whole line":  `{"wal":"` + seg1 + `","time":"2026-01-02T03:04:05Z"}` + "\n",
	} {
		in := newInstance(t)
		c := in.config1(t)
		file := c.droppedFile("nas")
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(torn), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := c.drop(c.Targets[0], wal(t, seg2), time.Now()); err != nil {
			t.Fatal(err)
		}
		notes, err := c.dropNotes("nas")
		if err != nil || len(notes) == 0 || notes[len(notes)-1].WAL != seg2 {
			t.Errorf("%s: %v, %v", what, notes, err)
		}
		if err := c.Undrop("nas", seg1); err != nil {
			t.Fatal(err)
		}
		if got, err := c.Dropped("nas"); err != nil || len(got) != 1 || got[0].From != seg2 {
			t.Errorf("%s: %v, %v", what, got, err)
		}
	}
}

func TestNotesOfManyWritersAreAllKept(t *testing.T) {
	in := newInstance(t)
	c := in.config1(t)
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for j := range 20 {
				name, err := postgres.SegmentName(1, postgres.LSN((i*20+j+1)*segSize), segSize)
				if err != nil {
					t.Error(err)
					return
				}
				if err := c.drop(c.Targets[0], wal(t, name), time.Now()); err != nil {
					t.Error(err)
				}
				if j%2 == 1 {
					if err := c.Undrop("nas", name); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	all.Wait()
	notes, err := c.dropNotes("nas")
	if err != nil || len(notes) != 80 {
		t.Errorf("%d of 80 notes are there, %v", len(notes), err)
	}
}

// slowly is a driver whose Put waits until its context ends.
type slowly struct {
	storage.Driver
	began chan<- struct{}
}

func (s *slowly) Open(ctx context.Context, _ string) (io.ReadCloser, error) {
	s.began <- struct{}{}
	<-ctx.Done()
	return nil, context.Cause(ctx)
}

// backlog makes files that PostgreSQL waits to have archived.
func (in *instance) backlog(names ...string) {
	in.t.Helper()
	if err := os.MkdirAll(filepath.Join(in.data, "pg_wal", "archive_status"), 0o700); err != nil {
		in.t.Fatal(err)
	}
	for i, name := range names {
		in.write("pg_wal/"+name, segment(in.t, name, uint64(i)))
		in.write("pg_wal/archive_status/"+name+".ready", nil)
	}
}

// TestNothingIsDroppedBecauseWeAreStopped: only a target that does not take a file is
// a reason to give it up.
func TestNothingIsDroppedBecauseWeAreStopped(t *testing.T) {
	in := newInstance(t)
	in.init()
	in.backlog(seg1, seg2)
	in.writeConfig(func(c *Config) { c.Targets[0].QueueLimit = segSize })
	began := make(chan struct{}, 1)
	i := in.load(func(ctx context.Context, t repo.Target) (storage.Driver, error) {
		d, err := repo.Open(ctx, t)
		return &slowly{d, began}, err
	})
	stopped := errors.New("ended by terminated")
	ctx, cancel := context.WithCancelCause(t.Context())
	done := make(chan error, 1)
	go func() { done <- i.Archive(ctx, ".", "pg_wal/"+seg1) }()
	<-began
	cancel(stopped)
	if err := <-done; err == nil {
		t.Error("it says that the file is archived")
	}
	if notes, err := i.Config.dropNotes("nas"); err != nil || len(notes) != 0 {
		t.Errorf("noted as dropped: %v, %v", notes, err)
	}
	// The same with a target that takes too long is an outage.
	ctx, stop := context.WithTimeout(t.Context(), time.Millisecond)
	defer stop()
	if err := i.Archive(ctx, ".", "pg_wal/"+seg1); err != nil {
		t.Error(err)
	}
	if notes, err := i.Config.dropNotes("nas"); err != nil || len(notes) != 1 || notes[0].WAL != seg1 {
		t.Errorf("noted as dropped: %v, %v", notes, err)
	}
}

// TestARequiredTargetLosesNothingButWhatWasDeclared covers what queue_limit means there.
func TestARequiredTargetLosesNothingButWhatWasDeclared(t *testing.T) {
	in := newInstance(t)
	in.init()
	in.backlog(seg1, seg2)
	outage := errors.New("no route to host")
	away := func(ctx context.Context, t repo.Target) (storage.Driver, error) { return nil, outage }
	archive := func(limit int64, name string, open Opener) error {
		in.writeConfig(func(c *Config) { c.Targets[0].QueueLimit = limit })
		return in.load(open).Archive(t.Context(), ".", "pg_wal/"+name)
	}
	if err := archive(0, seg1, away); !errors.Is(err, outage) {
		t.Errorf("undeclared: %v", err)
	}
	if err := archive(2*segSize, seg1, away); !errors.Is(err, outage) {
		t.Errorf("at the limit: %v", err)
	}
	if err := archive(2*segSize-1, seg1, away); err != nil {
		t.Errorf("above it: %v", err)
	}
	if said := in.must(ExitOK, "status"); !strings.Contains(said, `"dropped":[{"from":"`+seg1+`","to":"`+seg1+`","segments":1`) {
		t.Errorf("status: %s", said)
	}
	// Small files never, and nothing whose note cannot be written.
	in.write("pg_wal/00000002.history", []byte("1\t0/1000000\tx\n"))
	if err := archive(1, "00000002.history", away); !errors.Is(err, outage) {
		t.Errorf("a history file: %v", err)
	}
	if err := os.RemoveAll(filepath.Join(filepath.Dir(in.config), "dropped")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(filepath.Dir(in.config), "dropped"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := archive(1, seg1, away); err == nil {
		t.Error("dropped without a note")
	}
	if err := os.Remove(filepath.Join(filepath.Dir(in.config), "dropped")); err != nil {
		t.Fatal(err)
	}
	// A refusal is no outage.
	if err := archive(1, seg1, nil); err != nil {
		t.Fatal(err)
	}
	in.write("pg_wal/"+seg1, segment(t, seg1, 99))
	var refused *RefusedError
	if err := archive(1, seg1, nil); !errors.As(err, &refused) {
		t.Errorf("other content: %v", err)
	}
	if notes, err := in.load(nil).Config.dropNotes("nas"); err != nil || len(notes) != 0 {
		t.Errorf("noted as dropped: %v, %v", notes, err)
	}
}
