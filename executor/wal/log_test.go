package wal

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestWeekdayLog: --log writes what was done into the log of the day, in a directory that it makes.
func TestWeekdayLog(t *testing.T) {
	in := newInstance(t)
	in.init()
	dir := filepath.Join(filepath.Dir(in.config), "log")
	in.writeConfig(func(c *Config) { c.LogDir = dir })
	in.must(ExitOK, "archive", "--log", "pg_wal/"+seg1)
	in.must(ExitOK, "restore", "--log", seg1, "pg_wal/RECOVERYXLOG")
	for pattern, want := range map[string]string{"archive-???.log": "archived " + seg1, "restore-???.log": "restored " + seg1} {
		files, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil || len(files) != 1 {
			t.Fatalf("%s: %v, %v", pattern, files, err)
		}
		if text, err := os.ReadFile(files[0]); err != nil || !strings.Contains(string(text), want) {
			t.Errorf("%s: %q, %v", files[0], text, err)
		}
	}
}
