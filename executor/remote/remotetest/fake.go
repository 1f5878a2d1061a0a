package remotetest

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	"pg_manage/executor/remote"
)

// Fake is a scripted host. It fails the test on a command that nobody expects, and at
// the end of the test on an expected command that was not run.
type Fake struct {
	t     testing.TB
	name  string
	login string

	mu     sync.Mutex
	expect []*Expectation
	ran    []remote.Command
	dial   func(network, address string) (net.Conn, error)
	closed bool
}

var _ remote.Host = (*Fake)(nil)

// NewFake is a host without expectations.
func NewFake(t testing.TB, name, loginUser string) *Fake {
	f := &Fake{t: t, name: name, login: loginUser}
	t.Cleanup(func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		for _, e := range f.expect {
			if e.left > 0 {
				t.Errorf("%s: never ran: %s", name, e.title)
			}
		}
	})
	return f
}

// Expectation is a command that is to be run, once unless Times or Anytime says
// otherwise, and what it replies. Of several that fit a command, the first that is
// not used up is taken.
type Expectation struct {
	title   string
	match   func(remote.Command) bool
	left    int // -1: any number, also none
	as      string
	checkAs bool
	reply   func(ctx context.Context, cmd remote.Command, stdin []byte) (stdout string, err error)
	stdin   func(got []byte) error
}

// Expect expects a command of exactly these words.
func (f *Fake) Expect(words ...string) *Expectation {
	return f.ExpectFunc(fmt.Sprintf("%q", words), func(c remote.Command) bool { return slices.Equal(c.Args, words) })
}

// ExpectFunc expects a command that match accepts; title is what messages call it.
func (f *Fake) ExpectFunc(title string, match func(remote.Command) bool) *Expectation {
	e := &Expectation{title: title, match: match, left: 1}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.expect = append(f.expect, e)
	return e
}

// ExpectRead expects remote.ReadFile of this path, whose content Reply gives.
// NotExist makes the file absent.
func (f *Fake) ExpectRead(path string) *Expectation { return f.expectScript("read", path) }

// ExpectRemove expects remote.Remove of this path.
func (f *Fake) ExpectRemove(path string) *Expectation { return f.expectScript("remove", path) }

// ExpectRename expects remote.Rename.
func (f *Fake) ExpectRename(from, to string) *Expectation { return f.expectScript("rename", from, to) }

// ExpectWrite expects remote.WriteFile of this path with this content.
func (f *Fake) ExpectWrite(path, content string) *Expectation {
	return f.expectScript("write", path).Stdin(func(got []byte) error {
		// The first line is the checksum.
		_, text, _ := strings.Cut(string(got), "\n")
		if text != content {
			return fmt.Errorf("wrote %q, want %q", text, content)
		}
		return nil
	})
}

// ExpectUpload expects remote.Upload of this path; check sees the content.
func (f *Fake) ExpectUpload(path string, check func(content []byte) error) *Expectation {
	f.expectScript("publish", path).Anytime() // what is small comes by WriteFile, without it
	e := f.expectScript("write", path)
	return e.Do(func(_ context.Context, c remote.Command, stdin []byte) (string, error) {
		if !bytes.HasPrefix(stdin, []byte{0x1f, 0x8b}) { // gzip, RFC 1952
			_, content, _ := bytes.Cut(stdin, []byte("\n"))
			return "", check(content)
		}
		z, err := gzip.NewReader(bytes.NewReader(stdin))
		if err != nil {
			return "", err
		}
		content, err := io.ReadAll(z)
		if err != nil {
			return "", err
		}
		return fmt.Sprintf("%x  -\n", sha256.Sum256(content)), check(content)
	})
}

func (f *Fake) expectScript(op string, paths ...string) *Expectation {
	return f.ExpectFunc(op+" "+strings.Join(paths, " "), func(c remote.Command) bool {
		return len(c.Args) >= 4+len(paths) && c.Args[1] == "-c" && strings.HasPrefix(c.Args[2], "# "+op+" ") &&
			slices.Equal(c.Args[4:4+len(paths)], paths)
	})
}

// As demands that the command runs as this user.
func (e *Expectation) As(user string) *Expectation { e.as, e.checkAs = user, true; return e }

// Times makes it n runs.
func (e *Expectation) Times(n int) *Expectation { e.left = n; return e }

// Anytime allows any number of runs, also none.
func (e *Expectation) Anytime() *Expectation { e.left = -1; return e }

// Stdin checks the command's input.
func (e *Expectation) Stdin(check func(got []byte) error) *Expectation { e.stdin = check; return e }

// Reply is what the command writes to stdout; it succeeds.
func (e *Expectation) Reply(stdout string) *Expectation {
	return e.Do(func(context.Context, remote.Command, []byte) (string, error) { return stdout, nil })
}

// Fail makes the command end with an exit status and this error output.
func (e *Expectation) Fail(status int, stderr string) *Expectation {
	return e.Do(func(_ context.Context, c remote.Command, _ []byte) (string, error) {
		return "", &remote.CommandError{Command: c.Shown(), Status: status, Stderr: stderr}
	})
}

// NotExist makes a file operation find nothing.
func (e *Expectation) NotExist() *Expectation {
	return e.Fail(1, e.title+": No such file or directory")
}

// Lost makes the connection break under the command.
func (e *Expectation) Lost() *Expectation {
	return e.Do(func(_ context.Context, c remote.Command, _ []byte) (string, error) {
		return "", &remote.LostError{Command: c.Shown(), Err: errors.New("the connection was closed")}
	})
}

// Do computes the reply.
func (e *Expectation) Do(reply func(ctx context.Context, cmd remote.Command, stdin []byte) (stdout string, err error)) *Expectation {
	e.reply = reply
	return e
}

// Name is as given.
func (f *Fake) Name() string { return f.name }

// LoginUser is as given.
func (f *Fake) LoginUser() string { return f.login }

// Ran are the commands so far, in their order, their inputs removed.
func (f *Fake) Ran() []remote.Command {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.ran)
}

// OnDial answers Dial; without it Dial fails the test.
func (f *Fake) OnDial(dial func(network, address string) (net.Conn, error)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.dial = dial
}

// Run replies as expected.
func (f *Fake) Run(ctx context.Context, cmd remote.Command) (remote.Result, error) {
	if err := ctx.Err(); err != nil {
		return remote.Result{}, fmt.Errorf("%s: %s: %w", f.name, cmd.Shown(), err)
	}
	e := f.take(cmd)
	if e == nil {
		f.t.Errorf("%s: unexpected command: %s", f.name, cmd.Shown())
		return remote.Result{}, fmt.Errorf("%s: unexpected command: %s", f.name, cmd.Shown())
	}
	if e.checkAs && e.as != cmd.As {
		f.t.Errorf("%s: %s: runs as %q, want %q", f.name, cmd.Shown(), cmd.As, e.as)
	}
	var stdin []byte
	if cmd.Stdin != nil {
		var err error
		if stdin, err = io.ReadAll(cmd.Stdin); err != nil {
			return remote.Result{}, fmt.Errorf("%s: %s: passing its data on: %w", f.name, cmd.Shown(), err)
		}
	}
	if e.stdin != nil {
		if err := e.stdin(stdin); err != nil {
			f.t.Errorf("%s: %s: %v", f.name, cmd.Shown(), err)
		}
	}
	if e.reply == nil {
		return remote.Result{}, nil
	}
	out, err := e.reply(ctx, cmd, stdin)
	var res remote.Result
	var ce *remote.CommandError
	if errors.As(err, &ce) {
		ce.Host = f.name
		res.Stderr = []byte(ce.Stderr)
	}
	if le := (*remote.LostError)(nil); errors.As(err, &le) {
		le.Host = f.name
	}
	if cmd.Stdout == nil {
		res.Stdout = []byte(out)
		return res, err
	}
	if _, werr := io.Copy(cmd.Stdout, bytes.NewReader([]byte(out))); werr != nil && err == nil {
		err = werr
	}
	return res, err
}

func (f *Fake) take(cmd remote.Command) *Expectation {
	f.mu.Lock()
	defer f.mu.Unlock()
	noted := cmd
	noted.Stdin, noted.Stdout, noted.Stderr = nil, nil, nil
	f.ran = append(f.ran, noted)
	for _, e := range f.expect {
		if e.left != 0 && e.match(cmd) {
			if e.left > 0 {
				e.left--
			}
			return e
		}
	}
	return nil
}

// Dial answers by OnDial.
func (f *Fake) Dial(_ context.Context, network, address string) (net.Conn, error) {
	f.mu.Lock()
	dial := f.dial
	f.mu.Unlock()
	if dial == nil {
		f.t.Errorf("%s: unexpected connection to %s", f.name, address)
		return nil, fmt.Errorf("%s: unexpected connection to %s", f.name, address)
	}
	return dial(network, address)
}

// Close notes that it was called.
func (f *Fake) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	return nil
}

// Closed tells whether Close was called.
func (f *Fake) Closed() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.closed
}
