package lab

import (
	"os"
	"path/filepath"
	"testing"
)

func TestMirrorFromAptSources(t *testing.T) {
	tests := map[string]struct{ file, text, want string }{
		"deb822":          {"sources.list.d/debian.sources", "Types: deb\nURIs: http://ftp.de.debian.org/debian/\nSuites: trixie\n", "http://ftp.de.debian.org/debian"},
		"one line":        {"sources.list", "# a comment\ndeb [arch=amd64] https://mirror.example.org/debian bookworm main\n", "https://mirror.example.org/debian"},
		"security alone":  {"sources.list", "deb http://deb.debian.org/debian-security bookworm-security main\n", DefaultMirror},
		"another vendor":  {"sources.list.d/x.list", "deb https://packages.example.org/apt stable main\n", DefaultMirror},
		"commented out":   {"sources.list", "#deb http://ftp.de.debian.org/debian bookworm main\n", DefaultMirror},
		"no sources left": {"unrelated", "", DefaultMirror},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			etc := t.TempDir()
			file := filepath.Join(etc, tt.file)
			if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, []byte(tt.text), 0o644); err != nil {
				t.Fatal(err)
			}
			if got := mirror(etc); got != tt.want {
				t.Errorf("mirror = %q, want %q", got, tt.want)
			}
		})
	}
}

func TestInterfaceNamesFit(t *testing.T) {
	n := &Node{lab: &Lab{number: maxLabs - 1}, index: 254}
	for _, name := range []string{n.veth(), n.slowFar(), bridgeName(maxLabs - 1)} {
		if len(name) > 15 { // IFNAMSIZ of the kernel, less the closing zero
			t.Errorf("interface name %q has %d characters", name, len(name))
		}
	}
}
