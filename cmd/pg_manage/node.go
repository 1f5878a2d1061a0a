package main

import (
	"fmt"
	"io"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"pg_manage/executor/event"
	"pg_manage/executor/node"
)

// nodeCommand is what runs on the nodes for the operator's side.
func (a *app) nodeCommand() *cobra.Command {
	var request string
	cmd := &cobra.Command{
		Use:    "node COMMAND",
		Short:  "What the operator's side has done on a node",
		Hidden: true,
		Long: `Takes, restores, verifies and lists base backups on a node. The operator's side calls it
over SSH; people use backup, backups, restore and verify. The request is one JSON object
from --request or standard input, the result one on standard output, and the progress one
a line on standard error. SIGTERM ends the work cleanly: a backup that is not finished is
taken away, and a restore leaves a directory that cannot be started.

Commands: ` + strings.Join(node.Commands(), ", ") + `.

` + exitHelp,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return &hintedError{"node takes one command", "There are " + strings.Join(node.Commands(), ", ") + "."}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			signal.Ignore(syscall.SIGPIPE) // that nobody listens any more is no reason to leave things half done
			var in io.Reader = strings.NewReader(request)
			if !cmd.Flags().Changed("request") {
				in = a.stdin
			}
			events := event.NewLineWriter(a.stderr)
			err := node.Run(cmd.Context(), node.Work{Command: args[0], Request: in, Result: a.stdout, Events: events, ToolVersion: toolVersion()})
			events.Flush()
			if err == nil {
				return nil
			}
			// Plain text: the operator's side shows it in a frame of its own.
			fmt.Fprintln(a.stderr, err)
			if cmd.Context().Err() != nil {
				return &exitStatus{code: exitInterrupted}
			}
			return &exitStatus{code: exitError}
		},
	}
	cmd.Flags().StringVar(&request, "request", "", "the request, as `JSON`; else it is read from standard input")
	return cmd
}
