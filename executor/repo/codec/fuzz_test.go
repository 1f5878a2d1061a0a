package codec

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"runtime"
	"testing"
)

// FuzzReader makes sure that no object makes a decoder panic, hang or take much memory,
// and that what is wrong with one is told as Reader promises.
func FuzzReader(f *testing.F) {
	k := newKeys(f)
	codecs := all(f, k)
	for i, ext := range Extensions() {
		for _, size := range []int{0, 10, 3000} {
			f.Add(encode(f, codecs[ext], wal(size)), uint8(i))
		}
	}
	c := open(f, Settings{}, k.file)
	f.Fuzz(func(t *testing.T, stored []byte, kind uint8) {
		ext := Extensions()[int(kind)%len(Extensions())]
		r, err := c.Reader(bytes.NewReader(stored), ext)
		if err == nil {
			// A few bytes may stand for very many.
			_, err = io.Copy(io.Discard, io.LimitReader(r, 16<<20))
			err = errors.Join(err, r.Close())
		}
		mustBeDamage(t, err)
		var m runtime.MemStats
		if runtime.ReadMemStats(&m); m.HeapAlloc > 256<<20 {
			t.Fatalf("%d MB are in use", m.HeapAlloc>>20)
		}
	})
}

// FuzzStoredSum makes sure that what StoredSum accepts as a header is one.
func FuzzStoredSum(f *testing.F) {
	k := newKeys(f)
	f.Add(encode(f, open(f, Settings{Recipients: []string{k.recipient}}, ""), wal(100)))
	f.Add([]byte(headerLine + "\n-> X25519 x\n\n--- \n"))
	f.Add([]byte(headerLine + "\n-> " + sumStanza + " x\n\n--- \n"))
	f.Fuzz(func(t *testing.T, stored []byte) {
		sum, ok, err := StoredSum(bytes.NewReader(stored))
		if err != nil {
			mustBeDamage(t, err)
		}
		if (err != nil || !ok) && sum != [32]byte{} {
			t.Errorf("a checksum of nothing: %x", sum)
		}
	})
}

// FuzzRoundTrip stores and reads any content.
func FuzzRoundTrip(f *testing.F) {
	k := newKeys(f)
	codecs := all(f, k)
	f.Add([]byte(nil), uint8(1))
	f.Add(wal(200_000), uint8(100))
	f.Fuzz(func(t *testing.T, plain []byte, pieces uint8) {
		for ext, c := range codecs {
			var stored bytes.Buffer
			w, err := c.Writer(&stored, sha256.Sum256(plain))
			if err != nil {
				t.Fatal(err)
			}
			// In pieces: encoders join them.
			for rest, n := plain, 1+len(plain)/(1+int(pieces)); len(rest) > 0; {
				piece := rest[:min(n, len(rest))]
				if _, err := w.Write(piece); err != nil {
					t.Fatal(err)
				}
				rest = rest[len(piece):]
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			got, err := decodeAll(c, &stored, ext)
			if err != nil || !bytes.Equal(got, plain) {
				t.Fatalf("%q: %d bytes came back, %v", ext, len(got), err)
			}
		}
	})
}
