// Command lab runs a lab by hand: real hosts on this machine that stay up until `lab down`.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"pg_manage/testdata/lab"
)

const usage = `Usage: lab COMMAND (as root)

  base SUITE...            build and cache the root of a Debian suite: bullseye bookworm trixie sid
  up NAME [SUITE] [backup] start a node (trixie unless said), or power an old one on again
  list                     the nodes with address, release and state, and the operator's HOME
  exec NAME COMMAND...     run a command in a node as root
  ssh USER NAME [COMMAND]  log in to a node through its sshd
  trust FROM USER TO USER  let a user of one node log in to another
  cut NAME, join NAME      unplug and plug the node's cable
  kill NAME                power the node off
  delay NAME MS            let round trips to the node take longer, 0 ends it
  down                     end all nodes and remove their disks
`

// errUsage says that the arguments name no command.
var errUsage = errors.New("no such command")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := dispatch(ctx, os.Args[1:])
	stop()
	if err == nil {
		return
	}
	code := 1
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		code = exit.ExitCode()
	} else if errors.Is(err, errUsage) {
		fmt.Fprint(os.Stderr, usage)
	} else {
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(code)
}

func dispatch(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return errUsage
	}
	verb, args := args[0], args[1:]
	switch verb {
	case "base":
		for _, suite := range args {
			dir, err := lab.EnsureBase(ctx, suite)
			if err != nil {
				return err
			}
			fmt.Println(dir)
		}
		return nil
	case "up":
		if len(args) == 0 {
			return errUsage
		}
		return up(ctx, args)
	case "carry": // started by Node.Delay
		if len(args) != 1 {
			return errUsage
		}
		d, err := time.ParseDuration(args[0])
		if err != nil {
			return errUsage
		}
		return lab.CarryInherited(d)
	}
	l, err := lab.Open()
	if err != nil {
		return err
	}
	switch {
	case verb == "down":
		return l.Down()
	case verb == "list":
		list(l)
		return nil
	case verb == "ssh" && len(args) >= 2:
		return attach(l.SSH(args[0], args[1], args[2:]...))
	case verb == "trust" && len(args) == 4:
		return l.Trust(args[0], args[1], args[2], args[3])
	case len(args) == 0:
		return errUsage
	}
	n, err := find(l, args[0])
	if err != nil {
		return err
	}
	switch {
	case verb == "exec" && len(args) > 1:
		return attach(n.Command(args[1:]...))
	case verb == "cut":
		return n.Cut()
	case verb == "join":
		return n.Join()
	case verb == "kill":
		return n.PowerOff()
	case verb == "delay" && len(args) == 2:
		ms, err := strconv.Atoi(args[1])
		if err != nil {
			return fmt.Errorf("delay in milliseconds: %w", err)
		}
		return n.Delay(ms)
	}
	return errUsage
}

func up(ctx context.Context, args []string) error {
	spec := lab.NodeSpec{Name: args[0]}
	for _, a := range args[1:] {
		if a == "backup" {
			spec.Backup = true
		} else {
			spec.Suite = a
		}
	}
	l, err := lab.Up()
	if err != nil {
		return err
	}
	if n, err := find(l, spec.Name); err == nil {
		if err := n.PowerOn(); err != nil {
			return err
		}
	} else if err := l.Add(ctx, spec); err != nil {
		return err
	}
	list(l)
	return nil
}

func find(l *lab.Lab, name string) (*lab.Node, error) {
	for _, n := range l.Nodes() {
		if n.Name == name {
			return n, nil
		}
	}
	return nil, fmt.Errorf("lab: no node named %q", name)
}

func list(l *lab.Lab) {
	for _, n := range l.Nodes() {
		state := "off"
		if n.Running() {
			state = "up"
		}
		fmt.Printf("%s\t%s\t%s\tPostgreSQL %d\t%s\n", n.Name, n.IP, n.Suite, n.Postgres, state)
	}
	fmt.Printf("HOME=%s\n", l.Home)
}

func attach(cmd *exec.Cmd) error {
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	return cmd.Run()
}
