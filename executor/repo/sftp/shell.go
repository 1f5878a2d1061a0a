package sftp

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
)

// loop runs on the server as long as its input lasts and fsyncs a directory per line.
// sync(1) of GNU coreutils does that since 8.24 (2015); older ones, and busybox, write
// out everything, which takes longer and is as safe. Answers begin with a token, since a
// login may print things of its own.
const loop = `echo "$1 ready"
while IFS= read -r dir; do
  if said=$(sync -- "$dir" 2>&1); then echo "$1 done"
  else echo "$1 failed" $said; fi
done`

// shell is a long-lived command on the server that fsyncs directories where SFTP can't. One command per
// directory would take a new session each time, which costs two round trips and more.
type shell struct {
	run    func(ctx context.Context, args []string, stdin io.Reader, stdout io.Writer) error
	ctx    context.Context
	cancel context.CancelFunc

	mu    sync.Mutex
	talk  *talk // nil: not started
	works bool  // it has answered once
	none  bool  // the login runs no commands
}

func newShell(run func(ctx context.Context, args []string, stdin io.Reader, stdout io.Writer) error) *shell {
	sh := &shell{run: run}
	sh.ctx, sh.cancel = context.WithCancel(context.Background())
	return sh
}

func (sh *shell) close() { sh.cancel() }

// settled says whether it is known if the login runs commands.
func (sh *shell) settled() bool {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	return sh.works || sh.none
}

// sync fsyncs a directory; nil when the login runs no commands.
func (sh *shell) sync(dir string) error {
	if strings.ContainsAny(dir, "\n\x00") {
		return fmt.Errorf("%q: a directory with a line break in its name cannot be fsynced", dir)
	}
	for range 2 { // again when somebody ended the shell and the connection stands
		t := sh.current()
		if t == nil {
			return nil
		}
		err := t.sync(dir)
		if err == nil || t.alive() {
			return err
		}
		sh.mu.Lock()
		if sh.talk == t {
			sh.talk = nil
		}
		noShell := errors.Is(err, ErrNoShell)
		sh.none = sh.none || noShell && !sh.works
		none := sh.none
		sh.mu.Unlock()
		if none {
			return nil
		}
		if !noShell {
			return err
		}
	}
	return errors.New("fsync of " + dir + ": the login's shell ends before it has answered")
}

// current gives the running loop, started where there is none; nil when the login runs no commands.
func (sh *shell) current() *talk {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if sh.none {
		return nil
	}
	if sh.talk == nil {
		sh.talk = sh.start()
	}
	return sh.talk
}

func (sh *shell) start() *talk {
	inR, inW := io.Pipe()
	outR, outW := io.Pipe()
	t := &talk{token: rand.Text(), in: inW}
	ended := make(chan error, 1)
	go func() {
		err := sh.run(sh.ctx, []string{"sh", "-c", loop, "sh", t.token}, inR, outW)
		if err == nil {
			err = ErrNoShell
		}
		ended <- err
		inR.CloseWithError(err)
		outW.CloseWithError(err)
	}()
	go func() {
		t.listen(bufio.NewReader(outR), func() {
			sh.mu.Lock()
			defer sh.mu.Unlock()
			sh.works = true
		})
		outR.Close() //nolint:errcheck // never fails
		t.finish(<-ended)
	}()
	return t
}

// talk is one run of the loop. Questions are sent without waiting for the answers to
// those before; the answers come in the same order.
type talk struct {
	token string

	ask sync.Mutex // held while a question is sent
	in  *io.PipeWriter

	mu      sync.Mutex
	waiting []chan error
	ended   error // how the loop ended
}

func (t *talk) alive() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.ended == nil
}

// sync gives the server's answer, or how the loop ended when it did before.
func (t *talk) sync(dir string) error {
	answer := make(chan error, 1)
	t.ask.Lock()
	t.mu.Lock()
	ended := t.ended
	if ended == nil {
		t.waiting = append(t.waiting, answer)
	}
	t.mu.Unlock()
	if ended == nil {
		io.WriteString(t.in, dir+"\n") //nolint:errcheck // when it fails the loop has ended: finish answers
	}
	t.ask.Unlock()
	if ended != nil {
		return ended
	}
	if err := <-answer; err != nil {
		return fmt.Errorf("fsync of %s: %w", dir, err)
	}
	return nil
}

// listen hands out the answers until the loop's output ends.
func (t *talk) listen(out *bufio.Reader, ready func()) {
	for {
		line, err := out.ReadString('\n')
		if err != nil {
			return
		}
		_, answer, ok := strings.Cut(line, t.token+" ")
		if !ok {
			continue
		}
		var result error
		switch verb, text, _ := strings.Cut(strings.TrimSpace(answer), " "); verb {
		case "ready":
			ready()
			continue
		case "done":
		default:
			result = errors.New(text)
		}
		t.mu.Lock()
		if len(t.waiting) > 0 {
			t.waiting[0] <- result
			t.waiting = t.waiting[1:]
		}
		t.mu.Unlock()
	}
}

// finish tells all that wait how the loop ended.
func (t *talk) finish(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ended = fmt.Errorf("the shell that fsyncs directories ended: %w", err)
	for _, w := range t.waiting {
		w <- t.ended
	}
	t.waiting = nil
}
