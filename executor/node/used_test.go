package node

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pg_manage/executor/repo"
)

// TestAPlaceThatWasUsedDoesNotCountAsNew: by the note that a backup leaves.
func TestAPlaceThatWasUsedDoesNotCountAsNew(t *testing.T) {
	state := t.TempDir()
	p := Place{Target: repo.Target{Name: "nas", Scheme: "file", Path: "/mnt/nas"}, BackupDir: "pg_hotbackup", Cluster: "main"}
	if err := refuseVanished(p, "7", state); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := noteUse(p, "7", state); err != nil {
			t.Fatal(err)
		}
	}
	for _, system := range []string{"7", ""} {
		if err := refuseVanished(p, system, state); err == nil || !strings.Contains(err.Error(), "Mount it") || !strings.Contains(err.Error(), state) {
			t.Errorf("%q: %v", system, err)
		}
	}
	other := p
	other.BackupDir = "elsewhere"
	if err := refuseVanished(other, "7", state); err != nil {
		t.Error(err)
	}
	if err := refuseVanished(p, "8", state); err != nil { // a cluster that came after
		t.Error(err)
	}
	file := filepath.Join(state, p.used("7").File())
	if err := os.WriteFile(file, []byte("garbage"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := refuseVanished(p, "7", state); err == nil || !strings.Contains(err.Error(), "cannot be understood") {
		t.Error(err)
	}
}
