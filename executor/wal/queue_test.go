package wal

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pg_manage/executor/repo"
	"pg_manage/executor/repo/storage"
)

// second is a best effort target in a directory beside the first.
func (in *instance) second(change func(t *repo.Target)) func(c *Config) {
	t := repo.Target{Name: "cloud", Scheme: "file", Path: in.target + "2", ArchiveDir: "pg_archlog"}
	if err := os.MkdirAll(t.Path, 0o700); err != nil {
		in.t.Fatal(err)
	}
	if change != nil {
		change(&t)
	}
	return func(c *Config) { c.Targets = append(c.Targets, t) }
}

func (in *instance) cloud(name string) string {
	return filepath.Join(in.target+"2", "pg_archlog", "main", name)
}

// cut takes the second target away.
func (in *instance) cut() (back func()) {
	in.t.Helper()
	if err := os.Rename(in.target+"2", in.target+"2.away"); err != nil {
		in.t.Fatal(err)
	}
	if err := os.WriteFile(in.target+"2", nil, 0o600); err != nil {
		in.t.Fatal(err)
	}
	return func() {
		in.t.Helper()
		if err := errors.Join(os.Remove(in.target+"2"), os.Rename(in.target+"2.away", in.target+"2")); err != nil {
			in.t.Fatal(err)
		}
	}
}

func (in *instance) queued() (names []string) {
	in.t.Helper()
	names, _, err := in.load(nil).queues["cloud"].files(in.t.Context())
	if err != nil {
		in.t.Fatal(err)
	}
	return names
}

func (in *instance) drain(want int) {
	in.t.Helper()
	if n, err := in.load(nil).Drain(in.t.Context(), "cloud"); err != nil || n != want {
		in.t.Fatalf("%d of %d files were sent, %v", n, want, err)
	}
}

// TestWhatABestEffortTargetMissesWaitsInTheQueue: and arrives in order, as it was.
func TestWhatABestEffortTargetMissesWaitsInTheQueue(t *testing.T) {
	in := newInstance(t)
	in.writeConfig(in.second(nil))
	in.init()
	back := in.cut()
	files := map[string][]byte{"00000002.history": []byte("1\t0/1000000\tx\n")}
	for i, name := range []string{seg2, seg1, "000000010000000000000003"} {
		files[name] = segment(t, name, uint64(i))
	}
	for name, content := range files {
		in.write("pg_wal/"+name, content)
		for range 2 {
			in.must(ExitOK, "archive", "pg_wal/"+name)
		}
	}
	if got := strings.Join(in.queued(), " "); got != "00000002.history "+seg1[:16]+"/"+seg1+".zst "+seg1[:16]+"/"+seg2+".zst "+seg1[:16]+"/000000010000000000000003.zst" {
		t.Errorf("the order is %s", got)
	}
	if _, err := in.load(nil).Drain(t.Context(), "cloud"); err == nil || len(in.queued()) != len(files) {
		t.Errorf("with the target away: %v, %v", err, in.queued())
	}
	if said := in.must(ExitOK, "status"); !strings.Contains(said, `"queued":4`) {
		t.Error(said)
	}
	back()
	in.drain(len(files))
	if err := os.RemoveAll(in.target); err != nil { // the second one alone
		t.Fatal(err)
	}
	for name, content := range files {
		in.must(ExitOK, "restore", "--retries", "0", name, "pg_wal/RECOVERYXLOG")
		if got, err := os.ReadFile("pg_wal/RECOVERYXLOG"); err != nil || !bytes.Equal(got, content) {
			t.Errorf("%s came back other than it went: %v", name, err)
		}
	}
	// The first may have it, so nobody knows.
	in.must(ExitUnclear, "restore", "--retries", "0", "000000010000000000000009", "pg_wal/RECOVERYXLOG")
}

// TestAQueueThatCannotTakeAFileIsAFailure: unless dropping was declared.
func TestAQueueThatCannotTakeAFileIsAFailure(t *testing.T) {
	in := newInstance(t)
	in.writeConfig(in.second(nil))
	in.init()
	in.must(ExitOK, "archive", "pg_wal/"+seg1)
	in.drain(1)
	queue := filepath.Join(filepath.Dir(in.config), "queue", "cloud")
	if err := os.RemoveAll(queue); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(queue, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	in.write("pg_wal/"+seg2, segment(t, seg2, 2))
	if status, said := in.hook("archive", "pg_wal/"+seg2); status == ExitOK || status > 125 || !strings.Contains(said, "queue") {
		t.Errorf("status %d: %s", status, said)
	}
	// Restoring has no need of it.
	in.must(ExitOK, "restore", seg1, "pg_wal/RECOVERYXLOG")
	in.must(ExitAbsent, "restore", "000000010000000000000009", "pg_wal/RECOVERYXLOG")
}

// TestOnlyADeclaredLimitDrops and what is dropped is told.
func TestOnlyADeclaredLimitDrops(t *testing.T) {
	in := newInstance(t)
	in.writeConfig(in.second(func(t *repo.Target) { t.QueueLimit = segSize * 3 / 2 }))
	in.init()
	back := in.cut()
	names := []string{seg1, seg2, "000000010000000000000003", "000000010000000000000004"}
	for i, n := range names {
		in.write("pg_wal/"+n, segment(t, n, uint64(i)))
		for range 2 { // what waits already is not dropped when it is offered again
			in.must(ExitOK, "archive", "pg_wal/"+n)
		}
	}
	waiting := in.queued()
	if len(waiting) == 0 || len(waiting) == len(names) {
		t.Fatalf("%v wait", waiting)
	}
	got, err := in.load(nil).Config.Dropped("cloud")
	if err != nil || len(got) != 1 || got[0].From != names[len(waiting)] || got[0].To != names[3] || got[0].Segments != len(names)-len(waiting) {
		t.Errorf("%v wait, dropped: %v, %v", waiting, got, err)
	}
	back()
	in.drain(len(waiting))
	for i, n := range names {
		if _, err := os.Stat(in.cloud(n[:16] + "/" + n + ".zst")); (err == nil) != (i < len(waiting)) {
			t.Errorf("%s at the second target: %v", n, err)
		}
	}
}

// TestOtherContentThanWhatWaitsIsRefused: the queue promises what lies in it, no more.
func TestOtherContentThanWhatWaitsIsRefused(t *testing.T) {
	in := newInstance(t)
	in.writeConfig(in.second(nil))
	in.init()
	in.must(ExitOK, "archive", "pg_wal/"+seg1)
	// The required target has lost it, so that it takes the other one.
	if err := os.Remove(in.stored(seg1[:16] + "/" + seg1 + ".zst")); err != nil {
		t.Fatal(err)
	}
	in.write("pg_wal/"+seg1, segment(t, seg1, 99))
	if said := in.must(ExitRefused, "archive", "pg_wal/"+seg1); !strings.Contains(said, "OTHER content") {
		t.Error(said)
	}
}

// TestAQueuedFileIsNotStoredBesideAnotherFormOfIt: the compression was changed while
// files waited, and the target has the name in the form of today, with other content.
func TestAQueuedFileIsNotStoredBesideAnotherFormOfIt(t *testing.T) {
	for _, same := range []bool{true, false} {
		in := newInstance(t)
		in.writeConfig(in.second(func(t *repo.Target) { t.Compression = "gzip" }))
		in.init()
		in.must(ExitOK, "archive", "pg_wal/"+seg1)
		in.writeConfig(in.second(nil))
		queue := in.load(nil).queues["cloud"]
		if !same {
			in.write("pg_wal/"+seg1, segment(t, seg1, 99))
		}
		// Another node of the cluster stores it meanwhile.
		i := in.load(nil)
		src, err := openSource(filepath.Join(in.data, "pg_wal", seg1), wal(t, seg1), system)
		if err != nil {
			t.Fatal(err)
		}
		target, err := i.Config.target("cloud")
		if err != nil {
			t.Fatal(err)
		}
		if err := i.links.use(t.Context(), target, func(s *site) error { return s.store(t.Context(), src, system) }); err != nil {
			t.Fatal(err)
		}
		src.close()
		n, err := i.Drain(t.Context(), "cloud")
		if _, serr := os.Stat(in.cloud(seg1[:16] + "/" + seg1 + ".gz")); serr == nil {
			t.Errorf("same %v: the target has it twice", same)
		}
		left, _, qerr := queue.files(t.Context())
		if qerr != nil || same && (n != 1 || err != nil || len(left) != 0) {
			t.Errorf("same: %d sent, %v, left %v", n, err, left)
		}
		var refused *RefusedError
		if !same && (!errors.As(err, &refused) || len(left) != 1) {
			t.Errorf("other: %d sent, %v, left %v", n, err, left)
		}
	}
}

// TestTheQueueOfATargetThatBecameRequiredIsStillSent.
func TestTheQueueOfATargetThatBecameRequiredIsStillSent(t *testing.T) {
	in := newInstance(t)
	in.writeConfig(in.second(nil))
	in.init()
	in.must(ExitOK, "archive", "pg_wal/"+seg1)
	in.writeConfig(in.second(func(t *repo.Target) { t.Required = true }))
	if said := in.must(ExitOK, "status"); !strings.Contains(said, `"queued":1`) {
		t.Error(said)
	}
	i := in.load(nil)
	if !i.Waiting() || i.Queued("cloud") == nil {
		t.Error("nobody sends what waits")
	}
	in.write("pg_wal/"+seg2, segment(t, seg2, 2))
	in.must(ExitOK, "archive", "pg_wal/"+seg2)
	if got := in.queued(); len(got) != 1 {
		t.Errorf("%v wait", got)
	}
	in.drain(1)
	for _, n := range []string{seg1, seg2} {
		if _, err := os.Stat(in.cloud(n[:16] + "/" + n + ".zst")); err != nil {
			t.Error(err)
		}
	}
	if in.load(nil).Waiting() {
		t.Error("something waits still")
	}
}

// TestTwoWhoSendTheSameQueueDoNotDisturbEachOther: an archiver that ends and its successor.
func TestTwoWhoSendTheSameQueueDoNotDisturbEachOther(t *testing.T) {
	in := newInstance(t)
	in.writeConfig(in.second(nil))
	in.init()
	in.must(ExitOK, "archive", "pg_wal/"+seg1)
	var other *Instance
	open := func(ctx context.Context, tg repo.Target) (storage.Driver, error) {
		d, err := repo.Open(ctx, tg)
		return &after{d, func() {
			if n, err := other.Drain(t.Context(), "cloud"); n != 1 || err != nil {
				t.Errorf("the other one: %d, %v", n, err)
			}
		}}, err
	}
	other = in.load(nil)
	if _, err := in.load(open).Drain(t.Context(), "cloud"); err != nil {
		t.Error(err)
	}
}

// after is a driver that lets something happen after Put.
type after struct {
	storage.Driver
	then func()
}

func (a *after) Put(ctx context.Context, name string, r io.Reader) error {
	err := a.Driver.Put(ctx, name, r)
	a.then()
	return err
}

// TestWhatADeadWriterLeftInTheQueueIsRemoved: nothing else would, and its disk is full one day.
func TestWhatADeadWriterLeftInTheQueueIsRemoved(t *testing.T) {
	in := newInstance(t)
	in.writeConfig(in.second(nil))
	in.init()
	in.must(ExitOK, "archive", "pg_wal/"+seg1)
	dir := filepath.Join(filepath.Dir(in.config), "queue", "cloud", seg1[:16])
	dead, young := filepath.Join(dir, storage.TempName(seg2+".zst", "DEAD")), filepath.Join(dir, storage.TempName(seg2+".zst", "YOUNG"))
	for _, f := range []string{dead, young} {
		if err := os.WriteFile(f, []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	old := time.Now().Add(-2 * leftoverAge)
	if err := os.Chtimes(dead, old, old); err != nil {
		t.Fatal(err)
	}
	in.drain(1)
	if _, err := os.Stat(dead); !os.IsNotExist(err) {
		t.Errorf("the dead one's: %v", err)
	}
	if _, err := os.Stat(young); err != nil {
		t.Errorf("that of one who may live: %v", err)
	}
}

// TestARefusedFileHoldsUpNoOther: one file whose place at the target is taken, and one
// that is none of ours, would keep all later WAL from the target.
func TestARefusedFileHoldsUpNoOther(t *testing.T) {
	in := newInstance(t)
	in.writeConfig(in.second(nil))
	in.init()
	in.must(ExitOK, "archive", "pg_wal/"+seg1)
	in.drain(1)
	in.write("pg_wal/"+seg1, segment(t, seg1, 9))
	if err := os.Remove(in.stored(seg1[:16] + "/" + seg1 + ".zst")); err != nil {
		t.Fatal(err)
	}
	in.must(ExitOK, "archive", "pg_wal/"+seg1) // other content than the second target has
	in.write("pg_wal/"+seg2, segment(t, seg2, 2))
	in.must(ExitOK, "archive", "pg_wal/"+seg2)
	if err := os.WriteFile(filepath.Join(filepath.Dir(in.config), "queue", "cloud", "a note"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	n, err := in.load(nil).Drain(t.Context(), "cloud")
	var refused *RefusedError
	if n != 1 || !errors.As(err, &refused) {
		t.Errorf("%d files were sent, %v", n, err)
	}
	if _, err := os.Stat(in.cloud(seg2[:16] + "/" + seg2 + ".zst")); err != nil {
		t.Error(err)
	}
	if got := in.queued(); len(got) != 2 {
		t.Errorf("%v wait", got)
	}
}
