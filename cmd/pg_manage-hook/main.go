// Command pg_manage-hook is what PostgreSQL runs for each file of WAL, as
// archive_command and restore_command. It links little, since it starts once a file.
package main

import (
	"os"

	"pg_manage/executor/wal"
)

func main() { os.Exit(wal.Hook(os.Args[1:], os.Stdout, os.Stderr)) }
