package codec

import (
	"bytes"
	"testing"
)

func TestWhatHasNoChecksumIsKnown(t *testing.T) {
	c, plain := open(t, Settings{}, ""), wal(3<<20+5)
	known := func(stored []byte, ext string) bool {
		t.Helper()
		r, err := c.Reader(bytes.NewReader(stored), ext)
		if err != nil {
			t.Fatal(err)
		}
		return !Unsummed(r)
	}
	for _, name := range []string{"zstd", "lz4", "gzip"} {
		own := open(t, Settings{Compression: name}, "")
		for _, halves := range []bool{true, false} {
			var b bytes.Buffer
			if err := own.Encode(&b, bytes.NewReader(plain), int64(len(plain)), [32]byte{}, halves); err != nil {
				t.Fatal(err)
			}
			if !known(b.Bytes(), own.Extension()) {
				t.Errorf("%s, in halves %v: our own has a checksum", name, halves)
			}
		}
	}
	if known(plain, "") {
		t.Error("a plain file has no checksum")
	}
	for ext, p := range compressors {
		if !known(program(t, p.pkg, plain, p.name, p.args...), ext) {
			t.Errorf("%s has a checksum where nobody says otherwise", p.name)
		}
	}
	for ext, off := range map[string]string{".zst": "--no-check", ".lz4": "--no-frame-crc"} {
		p := compressors[ext]
		if known(program(t, p.pkg, plain, p.name, append([]string{off}, p.args...)...), ext) {
			t.Errorf("%s %s leaves the checksum out", p.name, off)
		}
	}
}
