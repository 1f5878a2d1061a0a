package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/agext/levenshtein"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "pg_manage",
		Short: "Look after PostgreSQL clusters on plain machines",
		Long: `pg_manage looks after PostgreSQL clusters on plain machines.

A file in HCL declares clusters, their nodes and where WAL and backups go.
"plan" looks at every node and shows, as ordered steps, what would have to
happen; "apply" does it over SSH. There is no server and no state file: the
truth is what the nodes say now.

` + exitHelp,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			return unknownCommand(cmd, args[0])
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	f := root.PersistentFlags()
	f.StringVarP(&a.dir, "chdir", "C", ".", "`FOLDER` that holds the cluster files")
	f.StringSliceVar(&a.clusters, "cluster", nil, "only the cluster `NAME`; may be given several times")
	f.BoolVar(&a.json, "json", false, "write JSON for programs")
	f.BoolVar(&a.noColor, "no-color", false, "no colours (also with the environment variable NO_COLOR)")
	f.BoolVar(&a.debug, "debug", false, "tell on standard error what is being done")
	f.BoolVarP(&a.quiet, "quiet", "q", false, "say only what was asked for, and errors")
	root.SetFlagErrorFunc(flagError)
	root.CompletionOptions.HiddenDefaultCmd = false
	root.AddCommand(
		a.planCommand(), a.applyCommand(), a.showCommand(), a.statusCommand(), a.checkCommand(), a.archiveCommand(),
		a.backupCommand(), a.backupsCommand(), a.verifyCommand(), a.restoreCommand(),
		a.validateCommand(), a.fmtCommand(), a.graphCommand(), a.unlockCommand(), a.versionCommand(),
		a.hookCommand(), a.nodeCommand(), a.demoCommand(),
	)
	return root
}

func unknownCommand(root *cobra.Command, name string) error {
	var names []string
	for _, c := range root.Commands() {
		if c.IsAvailableCommand() {
			names = append(names, c.Name())
		}
	}
	return &hintedError{fmt.Sprintf("unknown command %q", name), suggest(name, names, "") + "`pg_manage --help` lists the commands."}
}

// flagError adds the nearest flag to the complaint about an unknown one.
func flagError(cmd *cobra.Command, err error) error {
	hint := fmt.Sprintf("`%s --help` lists the flags.", cmd.CommandPath())
	var unknown *pflag.NotExistError
	if errors.As(err, &unknown) {
		var names []string
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			if !f.Hidden {
				names = append(names, f.Name)
			}
		})
		hint = suggest(unknown.GetSpecifiedName(), names, "--") + hint
	}
	return &hintedError{err.Error(), hint}
}

// suggest is a sentence that names the candidate nearest to a misspelt name, or "".
func suggest(name string, candidates []string, prefix string) string {
	best, bestDistance := "", 1+max(1, min(3, len(name)/2))
	for _, c := range candidates {
		if d := levenshtein.Distance(strings.ToLower(name), strings.ToLower(c), nil); d < bestDistance {
			best, bestDistance = c, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf("Did you mean %q? ", prefix+best)
}
