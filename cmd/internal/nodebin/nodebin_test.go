package nodebin

import (
	"bytes"
	"crypto/sha256"
	"debug/elf"
	"encoding/binary"
	"encoding/hex"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// writeProgram writes the header of a static program for an architecture, and something to tell it by.
func writeProgram(t *testing.T, path string, machine elf.Machine, text string) {
	t.Helper()
	header := elf.Header64{
		Ident: [elf.EI_NIDENT]byte{0x7f, 'E', 'L', 'F', byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT)},
		Type:  uint16(elf.ET_EXEC), Machine: uint16(machine), Version: uint32(elf.EV_CURRENT), Ehsize: 64, Phentsize: 56, Shentsize: 64,
	}
	var b bytes.Buffer
	if err := binary.Write(&b, binary.LittleEndian, header); err != nil {
		t.Fatal(err)
	}
	b.WriteString(text)
	if err := os.WriteFile(path, b.Bytes(), 0o700); err != nil {
		t.Fatal(err)
	}
}

func TestSet(t *testing.T) {
	dir := t.TempDir()
	exe := filepath.Join(dir, "pg_manage")
	writeProgram(t, exe, elf.EM_X86_64, "manage")
	s, err := FindBeside(exe, "linux", "amd64")
	if err != nil {
		t.Fatal(err)
	}
	// Alone, the program serves under both names.
	sums, err := s.Digests()
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(exe)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(b)
	for _, name := range []string{Manage, Hook} {
		if got := sums["amd64"][name]; got != hex.EncodeToString(sum[:]) {
			t.Errorf("%s has the sum %s", name, got)
		}
	}
	if len(sums) != 1 {
		t.Errorf("programs for %d architectures", len(sums))
	}
	if _, err := s.Path("arm64", Manage); err == nil || !strings.Contains(err.Error(), "GOARCH=arm64") {
		t.Errorf("a missing architecture gives %v", err)
	}
	if d := s.Dynamic(); len(d) != 0 {
		t.Errorf("static programs are said to be dynamic: %v", d)
	}
	// With builds beside it.
	writeProgram(t, filepath.Join(dir, "pg_manage-hook"), elf.EM_X86_64, "hook")
	writeProgram(t, filepath.Join(dir, "pg_manage-linux-arm64"), elf.EM_AARCH64, "arm")
	if s, err = FindBeside(exe, "linux", "amd64"); err != nil {
		t.Fatal(err)
	}
	for _, tc := range [][3]string{
		{"amd64", Manage, "pg_manage"},
		{"amd64", Hook, "pg_manage-hook"},
		{"arm64", Manage, "pg_manage-linux-arm64"},
		{"arm64", Hook, "pg_manage-linux-arm64"},
	} {
		if got, err := s.Path(tc[0], tc[1]); err != nil || filepath.Base(got) != tc[2] {
			t.Errorf("%s for %s is %s, %v; want %s", tc[1], tc[0], got, err, tc[2])
		}
	}
}

func TestWrongArchitecture(t *testing.T) {
	dir := t.TempDir()
	exe := filepath.Join(dir, "pg_manage")
	writeProgram(t, exe, elf.EM_X86_64, "manage")
	writeProgram(t, filepath.Join(dir, "pg_manage-linux-arm64"), elf.EM_X86_64, "amd")
	if _, err := FindBeside(exe, "linux", "amd64"); err == nil || !strings.Contains(err.Error(), "built for") {
		t.Errorf("got %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "pg_manage-linux-arm64"), []byte("#!/bin/sh\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := FindBeside(exe, "linux", "amd64"); err == nil || !strings.Contains(err.Error(), "cannot be installed") {
		t.Errorf("got %v", err)
	}
}

func TestDynamic(t *testing.T) {
	// The Go command, or this very test, may be static; the shell of the system is not.
	s := &Set{paths: map[string]map[string]string{runtime.GOARCH: {Manage: "/bin/sh"}}}
	d := s.Dynamic()
	if len(d) != 1 || !strings.Contains(d[0], "C library") && !strings.Contains(d[0], "glibc") {
		t.Errorf("got %v", d)
	}
}

func TestRunningProgram(t *testing.T) {
	s, err := Find()
	if err != nil {
		t.Fatal(err)
	}
	f, err := s.Open(runtime.GOARCH, Hook)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	magic := make([]byte, 4)
	if _, err := f.Read(magic); err != nil || string(magic) != "\x7fELF" {
		t.Errorf("got %q, %v", magic, err)
	}
}
