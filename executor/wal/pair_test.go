package wal

import (
	"bytes"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"pg_manage/executor/repo/codec"
	"pg_manage/executor/wal/audit"
	"pg_manage/executor/wal/audit/walcheck/waltest"
	"pg_manage/schema/postgres"
)

// frames cuts a stored file into its frames: the announcement and two halves.
func frames(t *testing.T, stored []byte) (announcement, first, second []byte) {
	t.Helper()
	if len(stored) < 8 || binary.LittleEndian.Uint32(stored)&^0xF != 0x184D2A50 {
		t.Fatal("the stored file does not begin with a skippable frame")
	}
	n := 8 + binary.LittleEndian.Uint32(stored[4:])
	announcement, rest := stored[:n], stored[n:]
	magic := []byte{0x28, 0xB5, 0x2F, 0xFD}
	at := bytes.LastIndex(rest, magic)
	if !bytes.HasPrefix(rest, magic) || at <= 0 {
		t.Fatal("the stored file is no pair of frames")
	}
	return announcement, rest[:at], rest[at:]
}

// unzstd is what zstd itself makes of a stored file.
func unzstd(t *testing.T, stored []byte) []byte {
	t.Helper()
	zstd, err := exec.LookPath("zstd")
	if err != nil {
		t.Fatal("the program zstd is needed (Debian: the package zstd)")
	}
	cmd := exec.CommandContext(t.Context(), zstd, "-q", "-d", "-c")
	cmd.Stdin = bytes.NewReader(stored)
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestAPairOfFramesThatIsCutBetweenThemIsRefusedEverywhere: the frame that is left is whole,
// so that zstd is content with it, and that it is but half a segment is to be known to
// whoever reads it. With the announcement two look, without it who reads is alone with it.
func TestAPairOfFramesThatIsCutBetweenThemIsRefusedEverywhere(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(2))
	in := newInstance(t)
	in.init()
	w := waltest.New(system, 1, segSize, 1, 7)
	w.Fill(3)
	plain := w.Segments[1]
	in.write("pg_wal/"+seg1, plain)
	if err := os.Mkdir("pg_wal/archive_status", 0o700); err != nil {
		t.Fatal(err)
	}
	in.write("pg_wal/archive_status/"+seg1+".done", nil)
	in.must(ExitOK, "archive", "pg_wal/"+seg1)
	in.must(ExitOK, "audit")
	file := in.stored(seg1[:16] + "/" + seg1 + ".zst")
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(unzstd(t, whole), plain) {
		t.Fatal("zstd gives something else than the segment")
	}
	in.must(ExitOK, "archive", "pg_wal/"+seg1)
	in.must(ExitOK, "restore", seg1, "pg_wal/RECOVERYXLOG")
	if err := os.Remove("pg_wal/RECOVERYXLOG"); err != nil {
		t.Fatal(err)
	}
	announcement, first, second := frames(t, whole)
	for what, c := range map[string]struct{ stored, plain []byte }{
		"the first half, announced":  {append(bytes.Clone(announcement), first...), plain[:segSize/2]},
		"the second half, announced": {append(bytes.Clone(announcement), second...), plain[segSize/2:]},
		"the first half":             {first, plain[:segSize/2]},
		"the second half":            {second, plain[segSize/2:]},
		"only the announcement":      {announcement, nil},
	} {
		if !bytes.Equal(unzstd(t, c.stored), c.plain) {
			t.Fatalf("%s: zstd gives something else", what)
		}
		if err := os.WriteFile(file, c.stored, 0o600); err != nil {
			t.Fatal(err)
		}
		in.cutIsRefused(what)
		if now, err := os.ReadFile(file); err != nil || !bytes.Equal(now, c.stored) {
			t.Fatalf("%s: the stored file was changed: %v", what, err)
		}
	}
}

// cutIsRefused has all that read the first segment's stored file say that it is not whole.
func (in *instance) cutIsRefused(what string) {
	in.t.Helper()
	if status, said := in.hook("archive", "pg_wal/"+seg1); status != ExitRefused {
		in.t.Errorf("%s: archive takes it for the segment: %d %s", what, status, said)
	}
	if status, said := in.hook("restore", "--retries", "0", seg1, "pg_wal/RECOVERYXLOG"); status != ExitUnclear {
		in.t.Errorf("%s: restore: %d %s", what, status, said)
	}
	if left, _ := filepath.Glob("pg_wal/[^0a]*"); len(left) != 0 {
		in.t.Errorf("%s: restore left %v", what, left)
	}
	if status, said := in.hook("audit"); status != ExitFailed || !strings.Contains(said, `"kind":"`+audit.KindDamaged+`"`) || !strings.Contains(said, seg1) {
		in.t.Errorf("%s: audit: %d %s", what, status, said)
	}
	// What closes holes goes by names. Of what it would store it asks the same as archive.
	in.must(ExitOK, "push-missing")
	one := in.load(nil)
	err := one.links.use(in.t.Context(), one.Config.Targets[0], func(s *site) error {
		id, err := s.verify(in.t.Context(), system)
		if err != nil {
			return err
		}
		r, err := audit.CheckRange(in.t.Context(), s.archive(id), 1, segSize, 2*segSize, nil)
		if err == nil && len(r.Damaged) != 1 {
			in.t.Errorf("%s: a range of WAL: %+v", what, r)
		}
		if err := one.pushTo(in.t.Context(), s, "pg_wal/"+seg1, system); err == nil {
			in.t.Errorf("%s: it is taken for the segment when it is pushed", what)
		}
		return err
	})
	if err != nil {
		in.t.Errorf("%s: %v", what, err)
	}
}

// TestAQueuedPairThatIsCutIsNotTakenForTheSegment: what waits for a target that is not
// required is looked at before it is acknowledged.
func TestAQueuedPairThatIsCutIsNotTakenForTheSegment(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(2))
	in := newInstance(t)
	in.init()
	one := in.load(nil)
	f, err := postgres.ClassifyWALName(seg1)
	if err != nil {
		t.Fatal(err)
	}
	src, err := openSource("pg_wal/"+seg1, f, system)
	if err != nil {
		t.Fatal(err)
	}
	defer src.close()
	q, fm := one.queues["nas"], one.forms["nas"]
	if err := q.add(t.Context(), fm, src); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(q.dir, queueName(fm.segment, f))
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	announcement, first, _ := frames(t, whole)
	for _, stored := range [][]byte{first, append(bytes.Clone(announcement), first...)} {
		if err := os.WriteFile(file, stored, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := q.add(t.Context(), fm, src); err == nil {
			t.Error("half a segment is taken for what waits")
		}
	}
}

// TestOnlySegmentsAreStoredAsPairs: of no other file the size is known to who reads it.
func TestOnlySegmentsAreStoredAsPairs(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(2))
	in := newInstance(t)
	in.init()
	in.write("pg_wal/"+seg2+".partial", segment(t, seg2, 2))
	in.must(ExitOK, "archive", "pg_wal/"+seg2+".partial")
	in.must(ExitOK, "archive", "pg_wal/"+seg1)
	for path, stored := range in.inArchive() {
		_, ext := codec.Split(path)
		pair := strings.HasPrefix(stored, "\x5B\x2A\x4D\x18")
		if pair != (filepath.Base(path) == seg1+ext && ext == ".zst") {
			t.Errorf("%s: pair %v", path, pair)
		}
	}
}
