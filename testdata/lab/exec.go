package lab

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// Command prepares a command in the node, as root, not over ssh, with a clean environment.
func (n *Node) Command(args ...string) *exec.Cmd {
	pid, _ := n.process()
	cmd := exec.Command("nsenter", append([]string{
		"-t", fmt.Sprint(pid), "-m", "-u", "-i", "-n", "-p", "-r", "-w", "--",
	}, args...)...)
	cmd.Env = []string{
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "USER=root", "LANG=C.UTF-8",
	}
	return cmd
}

// Exec runs a command in the node as root and returns its standard output. The error has the command, the exit status and
// standard error. Daemons that it leaves behind do not hold it up.
func (n *Node) Exec(args ...string) (string, error) { return n.ExecInput("", args...) }

// ExecInput is Exec with standard input.
func (n *Node) ExecInput(stdin string, args ...string) (string, error) {
	if pid, _ := n.process(); pid == 0 {
		return "", fmt.Errorf("lab: %s is powered off", n.Name)
	}
	cmd := n.Command(args...)
	cmd.Stdin = strings.NewReader(stdin)
	out, stderr, err := capture(cmd)
	if err != nil {
		return out, fmt.Errorf("lab: on %s: %s: %w: %s", n.Name, strings.Join(args, " "), err, strings.TrimSpace(stderr))
	}
	return out, nil
}

// Run is Exec for a test that cannot go on without it. Trailing newlines are cut.
func (n *Node) Run(t testing.TB, args ...string) string {
	t.Helper()
	out, err := n.Exec(args...)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimRight(out, "\n")
}

// Shell runs a POSIX shell script in the node as one of its users, through a login as su(1) makes it.
func (n *Node) Shell(t testing.TB, user, script string) string {
	t.Helper()
	return n.Run(t, "runuser", "-u", user, "--", "sh", "-euc", script)
}

// capture collects both streams in files: a pipe would stay open as long as a daemon that inherited it.
func capture(cmd *exec.Cmd) (stdout, stderr string, err error) {
	files := make([]*os.File, 2)
	for i := range files {
		f, err := os.CreateTemp("", "lab-exec-")
		if err != nil {
			return "", "", fmt.Errorf("lab: %w", err)
		}
		defer func() { _ = f.Close() }()
		if err := os.Remove(f.Name()); err != nil {
			return "", "", fmt.Errorf("lab: %w", err)
		}
		files[i] = f
	}
	cmd.Stdout, cmd.Stderr = files[0], files[1]
	err = cmd.Run()
	texts := make([]string, 2)
	for i, f := range files {
		if _, serr := f.Seek(0, io.SeekStart); serr != nil {
			return "", "", errors.Join(err, serr)
		}
		data, rerr := io.ReadAll(f)
		if rerr != nil {
			return "", "", errors.Join(err, rerr)
		}
		texts[i] = string(data)
	}
	return texts[0], texts[1], err
}
