package codec

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"filippo.io/age"
)

// keys are a private key in a file, and its public key.
type keys struct{ file, recipient string }

func newKeys(t testing.TB) keys {
	t.Helper()
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	return keys{writeKey(t, id.String(), 0o600), id.Recipient().String()}
}

func writeKey(t testing.TB, text string, mode os.FileMode) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "key.txt")
	if err := os.WriteFile(file, []byte("# a comment\n"+text+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(file, mode); err != nil {
		t.Fatal(err)
	}
	return file
}

func open(t testing.TB, s Settings, identityFile string) *Codec {
	t.Helper()
	c, err := New(s, identityFile)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// all gives a codec for each of the extensions that can be written.
func all(t testing.TB, k keys) map[string]*Codec {
	t.Helper()
	m := map[string]*Codec{}
	for _, name := range []string{"zstd", "lz4", "gzip", "none"} {
		for _, r := range [][]string{nil, {k.recipient}} {
			c := open(t, Settings{Compression: name, Recipients: r}, k.file)
			m[c.Extension()] = c
		}
	}
	return m
}

func encode(t testing.TB, c *Codec, plain []byte) []byte {
	t.Helper()
	var stored bytes.Buffer
	w, err := c.Writer(&stored, sha256.Sum256(plain))
	if err == nil {
		_, err = w.Write(plain)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return stored.Bytes()
}

func decodeAll(c *Codec, r io.Reader, ext string) ([]byte, error) {
	dec, err := c.Reader(r, ext)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(dec)
	return b, errors.Join(err, dec.Close())
}

// wal makes up content that resembles WAL: records with repeated parts, then zeros.
func wal(n int) []byte {
	rnd := rand.New(rand.NewPCG(1, 2))
	b := make([]byte, n)
	for i := 0; i+64 <= n*3/4; i += 64 {
		binary.LittleEndian.PutUint64(b[i:], rnd.Uint64())
		copy(b[i+8:], "a record of a table")
		binary.LittleEndian.PutUint32(b[i+40:], uint32(i))
	}
	return b
}

func TestEveryFormRoundTripsAndIsReadByEveryCodec(t *testing.T) {
	k := newKeys(t)
	codecs := all(t, k)
	if len(codecs) != len(Extensions()) {
		t.Fatalf("%d forms are written and %d are read", len(codecs), len(Extensions()))
	}
	for _, ext := range Extensions() {
		writer, ok := codecs[ext]
		if !ok {
			t.Fatalf("nothing writes %q", ext)
		}
		for _, size := range []int{0, 1, 100, 64 << 10, 128<<10 + 1, 1<<20 + 7} {
			plain := wal(size)
			stored := encode(t, writer, plain)
			for _, reader := range codecs {
				got, err := decodeAll(reader, bytes.NewReader(stored), ext)
				if err != nil || !bytes.Equal(got, plain) {
					t.Fatalf("%q, %d bytes: %d bytes came back, %v", ext, size, len(got), err)
				}
			}
			// However small the pieces that the source gives are.
			got, err := decodeAll(writer, iotest.OneByteReader(bytes.NewReader(stored)), ext)
			if err != nil || !bytes.Equal(got, plain) {
				t.Fatalf("%q, %d bytes, byte by byte: %d bytes came back, %v", ext, size, len(got), err)
			}
		}
	}
}

func TestSplitUndoesExtensions(t *testing.T) {
	if got := Extensions()[0]; got != ".zst" {
		t.Errorf("the first is %q", got)
	}
	const name = "000000010000000000000001"
	for _, base := range []string{name, name + ".00000028.backup", "00000002.history", name + ".partial"} {
		for _, ext := range Extensions() {
			plain, e := Split(base + ext)
			if plain != base || e != ext || Encrypted(e) != strings.HasSuffix(ext, ".age") {
				t.Errorf("%q is taken for %q and %q", base+ext, plain, e)
			}
		}
	}
}

func TestSettingsThatCannotBeAreRefused(t *testing.T) {
	k := newKeys(t)
	pq, err := age.GenerateHybridIdentity()
	if err != nil {
		t.Fatal(err)
	}
	secret := "AGE-SECRET-KEY-1QQQQQQQQQQQQQQQQ"
	for _, test := range []struct {
		s    Settings
		want string
	}{
		{Settings{Compression: "brotli"}, "use one of zstd, lz4, gzip, none"},
		{Settings{Recipients: []string{"age1nonsense"}}, `"age1nonsense" is no recipient`},
		{Settings{Recipients: []string{""}}, "is no recipient"},
		{Settings{Recipients: []string{secret}}, "age-keygen -y"},
		{Settings{Recipients: []string{"-----BEGIN OPENSSH PRIVATE KEY-----"}}, "private key"},
		{Settings{Recipients: []string{k.recipient, pq.Recipient().String()}}, "post-quantum"},
		{Settings{Recipients: make([]string, maxRecipients+1)}, "too many"},
	} {
		_, err := New(test.s, "")
		if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), secret) {
			t.Errorf("%v: %v", test.s, err)
		}
	}
	c := open(t, Settings{}, "")
	if _, err := c.Reader(bytes.NewReader(nil), ".bz2"); err == nil || !strings.Contains(err.Error(), ".bz2") {
		t.Errorf("an unknown kind: %v", err)
	}
}

func TestDamageOfEveryByteIsFound(t *testing.T) {
	k := newKeys(t)
	plain := wal(1000)
	for ext, c := range all(t, k) {
		if ext == "" {
			continue
		}
		stored := encode(t, c, plain)
		for i := range stored {
			for _, flip := range []byte{0x01, 0x80, 0xff} {
				bad := bytes.Clone(stored)
				bad[i] ^= flip
				got, err := decodeAll(c, bytes.NewReader(bad), ext)
				// Some bits bear no content, such as the time in gzip's header.
				if err == nil && !bytes.Equal(got, plain) {
					t.Fatalf("%q: byte %d of %d changed by %#x gave %d other bytes", ext, i, len(stored), flip, len(got))
				}
				mustBeDamage(t, err)
			}
		}
	}
}

// mustBeDamage holds an error to what Reader promises of damaged objects.
func mustBeDamage(t *testing.T, err error) {
	t.Helper()
	var damaged *DamagedError
	var none *NoIdentityError
	if err != nil && !errors.As(err, &damaged) && !errors.As(err, &none) {
		t.Fatalf("damage gave %T %v", err, err)
	}
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		t.Fatalf("%v is taken for the ordinary end of a file", err)
	}
}

func TestACutAnywhereIsFound(t *testing.T) {
	k := newKeys(t)
	for ext, c := range all(t, k) {
		if ext == "" {
			continue
		}
		for _, plain := range [][]byte{nil, wal(3000), wal(300_000)} {
			stored := encode(t, c, plain)
			for n := 0; n < len(stored); n += 1 + n/500*97 {
				got, err := decodeAll(c, bytes.NewReader(stored[:n]), ext)
				if err == nil {
					t.Fatalf("%q: %d of %d bytes gave %d of %d bytes", ext, n, len(stored), len(got), len(plain))
				}
				mustBeDamage(t, err)
			}
		}
	}
}

func TestWhatLiesBehindTheEndIsFound(t *testing.T) {
	k := newKeys(t)
	plain := wal(3000)
	for ext, c := range all(t, k) {
		if ext == "" {
			continue
		}
		stored := encode(t, c, plain)
		for _, more := range [][]byte{{0}, {'x'}, make([]byte, 4), make([]byte, 512), []byte("some text that is long enough to be read as a header")} {
			_, err := decodeAll(c, bytes.NewReader(append(bytes.Clone(stored), more...)), ext)
			if err == nil {
				t.Fatalf("%q: nobody minded %q behind the end", ext, more)
			}
			mustBeDamage(t, err)
		}
	}
}

func TestWhatLiesBehindTheEndOfTheCompressedFormWithinEncryptionIsFound(t *testing.T) {
	k := newKeys(t)
	plain := wal(3000)
	for _, name := range []string{"zstd", "lz4", "gzip"} {
		inner := open(t, Settings{Compression: name}, "")
		outer := open(t, Settings{Compression: "none", Recipients: []string{k.recipient}}, k.file)
		whole := encode(t, inner, plain)
		for _, packed := range [][]byte{nil, whole[:len(whole)/2], append(bytes.Clone(whole), 0)} {
			stored := encode(t, outer, packed)
			_, err := decodeAll(outer, bytes.NewReader(stored), inner.Extension()+".age")
			if err == nil {
				t.Errorf("%s: nobody minded", name)
			}
			mustBeDamage(t, err)
		}
		// Whole, but the header has another content's checksum: that of the packed form.
		_, err := decodeAll(outer, bytes.NewReader(encode(t, outer, whole)), inner.Extension()+".age")
		if err == nil || !strings.Contains(err.Error(), "checksum in its header") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestASourceThatFailsIsNotDamage(t *testing.T) {
	k := newKeys(t)
	broken := errors.New("the line is down")
	for ext, c := range all(t, k) {
		stored := encode(t, c, wal(300_000))
		for _, n := range []int{0, 10, len(stored) / 2, len(stored)} {
			for _, fault := range []error{broken, io.ErrUnexpectedEOF} {
				_, err := decodeAll(c, io.MultiReader(bytes.NewReader(stored[:n]), iotest.ErrReader(fault)), ext)
				var damaged *DamagedError
				if err == nil || errors.As(err, &damaged) || errors.Is(err, io.ErrUnexpectedEOF) || fault == broken && !errors.Is(err, broken) {
					t.Errorf("%q after %d bytes: %T %v", ext, n, err, err)
				}
			}
		}
	}
}

type failingWriter struct{ left int }

var errFull = errors.New("no space")

func (f *failingWriter) Write(b []byte) (int, error) {
	if f.left -= len(b); f.left < 0 {
		return 0, errFull
	}
	return len(b), nil
}

func TestATargetThatFailsIsReportedAndSpoilsNothing(t *testing.T) {
	k := newKeys(t)
	plain := wal(300_000)
	for ext, c := range all(t, k) {
		whole := encode(t, c, plain)
		for _, n := range []int{0, len(whole) / 2, len(whole) - 1} {
			w, err := c.Writer(&failingWriter{n}, sha256.Sum256(plain))
			if err == nil {
				_, err = w.Write(plain)
			}
			if err == nil {
				err = w.Close()
			}
			if !errors.Is(err, errFull) {
				t.Errorf("%q: room for %d of %d bytes: %v", ext, n, len(whole), err)
			}
			if w != nil && w.Close() == nil {
				t.Errorf("%q: closing made the object whole", ext)
			}
		}
		got, err := decodeAll(c, bytes.NewReader(encode(t, c, plain)), ext)
		if err != nil || !bytes.Equal(got, plain) {
			t.Errorf("%q afterwards: %v", ext, err)
		}
	}
}
