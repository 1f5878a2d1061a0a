package main

import (
	"github.com/spf13/cobra"

	"pg_manage/executor/wal"
)

// hookName is the name under which this program is the hook that PostgreSQL
// calls, with nothing else to it.
const hookName = "pg_manage-hook"

func (a *app) hookCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "hook archive|restore|...",
		Short: "What archive_command and restore_command call on a node",
		Long: `Archives or restores one WAL file. PostgreSQL calls the smaller program
pg_manage-hook, which does the same; this form is for people.`,
		DisableFlagParsing: true, // PostgreSQL's file names are no flags
		RunE: func(_ *cobra.Command, args []string) error {
			if code := wal.Hook(args, a.stdout, a.stderr); code != 0 {
				return &exitStatus{code: code}
			}
			return nil
		},
	}
}
