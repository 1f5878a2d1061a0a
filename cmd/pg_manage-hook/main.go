// Command pg_manage-hook is what PostgreSQL runs for each file of WAL, as
// archive_command and restore_command. It is as small as can be, since it starts once
// a file: the archiver in the background does the work, else the program pg_manage,
// which must lie beside this one.
package main

import (
	"os"
	"path/filepath"
	"strings"

	"pg_manage/executor/wal/call"
)

func main() {
	exe, err := os.Executable()
	if err != nil {
		exe = os.Args[0]
	}
	// After an upgrade the running file has no name any more; the new one has.
	full := filepath.Join(filepath.Dir(strings.TrimSuffix(exe, " (deleted)")), "pg_manage")
	os.Exit(call.Run(call.Options{Args: os.Args[1:], Full: []string{full, "hook"}}))
}
