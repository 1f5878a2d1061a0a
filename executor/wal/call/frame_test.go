package call

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
)

func FuzzReadFrame(f *testing.F) {
	var whole bytes.Buffer
	if err := WriteFrame(&whole, FrameExit, []byte{1}); err != nil {
		f.Fatal(err)
	}
	f.Add(whole.Bytes())
	f.Add([]byte("x\xff\xff\xff\xff"))
	f.Add([]byte("o\x00\x10\x00\x01"))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		r := bytes.NewReader(b)
		kind, payload, err := ReadFrame(r)
		if err != nil {
			if errors.Is(err, io.EOF) && len(b) > 0 {
				t.Fatal("a cut frame is taken for the end between two")
			}
			return
		}
		if len(payload) > maxFrame || len(b)-r.Len() != 5+len(payload) {
			t.Fatalf("%d bytes of payload from %d of %d", len(payload), len(b)-r.Len(), len(b))
		}
		var again bytes.Buffer
		if err := WriteFrame(&again, kind, payload); err != nil || !bytes.Equal(again.Bytes(), b[:again.Len()]) {
			t.Fatalf("%v: %q", err, again.Bytes())
		}
	})
}

func FuzzDecodeRequest(f *testing.F) {
	f.Add(Request{Version: Version, Dir: "/d", Config: "/c", Args: []string{"archive", "pg_wal/x"}}.Encode())
	f.Add([]byte("1\x00\x00\x00\x00"))
	f.Add([]byte("\x00"))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		q, err := DecodeRequest(b)
		if err != nil {
			return
		}
		if len(q.Args) == 0 {
			t.Fatal("a request without a command")
		}
		if got := q.Encode(); !bytes.Equal(got, b) {
			t.Fatalf("%q became %q", b, got)
		}
	})
}

func TestRequestsComeAcrossAsTheyAre(t *testing.T) {
	for _, args := range [][]string{
		{"archive", "pg_wal/000000010000000000000001"},
		{"restore", "--wait", "", "a b", "'\"\n\\$x"},
		{""},
		{"status", "\xff\xfe"},
	} {
		want := Request{Version: Version, Dir: "/srv/a b", Config: "/etc/x\ny", Args: args}
		got, err := DecodeRequest(want.Encode())
		if err != nil || got.Dir != want.Dir || got.Config != want.Config || !slices.Equal(got.Args, args) {
			t.Errorf("%q: %v, %v", args, got, err)
		}
	}
	// One that was cut has no command that it was not sent with.
	whole := Request{Version: Version, Dir: "/d", Config: "/c", Args: []string{"restore", "a", "b"}}.Encode()
	for n := range whole {
		if q, err := DecodeRequest(whole[:n]); err == nil && len(q.Args) == 3 {
			t.Errorf("%d of %d bytes: %v", n, len(whole), q)
		}
	}
	if err := WriteFrame(io.Discard, FrameOut, []byte(strings.Repeat("x", maxFrame+1))); err != nil {
		t.Error(err)
	}
}
