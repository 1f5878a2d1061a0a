package view

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// updating says that the golden files are to be written anew: UPDATE_GOLDEN=1 go test ./cmd/internal/view
func updating() bool { return os.Getenv("UPDATE_GOLDEN") != "" }

// golden compares what was written with a file of testdata.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if updating() {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), string(got)); d != "" {
		t.Errorf("%s differs (-want +got); UPDATE_GOLDEN=1 writes it anew:\n%s", path, d)
	}
	if bytes.Contains(got, []byte("hunter2")) {
		t.Errorf("%s shows a secret", path)
	}
}
