package codec

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// program runs a program of the system on stdin. Package is the Debian package that has it.
func program(t *testing.T, pkg string, stdin []byte, name string, args ...string) []byte {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("the program %s is needed (Debian: the package %s)", name, pkg)
	}
	cmd := exec.CommandContext(t.Context(), path, args...)
	cmd.Stdin = bytes.NewReader(stdin)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %q: %v: %s", name, args, err, stderr.String())
	}
	return out
}

// compressors are the programs for each extension, with what makes them compress to
// standard output.
var compressors = map[string]struct {
	pkg, name string
	args      []string
}{
	".zst": {"zstd", "zstd", []string{"-q", "-c"}},
	".lz4": {"lz4", "lz4", []string{"-q", "-c"}},
	".gz":  {"gzip", "gzip", []string{"-c"}},
}

func TestTheUsualProgramsReadWhatIsStored(t *testing.T) {
	k, locked := newKeys(t), sshKeys(t, "")
	for _, key := range []keys{k, locked} {
		for ext, c := range all(t, key) {
			for _, size := range []int{0, 100, 1<<20 + 7} {
				plain := wal(size)
				got := encode(t, c, plain)
				if Encrypted(ext) {
					got = program(t, "age", got, "age", "-d", "-i", key.file)
				}
				if p, ok := compressors[strings.TrimSuffix(ext, ".age")]; ok {
					got = program(t, p.pkg, got, p.name, append([]string{"-d"}, p.args...)...)
				}
				if !bytes.Equal(got, plain) {
					t.Errorf("%q: %d bytes of %d came back", ext, len(got), size)
				}
			}
		}
	}
}

func TestWhatTheUsualProgramsWroteIsRead(t *testing.T) {
	dir := t.TempDir()
	key := filepath.Join(dir, "key.txt")
	program(t, "age", nil, "age-keygen", "-o", key)
	recipient := strings.TrimSpace(string(program(t, "age", nil, "age-keygen", "-y", key)))
	c := open(t, Settings{}, key)
	plain := wal(5<<20 + 3)
	for ext, p := range compressors {
		for _, level := range []string{"-1", "-9"} {
			stored := program(t, p.pkg, plain, p.name, append([]string{level}, p.args...)...)
			got, err := decodeAll(c, bytes.NewReader(stored), ext)
			if err != nil || !bytes.Equal(got, plain) {
				t.Errorf("%s %s: %d bytes, %v", p.name, level, len(got), err)
			}
			stored = program(t, "age", stored, "age", "-r", recipient)
			got, err = decodeAll(c, bytes.NewReader(stored), ext+".age")
			if err != nil || !bytes.Equal(got, plain) {
				t.Errorf("%s %s and age: %d bytes, %v", p.name, level, len(got), err)
			}
			if _, ok, err := StoredSum(bytes.NewReader(stored)); ok || err != nil {
				t.Errorf("the checksum of age's own: %v, %v", ok, err)
			}
		}
	}
	if st, err := os.Stat(key); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("age-keygen's file: %v, %v", st.Mode(), err)
	}
}
