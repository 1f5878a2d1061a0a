package secretfile

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestOnlyAFileThatIsPrivateIsRead(t *testing.T) {
	dir := t.TempDir()
	for mode, want := range map[os.FileMode]string{
		0o600: "", 0o400: "",
		0o604: "chmod 600", 0o602: "chmod 600", 0o620: "chmod 600", 0o610: "chmod 600",
	} {
		file := filepath.Join(dir, mode.String())
		if err := os.WriteFile(file, []byte("secret"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(file, mode); err != nil {
			t.Fatal(err)
		}
		got, err := Read(file)
		if want == "" && (err != nil || string(got) != "secret") || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%v: %q, %v", mode, got, err)
		}
	}
}

func TestWhatIsNoFileOfSecretsIsRefusedAtOnce(t *testing.T) {
	dir := t.TempDir()
	fifo, long := filepath.Join(dir, "fifo"), filepath.Join(dir, "long")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(long, make([]byte, limit+1), 0o600); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{fifo: "regular", dir: "regular", long: "too long", filepath.Join(dir, "none"): "no such file"} {
		if _, err := Read(file); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", file, err)
		}
	}
}
