package main

import (
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"pg_manage/executor/wal"
	"pg_manage/executor/wal/archiver"
	"pg_manage/executor/wal/call"
	"pg_manage/executor/wal/call/patient"
)

// hookName is the name under which this program is the hook that PostgreSQL
// calls, with nothing else to it.
const hookName = "pg_manage-hook"

// hookProgram is this program under the hook's name, which the lean program gives it for
// all that it cannot do, and under which it may be installed itself. It asks the
// archiver in the background first, and starts it.
func hookProgram(args []string, stdout, stderr io.Writer) int {
	alone := func() int { return hookAlone(args, stdout, stderr) }
	exe, err := os.Executable()
	if err != nil {
		return alone()
	}
	full := []string{exe}
	if filepath.Base(exe) != hookName { // the lean program gave us its name alone
		full = append(full, "hook")
	}
	return patient.Run(patient.Options{Args: args, Full: full, Alone: alone})
}

// hookAlone does the work of a hook in this process; the archiver is one of its commands.
func hookAlone(args []string, stdout, stderr io.Writer) int {
	if rest, ok := call.Command(args, "archiver"); ok {
		return archiver.Main(rest)
	}
	return wal.Hook(args, stdout, stderr)
}

func (a *app) hookCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "hook archive|restore|...",
		Short: "What archive_command and restore_command call on a node",
		Long: `Archives or restores one WAL file. PostgreSQL calls the smaller program
pg_manage-hook, which does the same; this form is for people.`,
		DisableFlagParsing: true, // PostgreSQL's file names are no flags
		RunE: func(_ *cobra.Command, args []string) error {
			if code := hookAlone(args, a.stdout, a.stderr); code != 0 {
				return &exitStatus{code: code}
			}
			return nil
		},
	}
}
