package index

import (
	"bytes"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
)

func some() []Entry {
	return []Entry{
		{Dir: "base/5", Mode: 0o700},
		{Link: "pg_tblspc/16390", To: "/srv/\xff"},
		{Path: "base/5/16384", Mode: 0o600, Size: 20000, MTime: 7, Chunks: []Chunk{{Block: 0, Count: 1, Offset: 5, Length: 6, Skip: 512}, {Block: 2, Count: 1, Part: 3}}, Sums: make([]byte, 24)},
		{Path: "no utf-8 \xff\xfe", Size: 8192, Same: true},
	}
}

func text(t testing.TB, entries []Entry) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := NewWriter(&b, Header{Label: "l", Parent: "p"})
	if err != nil {
		t.Fatal(err)
	}
	for i := range entries {
		if err := w.Write(&entries[i]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func read(b []byte) (all []Entry, err error) {
	r, err := NewReader(bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	for {
		e, err := r.Next()
		if errors.Is(err, io.EOF) {
			return all, nil
		} else if err != nil {
			return nil, err
		}
		all = append(all, *e)
	}
}

func TestWhatIsWrittenIsRead(t *testing.T) {
	b := text(t, some())
	got, err := read(b)
	if err != nil || !reflect.DeepEqual(got, some()) {
		t.Errorf("%v: %+v", err, got)
	}
	if !strings.Contains(string(b), `[2,1,3,0,0,0]`) || !strings.Contains(string(b), `"hex":true`) {
		t.Errorf("%s", b)
	}
	for i := range len(b) - 1 {
		if _, err := read(b[:i]); err == nil {
			t.Errorf("cut to %d bytes it is accepted", i)
		}
	}
}

func TestNamesOutsideAreRefused(t *testing.T) {
	for _, p := range []string{"../x", "/etc/x", "a/../../x", "a//b", ".", "a/./b", "a\x00b"} {
		for _, e := range []Entry{{Dir: p}, {Link: p, To: "/x"}, {Path: p}} {
			if _, err := read(text(t, []Entry{e})); err == nil {
				t.Errorf("%+v is accepted", e)
			}
		}
		if _, err := read(text(t, []Entry{{Path: p + "/../\xff"}})); err == nil { // in hexadecimal too
			t.Errorf("%q is accepted", p)
		}
	}
}

func FuzzReader(f *testing.F) {
	f.Add(text(f, some()))
	f.Add([]byte(`{"version":1,"block_size":8192}` + "\n" + `{"path":"61","hex":true}` + "\n" + `{"lines":2}` + "\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := read(b)
		if err != nil {
			return
		}
		for i := range got {
			if err := got[i].check(); err != nil || got[i].Hex {
				t.Errorf("%v: %+v", err, got[i])
			}
		}
		if again, err := read(text(t, got)); err != nil || len(again) != len(got) {
			t.Errorf("written again: %v", err)
		}
	})
}
