// Package nodebin finds the programs that apply installs on nodes: the running
// program itself, the small hook program beside it, and builds for other
// architectures beside it (pg_manage-linux-arm64, pg_manage-hook-linux-arm64).
package nodebin

import (
	"crypto/sha256"
	"debug/elf"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
)

// Names of the programs on a node.
const (
	Manage = "pg_manage"
	Hook   = "pg_manage-hook"
)

// Set are the programs at hand, by Go's name of the architecture.
type Set struct {
	executable string
	paths      map[string]map[string]string // architecture -> name on the node -> file here
	digests    func() (map[string]map[string]string, error)
}

// Find looks for the programs, beginning with the running one. Where no hook
// program lies beside it, it serves under both names.
func Find() (*Set, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("cannot tell where this program lies, so that it could be installed on nodes: %w", err)
	}
	if real, err := filepath.EvalSymlinks(exe); err == nil {
		exe = real
	}
	return FindBeside(exe, runtime.GOOS, runtime.GOARCH)
}

// FindBeside is Find for a given executable, built for a given system.
func FindBeside(exe, system, arch string) (*Set, error) {
	s := &Set{executable: exe, paths: map[string]map[string]string{}}
	dir := filepath.Dir(exe)
	for _, a := range []string{"amd64", "arm64"} {
		manage := filepath.Join(dir, Manage+"-linux-"+a)
		hook := filepath.Join(dir, Hook+"-linux-"+a)
		if system == "linux" && a == arch {
			manage, hook = exe, filepath.Join(dir, Hook)
		}
		if err := program(manage, a); errors.Is(err, fs.ErrNotExist) {
			continue
		} else if err != nil {
			return nil, err
		}
		if err := program(hook, a); errors.Is(err, fs.ErrNotExist) {
			hook = manage
		} else if err != nil {
			return nil, err
		}
		s.paths[a] = map[string]string{Manage: manage, Hook: hook}
	}
	s.digests = sync.OnceValues(s.digest)
	return s, nil
}

// program makes sure that a file is a Linux program for an architecture.
func program(path, arch string) error {
	f, err := elf.Open(path)
	if err != nil {
		return fmt.Errorf("%s cannot be installed on nodes: %w", path, err)
	}
	defer f.Close()
	want := map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}[arch]
	if f.Machine != want {
		return fmt.Errorf("%s cannot be installed on %s nodes: it is built for %s", path, arch, f.Machine)
	}
	return nil
}

// Path is the file here that gets the given name on nodes of an architecture.
func (s *Set) Path(arch, name string) (string, error) {
	if path := s.paths[arch][name]; path != "" {
		return path, nil
	}
	return "", fmt.Errorf("no %s for %s is at hand: build it with `CGO_ENABLED=0 GOOS=linux GOARCH=%s go build -o %s ./cmd/pg_manage`",
		name, arch, arch, filepath.Join(filepath.Dir(s.executable), Manage+"-linux-"+arch))
}

// Open opens the file that Path names.
func (s *Set) Open(arch, name string) (io.ReadCloser, error) {
	path, err := s.Path(arch, name)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read the program for nodes: %w", err)
	}
	return f, nil
}

// Digests are the SHA-256 sums of all programs: architecture -> name -> hexadecimal.
// They are computed once.
func (s *Set) Digests() (map[string]map[string]string, error) { return s.digests() }

func (s *Set) digest() (map[string]map[string]string, error) {
	seen := map[string]string{}
	out := map[string]map[string]string{}
	for arch, names := range s.paths {
		out[arch] = map[string]string{}
		for name, path := range names {
			if seen[path] == "" {
				sum, err := fileSum(path)
				if err != nil {
					return nil, err
				}
				seen[path] = sum
			}
			out[arch][name] = seen[path]
		}
	}
	return out, nil
}

func fileSum(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("cannot read the program for nodes: %w", err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", fmt.Errorf("cannot read %s: %w", path, err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// Dynamic names the programs that need a C library at run time, with the
// newest version of glibc they ask for: on a node with an older one they do
// not start. Each is "FILE (glibc 2.34)".
func (s *Set) Dynamic() []string {
	var out []string
	seen := map[string]bool{}
	for _, arch := range []string{"amd64", "arm64"} {
		for _, name := range []string{Manage, Hook} {
			path := s.paths[arch][name]
			if path == "" || seen[path] {
				continue
			}
			seen[path] = true
			if need := interpreter(path); need != "" {
				out = append(out, path+" ("+need+")")
			}
		}
	}
	return out
}

// interpreter says what C library a program needs; "" when it is static.
func interpreter(path string) string {
	f, err := elf.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	dynamic := false
	for _, p := range f.Progs {
		dynamic = dynamic || p.Type == elf.PT_INTERP
	}
	if !dynamic {
		return ""
	}
	newest := [2]int{}
	symbols, err := f.ImportedSymbols()
	if err != nil {
		return "the C library"
	}
	for _, s := range symbols {
		var v [2]int
		if n, _ := fmt.Sscanf(strings.TrimPrefix(s.Version, "GLIBC_"), "%d.%d", &v[0], &v[1]); n == 2 && (v[0] > newest[0] || v[0] == newest[0] && v[1] > newest[1]) {
			newest = v
		}
	}
	if newest[0] == 0 {
		return "the C library"
	}
	return fmt.Sprintf("glibc %d.%d or later", newest[0], newest[1])
}
