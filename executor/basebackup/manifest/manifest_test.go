package manifest

import (
	"bytes"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"pg_manage/executor/basebackup/pgtest"
	"pg_manage/schema/postgres"
)

func write(t *testing.T, h Header, files []File, ranges []Range) string {
	t.Helper()
	var b bytes.Buffer
	w, err := NewWriter(&b, h)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if err := w.Write(f); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(ranges); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func read(text string) (*Manifest, []File, error) {
	var files []File
	m, err := Read(strings.NewReader(text), func(f File) error {
		files = append(files, f)
		return nil
	})
	return m, files, err
}

var when = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func someFiles() []File {
	return []File{
		{Path: "base/5/16384", Size: 8192, MTime: when, CRC: 0x01020304},
		{Path: "a \"b\"\\\n\tü", Size: 0, MTime: when},
		{Path: "log/\xff\xfe", Size: 1 << 40, MTime: when, CRC: 0xFFFFFFFF},
	}
}

func TestForm(t *testing.T) {
	got := write(t, Header{Major: 17, SystemIdentifier: 7000000000000000001}, someFiles(), []Range{{2, 0x5000060, 0x5000100}, {1, 0x4000028, 0x5000060}})
	body := `{ "PostgreSQL-Backup-Manifest-Version": 2,
"System-Identifier": 7000000000000000001,
"Files": [
{ "Path": "base/5/16384", "Size": 8192, "Last-Modified": "2026-01-02 03:04:05 GMT", "Checksum-Algorithm": "CRC32C", "Checksum": "04030201" },
{ "Path": "a \"b\"\\\u000a\u0009ü", "Size": 0, "Last-Modified": "2026-01-02 03:04:05 GMT", "Checksum-Algorithm": "CRC32C", "Checksum": "00000000" },
{ "Encoded-Path": "6c6f672ffffe", "Size": 1099511627776, "Last-Modified": "2026-01-02 03:04:05 GMT", "Checksum-Algorithm": "CRC32C", "Checksum": "ffffffff" }
],
"WAL-Ranges": [
{ "Timeline": 2, "Start-LSN": "0/5000060", "End-LSN": "0/5000100" },
{ "Timeline": 1, "Start-LSN": "0/4000028", "End-LSN": "0/5000060" }
],
`
	if head, _, _ := strings.Cut(got, `"Manifest-Checksum"`); head != body {
		t.Errorf("have\n%s\nwant\n%s", head, body)
	}
	m, files, err := read(got)
	if err != nil {
		t.Fatal(err)
	}
	if m.Version != 2 || m.SystemIdentifier != 7000000000000000001 || len(m.Ranges) != 2 || m.Ranges[1] != (Range{1, 0x4000028, 0x5000060}) || !slices.Equal(files, someFiles()) {
		t.Errorf("%+v %+v", m, files)
	}
	if got := write(t, Header{Major: 16, SystemIdentifier: 7}, nil, nil); !strings.HasPrefix(got, "{ \"PostgreSQL-Backup-Manifest-Version\": 1,\n\"Files\": [\n],") {
		t.Error(got)
	}
}

// TestDamageIsNoticed: a manifest that is cut, or of which any byte is another, is refused.
func TestDamageIsNoticed(t *testing.T) {
	good := write(t, Header{Major: 17, SystemIdentifier: 7}, someFiles(), []Range{{1, 1, 2}})
	for i := range good {
		if _, _, err := read(good[:i]); err == nil && i < len(good)-1 {
			t.Errorf("cut to %d bytes it is accepted", i)
		}
		b := []byte(good)
		b[i] ^= 1
		if _, _, err := read(string(b)); err == nil && i < len(good)-1 {
			t.Errorf("byte %d changed: accepted", i)
		}
	}
	for _, bad := range []string{good + good, good + "x", strings.Replace(good, "base/5", "../../5", 1), strings.Repeat("[", 1000)} {
		if _, _, err := read(bad); err == nil {
			t.Errorf("accepted: %.100s", bad)
		}
	}
}

// TestServersOwnManifest reads what the server itself writes.
func TestServersOwnManifest(t *testing.T) {
	s := pgtest.New(t)
	s.Start(s.Data)
	dir := s.Root + "/copy"
	s.Run(s.Bin+"/pg_basebackup", "-h", s.Root, "-U", "postgres", "-D", dir, "-c", "fast", "-X", "fetch")
	text, err := os.ReadFile(dir + "/backup_manifest")
	if err != nil {
		t.Fatal(err)
	}
	m, files, err := read(string(text))
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 900 || len(m.Ranges) != 1 || m.Ranges[0].Timeline != 1 {
		t.Errorf("%d files, %+v", len(files), m)
	}
	// Written again it is the same text, but for the server's own order of things.
	if again := write(t, Header{Major: s.Major, SystemIdentifier: m.SystemIdentifier}, files, m.Ranges); again != string(text) {
		t.Errorf("have\n%.400s\nwant\n%.400s", again, text)
	}
}

func FuzzRead(f *testing.F) {
	f.Add(`{ "PostgreSQL-Backup-Manifest-Version": 1,` + "\n" + `"Files": [],` + "\n" + `"Manifest-Checksum": "00"}` + "\n")
	var b bytes.Buffer
	w, err := NewWriter(&b, Header{Major: 17})
	if err != nil {
		f.Fatal(err)
	}
	for _, x := range someFiles() {
		if err := w.Write(x); err != nil {
			f.Fatal(err)
		}
	}
	if err := w.Close([]Range{{1, postgres.LSN(1), postgres.LSN(2)}}); err != nil {
		f.Fatal(err)
	}
	f.Add(b.String())
	f.Fuzz(func(t *testing.T, text string) {
		m, files, err := read(text)
		if err != nil {
			return
		}
		for _, x := range files {
			if x.Size < 0 || x.Path == "" {
				t.Errorf("%+v", x)
			}
		}
		major := 13
		if m.Version == 2 {
			major = 17
		}
		m2, files2, err := read(write(t, Header{major, m.SystemIdentifier}, files, m.Ranges))
		if err != nil || len(files2) != len(files) || len(m2.Ranges) != len(m.Ranges) {
			t.Errorf("written again: %v", err)
		}
	})
}
