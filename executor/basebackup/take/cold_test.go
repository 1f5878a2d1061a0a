package take

import (
	"os"
	"path/filepath"
	"testing"
)

// TestAColdBackupKnowsTheSizeOfARelationsFiles, which a build may have of its own, and by which
// checksums of pages are verified.
func TestAColdBackupKnowsTheSizeOfARelationsFiles(t *testing.T) {
	dir := t.TempDir()
	shut, err := filepath.Abs("../../../schema/postgres/testdata/pg_controldata-17.txt")
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"pg_controldata": "#!/bin/sh\nsed '/^Blocks per segment of large relation:/s/131072/64/' '" + shut + "'\n",
		"PG_VERSION":     "17\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	o := Options{Server: Server{BinDir: dir, DataDir: dir}}
	if f, err := o.coldFacts(t.Context()); err != nil || f.relationSegment != 64 {
		t.Errorf("%+v, %v", f, err)
	}
}
