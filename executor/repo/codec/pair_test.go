package codec

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"runtime"
	"testing"
)

// paired gives a content as a pair, and where its frames begin and end.
func paired(t *testing.T, c *Codec, plain []byte) (stored []byte, borders []int) {
	t.Helper()
	var all, first bytes.Buffer
	r := bytes.NewReader(plain)
	if err := c.pair(&all, r, int64(len(plain))); err != nil {
		t.Fatal(err)
	}
	if err := c.part(&first, r, 0, int64(len(plain)/2), [32]byte{}); err != nil {
		t.Fatal(err)
	}
	border := announcementSize + first.Len()
	if !bytes.Equal(all.Bytes()[announcementSize:border], first.Bytes()) {
		t.Fatal("the first frame is not where it is looked for")
	}
	return all.Bytes(), []int{0, announcementSize, border, all.Len()}
}

func TestAPairIsAnOrdinaryFile(t *testing.T) {
	c := open(t, Settings{}, "")
	for _, size := range []int{2, 128 << 10, 1 << 20, 3<<20 + 7} {
		plain := wal(size)
		stored, _ := paired(t, c, plain)
		for range 2 {
			if got, err := decodeAll(c, bytes.NewReader(stored), ".zst"); err != nil || !bytes.Equal(got, plain) {
				t.Errorf("%d bytes: %d came back, %v", size, len(got), err)
			}
		}
		if got := program(t, "zstd", stored, "zstd", "-q", "-d", "-c"); !bytes.Equal(got, plain) {
			t.Errorf("zstd gives %d bytes of %d", len(got), size)
		}
	}
}

// TestAPairThatIsCutOrPutTogetherOtherwiseIsDamaged: each frame for itself is whole, and
// zstd would be content with what is left.
func TestAPairThatIsCutOrPutTogetherOtherwiseIsDamaged(t *testing.T) {
	c := open(t, Settings{}, "")
	plain := wal(2 << 20)
	stored, at := paired(t, c, plain)
	say, one, two := stored[:at[1]], stored[at[1]:at[2]], stored[at[2]:]
	short, _ := paired(t, c, plain[:1<<20])
	for what, b := range map[string][]byte{
		"nothing":                  {},
		"the announcement alone":   say,
		"without the second frame": stored[:at[2]],
		"without the first frame":  bytes.Join([][]byte{say, two}, nil),
		"the first frame twice":    bytes.Join([][]byte{say, one, one, two}, nil),
		"a third frame":            bytes.Join([][]byte{stored, two}, nil),
		"another pair behind it":   bytes.Join([][]byte{stored, stored}, nil),
		"another's announcement":   bytes.Join([][]byte{short[:announcementSize], one, two}, nil),
		"a byte short":             stored[:at[3]-1],
		"a byte of a second frame": stored[:at[2]+1],
		"a byte more":              append(bytes.Clone(stored), 0),
	} {
		got, err := decodeAll(c, bytes.NewReader(b), ".zst")
		var damaged *DamagedError
		if !errors.As(err, &damaged) {
			t.Errorf("%s: %d bytes, %v", what, len(got), err)
		}
	}
	for n := range announcementSize { // nor does a bit of the announcement go unnoticed that takes a byte from the content's size
		b := bytes.Clone(stored)
		b[n] ^= 1
		if got, err := decodeAll(c, bytes.NewReader(b), ".zst"); err == nil && !bytes.Equal(got, plain) {
			t.Errorf("byte %d flipped: %d bytes came back, and no error", n, len(got))
		}
	}
	// Where a cut leaves more than a frame it is found as ever.
	for n := 0; n < len(stored); n += 997 {
		if _, err := decodeAll(c, bytes.NewReader(stored[:n]), ".zst"); err == nil {
			t.Errorf("cut to %d bytes it passes", n)
		}
	}
}

// held is a content that can be read once it is let go.
type held struct {
	io.ReaderAt
	begun, free chan struct{}
}

func (h *held) ReadAt(b []byte, off int64) (int, error) {
	if off == 0 {
		close(h.begun)
		<-h.free
	}
	return h.ReaderAt.ReadAt(b, off)
}

func TestOnlyWhatMayBeHalvedAndIsAloneIsAPair(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(2))
	k := newKeys(t)
	plain := wal(2 << 20)
	get := func(c *Codec, plain []byte, halves bool) bool {
		t.Helper()
		var b bytes.Buffer
		if err := c.Encode(&b, bytes.NewReader(plain), int64(len(plain)), sha256.Sum256(plain), halves); err != nil {
			t.Fatal(err)
		}
		if got, err := decodeAll(c, bytes.NewReader(b.Bytes()), c.Extension()); err != nil || !bytes.Equal(got, plain) {
			t.Fatalf("%d bytes of %d came back: %v", len(got), len(plain), err)
		}
		_, ok := announced(b.Bytes())
		return ok
	}
	for ext, c := range all(t, k) {
		if got := get(c, plain, true); got != (ext == ".zst") {
			t.Errorf("%q: pair %v", ext, got)
		}
		if get(c, plain, false) || get(c, plain[:1000], true) || get(c, nil, true) {
			t.Errorf("%q: what must not be halved is", ext)
		}
	}
	c := open(t, Settings{}, "")
	other := &held{bytes.NewReader(plain), make(chan struct{}), make(chan struct{})}
	over := make(chan error)
	go func() { over <- c.Encode(io.Discard, other, int64(len(plain)), [32]byte{}, false) }()
	<-other.begun
	if get(c, plain, true) {
		t.Error("it is halved while another one is encoded")
	}
	close(other.free)
	if err := <-over; err != nil {
		t.Error(err)
	}
	if !get(c, plain, true) {
		t.Error("it is not halved when the other one is done")
	}
	runtime.GOMAXPROCS(1)
	if get(c, plain, true) {
		t.Error("one processor halves")
	}
}

// TestAPairOfWhatCannotBeReadOrStoredIsAnError, whichever half it is.
func TestAPairOfWhatCannotBeReadOrStoredIsAnError(t *testing.T) {
	c := open(t, Settings{}, "")
	plain := wal(2 << 20)
	for _, have := range []int{0, 1, 1 << 20, 2<<20 - 1} {
		if err := c.pair(io.Discard, bytes.NewReader(plain[:have]), int64(len(plain))); err == nil {
			t.Errorf("%d bytes pass for %d", have, len(plain))
		}
		if err := c.part(io.Discard, bytes.NewReader(plain[:have]), 0, int64(len(plain)), [32]byte{}); err == nil {
			t.Errorf("%d bytes pass for %d", have, len(plain))
		}
	}
	stored, _ := paired(t, c, plain)
	for at := 0; at < len(stored); at += len(stored) / 50 {
		if err := c.pair(&failingWriter{at}, bytes.NewReader(plain), int64(len(plain))); !errors.Is(err, errFull) {
			t.Errorf("full after %d bytes: %v", at, err)
		}
	}
}
