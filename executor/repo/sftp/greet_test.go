package sftp

import (
	"bytes"
	"encoding/binary"
	"io"
	"math"
	"testing"
)

// packet is one of a server.
func packet(kind byte, parts ...any) []byte {
	b := []byte{0, 0, 0, 0, kind}
	for _, p := range parts {
		switch p := p.(type) {
		case int:
			b = binary.BigEndian.AppendUint32(b, uint32(p))
		case uint64:
			b = binary.BigEndian.AppendUint64(b, p)
		case string:
			b = append(binary.BigEndian.AppendUint32(b, uint32(len(p))), p...)
		}
	}
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	return b
}

// scripted is a server that says what it says, whatever it is sent.
type scripted struct {
	io.Reader
	sent bytes.Buffer
}

func (s *scripted) Write(b []byte) (int, error) { return s.sent.Write(b) }

func (s *scripted) Close() error { return nil }

func TestAServerGetsBlocksAsLargeAsItTakes(t *testing.T) {
	with := packet(packetVersion, 3, "fsync@openssh.com", "1", "limits@openssh.com", "1")
	limits := func(packets, reads, writes uint64) []byte {
		return packet(packetExtendedReply, 0, packets, reads, writes, uint64(1000))
	}
	for what, c := range map[string]struct {
		answer []byte // after the greeting; nil: none is asked for
		want   int
	}{
		"OpenSSH":             {limits(262144, 261120, 261120), 261120},
		"more":                {limits(1<<30, 1<<30, 1<<30), 255 << 10},
		"huge":                {limits(math.MaxUint64, math.MaxUint64, math.MaxUint64), 255 << 10},
		"a little more":       {limits(1<<20, 100_000, 64<<10), 64 << 10},
		"packets alone":       {limits(64<<10, 1<<20, 1<<20), 63 << 10},
		"no more":             {limits(34000, 32<<10, 32<<10), 32 << 10},
		"less":                {limits(1<<20, 1<<20, 1000), 32 << 10},
		"tells nothing":       {limits(0, 0, 0), 32 << 10},
		"does not know it":    {packet(101, 0, 8, "no", ""), 32 << 10},
		"an answer cut short": {packet(packetExtendedReply, 0, uint64(1<<20)), 32 << 10},
		"without it":          {nil, 32 << 10},
	} {
		greeting := with
		if c.answer == nil {
			greeting = packet(packetVersion, 3, "fsync@openssh.com", "1")
		}
		s := &scripted{Reader: io.MultiReader(bytes.NewReader(greeting), bytes.NewReader(c.answer), bytes.NewReader([]byte("more")))}
		w := &wire{ReadWriteCloser: s}
		if err := w.greet(); err != nil || w.block != c.want {
			t.Errorf("%s: blocks of %d, not %d: %v", what, w.block, c.want, err)
		}
		// The library greets, which the server has heard already, and gets its answer.
		s.sent.Reset()
		for _, b := range [][]byte{{0, 0, 0, 5, 1}, {0, 0, 0, 3, 'x'}, {'y'}} {
			if n, err := w.Write(b); n != len(b) || err != nil {
				t.Errorf("%s: %d, %v", what, n, err)
			}
		}
		if got := s.sent.String(); got != "xy" {
			t.Errorf("%s: the server gets %q", what, got)
		}
		if got, err := io.ReadAll(w); err != nil || !bytes.Equal(got, append(bytes.Clone(greeting), "more"...)) {
			t.Errorf("%s: the library gets %q: %v", what, got, err)
		}
	}
}

func TestWhatIsNoServerIsNotGreeted(t *testing.T) {
	for what, b := range map[string][]byte{
		"nothing":          {},
		"a message":        []byte("This account is not available.\n"),
		"a length of 0":    {0, 0, 0, 0, 2},
		"a huge packet":    {0xff, 0xff, 0xff, 0xff, 2},
		"a cut greeting":   packet(packetVersion, 3, "limits@openssh.com", "1")[:20],
		"no answer":        packet(packetVersion, 3, "limits@openssh.com", "1"),
		"a garbled answer": append(packet(packetVersion, 3, "limits@openssh.com", "1"), "garbage garbage"...),
	} {
		if s, err := newSession(&scripted{Reader: bytes.NewReader(b)}); err == nil {
			t.Errorf("%s: taken for a server with blocks of %d", what, s.wire.block)
		}
	}
	// Names of extensions that run past the end of the packet are none.
	for n := range 9 {
		b := packet(packetVersion, 3, "limits@openssh.com", "1")
		if announces(b[:len(b)-1-n], "none") || announces(b[:n], limitsExtension) {
			t.Errorf("%d bytes: something is announced", n)
		}
	}
}

func TestTheRealServerTakesLargeBlocks(t *testing.T) {
	s, err := open(t, t.TempDir(), -1)
	if err != nil {
		t.Fatal(err)
	}
	if s.block != largeBlock {
		t.Errorf("blocks of %d", s.block)
	}
	content := bytes.Repeat([]byte("0123456789abcde\n"), 1<<16) // and it gives back what it got in them
	content = append(content, 'x')
	if err := s.Put(t.Context(), "f", bytes.NewReader(content)); err != nil {
		t.Fatal(err)
	}
	r, err := s.Open(t.Context(), "f")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, content) {
		t.Errorf("%d bytes came back of %d: %v", len(got), len(content), err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}
