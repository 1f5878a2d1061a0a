package wal

import (
	"bytes"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pg_manage/executor/wal/audit/walcheck/waltest"
)

// bare is an instance with an archive that compresses nothing, and WAL of three segments of
// which the last one was switched.
func bare(t *testing.T) (*instance, *waltest.Writer) {
	t.Helper()
	in := newInstance(t)
	in.writeConfig(func(c *Config) { c.Targets[0].Compression = "none" })
	w := waltest.New(system, 1, uint64(segSize), 1, 9)
	w.Fill(2)
	w.Record(100)
	w.Switch()
	for n := uint64(1); n <= 3; n++ {
		in.write("pg_wal/"+w.Name(n), w.Segments[n])
	}
	in.must(ExitOK, "init")
	return in, w
}

func (in *instance) spoil(name string, content []byte) {
	in.t.Helper()
	file := in.stored(name[:16] + "/" + name)
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		in.t.Fatal(err)
	}
	if err := os.Remove(file); err != nil && !os.IsNotExist(err) {
		in.t.Fatal(err)
	}
	if err := os.WriteFile(file, content, 0o600); err != nil {
		in.t.Fatal(err)
	}
}

// restored gives a segment to PostgreSQL and takes it away again.
func (in *instance) restored(name string, want int) string {
	in.t.Helper()
	said := in.must(want, "restore", "--retries", "0", name, "pg_wal/RECOVERYXLOG")
	_, err := os.Stat("pg_wal/RECOVERYXLOG")
	if (err == nil) != (want == ExitOK) {
		in.t.Fatalf("restore ended with %d: %v", want, err)
	}
	os.Remove("pg_wal/RECOVERYXLOG") //nolint:errcheck // it is there when it was restored
	return said
}

func TestAFlippedBitOfASegmentWithoutChecksumIsNotTheEndOfWAL(t *testing.T) {
	in, w := bare(t)
	for n := uint64(1); n <= 3; n++ {
		in.must(ExitOK, "archive", "pg_wal/"+w.Name(n))
	}
	for n := uint64(1); n <= 3; n++ {
		in.restored(w.Name(n), ExitOK)
	}
	r := rand.New(rand.NewPCG(3, 4))
	last := int(segSize) - 8192
	for i := range 60 {
		at := r.IntN(int(segSize))
		if i%3 == 0 { // where nothing comes after it in the segment
			at = last + r.IntN(8192)
		}
		bad := slices.Clone(w.Segments[1])
		bad[at] ^= 1
		if at%8192 == 2 || at%8192 == 3 { // flags; some mean nothing
			continue
		}
		in.spoil(w.Name(1), bad)
		if said := in.restored(w.Name(1), ExitUnclear); !strings.Contains(said, w.Name(1)) {
			t.Fatalf("byte %d: %s", at, said)
		}
	}
	in.write("standby.signal", nil)
	in.restored(w.Name(1), ExitRetry)
}

// TestACompressedSegmentWithoutChecksumIsLookedAtToo stores what zstd was told to store
// without one.
func TestACompressedSegmentWithoutChecksumIsLookedAtToo(t *testing.T) {
	in, w := bare(t)
	in.must(ExitOK, "archive", "pg_wal/"+w.Name(2))
	bad := slices.Clone(w.Segments[1])
	bad[500_000] ^= 1
	for want, content := range map[int][]byte{ExitOK: w.Segments[1], ExitUnclear: bad} {
		cmd := exec.CommandContext(t.Context(), "zstd", "-q", "-c", "--no-check")
		cmd.Stdin = bytes.NewReader(content)
		packed, err := cmd.Output()
		if err != nil {
			t.Fatalf("the program zstd is needed (Debian: the package zstd): %v", err)
		}
		file := in.stored(w.Name(1)[:16] + "/" + w.Name(1) + ".zst")
		if err := os.WriteFile(file, packed, 0o600); err != nil {
			t.Fatal(err)
		}
		in.restored(w.Name(1), want)
	}
}

// TestASegmentInWhichTheWALEndsIsRestoredWithoutChecksum stores what somebody saved of a
// lost server: its last segment, with zeros or older WAL behind the end.
func TestASegmentInWhichTheWALEndsIsRestoredWithoutChecksum(t *testing.T) {
	in, w := bare(t)
	in.must(ExitOK, "archive", "pg_wal/"+w.Name(1))
	end := 300_001
	zeros := slices.Clone(w.Segments[2])
	copy(zeros[end:], make([]byte, len(zeros)-end))
	older := slices.Clone(w.Segments[2])
	copy(older[end:], w.Segments[1][end:])
	pages := slices.Clone(zeros) // the page of the end with zeros, older ones behind it
	copy(pages[(end/8192+1)*8192:], w.Segments[1][(end/8192+1)*8192:])
	atBorder := slices.Clone(w.Segments[2])
	copy(atBorder[40*8192:], w.Segments[1][40*8192:])
	lastPage := slices.Clone(w.Segments[2])
	copy(lastPage[len(lastPage)-3000:], w.Segments[1][len(lastPage)-3000:])
	for i, content := range [][]byte{zeros, older, pages, atBorder, lastPage} {
		in.spoil(w.Name(2), content)
		in.restored(w.Name(2), ExitOK)
		in.spoil(w.Name(2)+".partial", content)
		in.restored(w.Name(2)+".partial", ExitOK)
		in.restored(w.Name(1), ExitOK)
		if t.Failed() {
			t.Fatal(i)
		}
	}
	// Where the archive goes on, it cannot have ended there.
	in.must(ExitOK, "archive", "pg_wal/"+w.Name(3))
	if said := in.restored(w.Name(2), ExitUnclear); !strings.Contains(said, w.Name(3)) {
		t.Fatal(said)
	}
}

// TestDamageOfTheNextSegmentIsToldWhenThatIsAskedFor: what is whole before it is restored.
func TestDamageOfTheNextSegmentIsToldWhenThatIsAskedFor(t *testing.T) {
	in, w := bare(t)
	for n := uint64(1); n <= 3; n++ {
		in.must(ExitOK, "archive", "pg_wal/"+w.Name(n))
	}
	for what, spoil := range map[string]func(b []byte) []byte{
		"cut to nothing": func([]byte) []byte { return nil },
		"cut":            func(b []byte) []byte { return b[:30] },
		"another's":      func(b []byte) []byte { b[24] ^= 1; return b },
		"a later record": func(b []byte) []byte { b[500_000] ^= 1; return b },
	} {
		in.spoil(w.Name(2), spoil(slices.Clone(w.Segments[2])))
		t.Log(what)
		in.restored(w.Name(1), ExitOK)
		in.restored(w.Name(2), ExitUnclear)
	}
	// Which one of two is damaged can not be told where a record of both is wrong.
	bad := slices.Clone(w.Segments[2])
	bad[50] ^= 1
	in.spoil(w.Name(2), bad)
	if said := in.restored(w.Name(1), ExitUnclear); !strings.Contains(said, w.Name(2)) {
		t.Fatal(said)
	}
}

// TestATimelineThatWasLeftIsRestoredWithoutChecksum has a fork in the middle of a segment,
// and one at its end.
func TestATimelineThatWasLeftIsRestoredWithoutChecksum(t *testing.T) {
	in, w := bare(t)
	old := waltest.New(system, 1, uint64(segSize), 1, 11)
	old.Fill(1)
	old.Record(90_000)
	fork := old.Fork(2)
	fork.Fill(2)
	fork.Record(10)
	fork.Abandon(true)
	fork.Record(100)
	fork.Switch()
	stale := slices.Clone(old.Segments[2]) // as a standby with archive_mode = always leaves it
	copy(stale[old.Pos%uint64(segSize):], w.Segments[1][old.Pos%uint64(segSize):])
	for n, content := range fork.Segments {
		in.spoil(fork.Name(n), content)
	}
	in.spoil(old.Name(1), old.Segments[1])
	in.spoil(old.Name(2), stale)
	for n := range fork.Segments {
		in.restored(fork.Name(n), ExitOK)
	}
	in.restored(old.Name(1), ExitOK)
	in.restored(old.Name(2), ExitOK)
}
