package patient

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pg_manage/executor/wal/call"
	"pg_manage/executor/wal/call/calltest"
)

// run makes a call: the full program's, which does what alone does without the archiver,
// or where that is nil the small program's, whose full program cannot be run.
func run(config string, alone func() int, args ...string) int {
	args = append([]string{"--config", config}, args...)
	if alone == nil {
		return call.Run(args, "/nonexistent/pg_manage", nil)
	}
	return Run(Options{Args: args, Full: []string{"/nonexistent/pg_manage", "hook"}, Alone: alone})
}

// TestWhateverBreaksIsNoAnswer: neither "archived" nor "the archive ends here" may come
// of an archiver that fails, and the work is then done alone.
func TestWhateverBreaksIsNoAnswer(t *testing.T) {
	exit := func(c net.Conn, payload ...byte) { call.WriteFrame(c, call.FrameExit, payload) } //nolint:errcheck // it may be gone
	for what, serve := range map[string]func(c net.Conn){
		"ends at once":         func(net.Conn) {},
		"ends after asking":    func(c net.Conn) { calltest.Asked(c) },
		"ends within a frame":  func(c net.Conn) { calltest.Asked(c); c.Write([]byte("x\x00\x00\x00\x01")) },       //nolint:errcheck // a fault
		"ends while working":   func(c net.Conn) { calltest.Asked(c); call.WriteFrame(c, call.FrameWorking, nil) }, //nolint:errcheck // a fault
		"is another":           func(c net.Conn) { calltest.Asked(c); call.WriteFrame(c, call.FrameGone, nil) },    //nolint:errcheck // a fault
		"garbage":              func(c net.Conn) { calltest.Asked(c); c.Write([]byte("HTTP/1.1 200 OK\r\n\r\n")) }, //nolint:errcheck // a fault
		"zeros":                func(c net.Conn) { calltest.Asked(c); c.Write(make([]byte, 4096)) },                //nolint:errcheck // a fault
		"huge frame":           func(c net.Conn) { calltest.Asked(c); c.Write([]byte("o\xff\xff\xff\xffxxxxx")) },  //nolint:errcheck // a fault
		"exit without status":  func(c net.Conn) { calltest.Asked(c); exit(c) },
		"exit with two":        func(c net.Conn) { calltest.Asked(c); exit(c, 0, 0) },
		"unknown frame":        func(c net.Conn) { calltest.Asked(c); call.WriteFrame(c, 'z', nil); exit(c, 0) },                     //nolint:errcheck // a fault
		"a request, no answer": func(c net.Conn) { calltest.Asked(c); call.WriteFrame(c, call.FrameRequest, []byte{0}); exit(c, 0) }, //nolint:errcheck // a fault
	} {
		t.Run(what, func(t *testing.T) {
			config := calltest.Place(t)
			calltest.Fake(t, config, serve)
			for _, c := range []struct {
				args []string
				want int
			}{{[]string{"archive", "pg_wal/x"}, 1}, {[]string{"restore", "x", "pg_wal/RECOVERYXLOG"}, 200}} {
				if got := run(config, nil, c.args...); got != c.want {
					t.Errorf("%v without the full program: %d", c.args, got)
				}
				for _, status := range []int{0, 1, 3, 200} {
					if got := run(config, func() int { return status }, c.args...); got != status {
						t.Errorf("%v alone with %d: %d", c.args, status, got)
					}
				}
			}
			if err := os.WriteFile("standby.signal", nil, 0o600); err != nil {
				t.Fatal(err)
			}
			if got := run(config, nil, "restore", "x", "pg_wal/RECOVERYXLOG"); got != 2 {
				t.Errorf("restore in standby mode: %d", got)
			}
		})
	}
}

func TestAnAnswerIsPassedOn(t *testing.T) {
	config := calltest.Place(t)
	var status byte
	var q call.Request
	held := calltest.Fake(t, config, func(c net.Conn) {
		q = calltest.Asked(c)
		call.WriteFrame(c, call.FrameWorking, nil)         //nolint:errcheck // seen below
		call.WriteFrame(c, call.FrameExit, []byte{status}) //nolint:errcheck // seen below
	})
	never := func() int { t.Error("it was done alone"); return 99 }
	for _, want := range []byte{0, 1, 2, 3, 200, 255} {
		held.Lock()
		status = want
		held.Unlock()
		if got := run(config, never, "archive", "pg_wal/x"); got != int(want) {
			t.Errorf("%d became %d", want, got)
		}
		if got := run(config, nil, "archive", "pg_wal/x"); got != int(want) {
			t.Errorf("%d became %d for the small program", want, got)
		}
	}
	held.Lock()
	defer held.Unlock()
	data, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	if q.Version != call.Version || q.Dir != data || q.Config != config || strings.Join(q.Args, " ") != "archive pg_wal/x" {
		t.Errorf("it was asked %q", q)
	}
	// Other commands never go there.
	if got := run(config, func() int { return 42 }, "status"); got != 42 { // while nobody answers
		t.Errorf("status: %d", got)
	}
}

// TestOnlyTheCallerNamesARestoredFile: an archiver that was taken for dead and comes
// back to life must not put its file where PostgreSQL waits for another one by now.
func TestOnlyTheCallerNamesARestoredFile(t *testing.T) {
	config := calltest.Place(t)
	const dest = "pg_wal/RECOVERYXLOG"
	var paths []string
	answer := false
	held := calltest.Fake(t, config, func(c net.Conn) {
		q := calltest.Asked(c)
		paths = append(paths, q.Args[len(q.Args)-1])
		if answer {
			if err := os.WriteFile(paths[len(paths)-1], []byte("from the archiver"), 0o600); err != nil {
				t.Error(err)
			}
			call.WriteFrame(c, call.FrameExit, []byte{0}) //nolint:errcheck // seen below
		}
	})
	alone := func() int {
		if err := os.WriteFile(dest, []byte("done alone"), 0o600); err != nil {
			t.Error(err)
		}
		return 0
	}
	content := func() string {
		b, err := os.ReadFile(dest)
		if err != nil {
			t.Error(err)
		}
		return string(b)
	}
	if got := run(config, alone, "restore", "--wait", "5", "x", dest); got != 0 || content() != "done alone" {
		t.Errorf("status %d, %q", got, content())
	}
	held.Lock()
	for _, late := range paths { // back to life
		if err := os.WriteFile(late, []byte("too late"), 0o600); err != nil {
			t.Fatal(err)
		}
		if filepath.Dir(late) != "pg_wal" || !strings.HasPrefix(filepath.Base(late), "xlogtemp.") {
			t.Errorf("it was asked to write to %s", late)
		}
	}
	if content() != "done alone" {
		t.Errorf("PostgreSQL gets %q", content())
	}
	answer = true
	held.Unlock()
	if got := run(config, func() int { return 99 }, "restore", "x", dest); got != 0 || content() != "from the archiver" {
		t.Errorf("status %d, %q", got, content())
	}
	if err := errors.Join(os.Remove(dest), os.Mkdir(dest, 0o700)); err != nil {
		t.Fatal(err)
	}
	if got := run(config, func() int { return 99 }, "restore", "x", dest); got != 200 {
		t.Errorf("a file that could not get its name: %d", got)
	}
	held.Lock()
	defer held.Unlock()
	for _, temp := range paths[len(paths)-2:] {
		if _, err := os.Stat(temp); !os.IsNotExist(err) {
			t.Errorf("it has the first name too: %v", err)
		}
	}
}

// TestWhoHasWaitedAlreadyIsNotHeldAgain: the small program says that the archiver hangs.
func TestWhoHasWaitedAlreadyIsNotHeldAgain(t *testing.T) {
	config := calltest.Place(t)
	calltest.Fake(t, config, func(net.Conn) { t.Error("the archiver was asked") })
	t.Setenv(call.AloneVariable, "1")
	alone := func() int {
		if v, ok := os.LookupEnv(call.AloneVariable); ok {
			t.Errorf("it is told on: %q", v)
		}
		return 42
	}
	if got := run(config, alone, "restore", "x", "pg_wal/y"); got != 42 {
		t.Errorf("got %d", got)
	}
}
