package acceptance

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pg_manage/testdata/lab"
)

// Exit codes of pg_manage.
const (
	exitOK       = 0
	exitError    = 1
	exitChanges  = 2 // plan --detailed-exitcode: there is something to do
	exitDataLoss = 3 // the same, with steps that lose data
)

// commandLimit is far above what any command of a test takes; one that reaches it hangs.
const commandLimit = 10 * time.Minute

// operator is a person with the program, a folder of cluster files, and a home with ssh keys.
type operator struct {
	t   testing.TB
	lab *lab.Lab
	dir string   // the folder with the cluster files
	env []string // beyond HOME and PATH, "NAME=value"
}

// result is what a command left.
type result struct {
	command        string
	stdout, stderr string
	code           int // -1 when it was killed
	took           time.Duration
}

// newOperator makes an operator with an empty folder.
func newOperator(t testing.TB, l *lab.Lab) *operator {
	t.Helper()
	return &operator{t: t, lab: l, dir: t.TempDir()}
}

// write puts a file into the operator's folder. Each {{node}} in the text becomes the address of the lab's node.
func (o *operator) write(name, text string) {
	o.t.Helper()
	for _, n := range o.lab.Nodes() {
		text = strings.ReplaceAll(text, "{{"+n.Name+"}}", n.IP)
	}
	if err := os.WriteFile(filepath.Join(o.dir, name), []byte(text), 0o644); err != nil {
		o.t.Fatal(err)
	}
}

// command prepares pg_manage in the operator's folder, for a test that kills it or reads while it runs.
func (o *operator) command(args ...string) *exec.Cmd {
	o.t.Helper()
	bin, err := binaries()
	if err != nil {
		o.t.Fatal(err)
	}
	cmd := o.lab.Operator(filepath.Join(bin, "pg_manage"), args...)
	cmd.Dir = o.dir
	cmd.Env = append(cmd.Env, o.env...)
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

// run runs pg_manage to its end, whatever that is.
func (o *operator) run(args ...string) result {
	o.t.Helper()
	return finish(o.t, o.command(args...))
}

// ok runs pg_manage and fails the test unless it exits 0.
func (o *operator) ok(args ...string) result {
	o.t.Helper()
	return o.run(args...).want(o.t, exitOK)
}

// apply applies the folder without asking.
func (o *operator) apply(args ...string) result {
	o.t.Helper()
	return o.ok(append([]string{"apply", "--auto-approve"}, args...)...)
}

// plan plans with an exit code that tells whether there is something to do.
func (o *operator) plan(args ...string) result {
	o.t.Helper()
	return o.run(append([]string{"plan", "--detailed-exitcode"}, args...)...)
}

// settled fails the test unless a plan is empty now.
func (o *operator) settled() {
	o.t.Helper()
	o.plan().want(o.t, exitOK)
}

// converge applies and checks that nothing is left to do.
func (o *operator) converge(args ...string) result {
	o.t.Helper()
	r := o.apply(args...)
	o.settled()
	return r
}

// json runs a command with --json and decodes the one document that it prints.
func (o *operator) json(into any, args ...string) {
	o.t.Helper()
	r := o.ok(append(args, "--json")...)
	if err := json.Unmarshal([]byte(r.stdout), into); err != nil {
		o.t.Fatalf("%s: %v\n%s", r.command, err, r.stdout)
	}
}

// finish runs a command to its end.
func finish(t testing.TB, cmd *exec.Cmd) result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	start := time.Now()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	limit := time.AfterFunc(commandLimit, func() { _ = cmd.Process.Kill() })
	err := cmd.Wait()
	r := result{
		command: strings.Join(cmd.Args, " "),
		stdout:  stdout.String(),
		stderr:  stderr.String(),
		code:    cmd.ProcessState.ExitCode(),
		took:    time.Since(start),
	}
	if !limit.Stop() {
		t.Fatalf("%s hangs: killed after %s\nstdout:\n%s\nstderr:\n%s", r.command, commandLimit, r.stdout, r.stderr)
	}
	if _, exited := errors.AsType[*exec.ExitError](err); err != nil && !exited {
		t.Fatalf("%s: %v", r.command, err)
	}
	return r
}

// want fails the test unless the command ended with the exit code.
func (r result) want(t testing.TB, code int) result {
	t.Helper()
	if r.code != code {
		t.Fatalf("%s: exit code %d, want %d\nstdout:\n%s\nstderr:\n%s", r.command, r.code, code, r.stdout, r.stderr)
	}
	return r
}

// says fails the test unless the command's output has every text.
func (r result) says(t testing.TB, texts ...string) result {
	t.Helper()
	for _, text := range texts {
		if !strings.Contains(r.stdout+r.stderr, text) {
			t.Errorf("%s: output lacks %q\nstdout:\n%s\nstderr:\n%s", r.command, text, r.stdout, r.stderr)
		}
	}
	return r
}

// silentOn fails the test when the command's output has one of the texts, which a secret must never be.
func (r result) silentOn(t testing.TB, secrets ...string) result {
	t.Helper()
	for _, secret := range secrets {
		if strings.Contains(r.stdout+r.stderr, secret) {
			t.Errorf("%s: output reveals %q\nstdout:\n%s\nstderr:\n%s", r.command, secret, r.stdout, r.stderr)
		}
	}
	return r
}
