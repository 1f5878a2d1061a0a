package call

import (
	"bytes"
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

func TestArguments(t *testing.T) {
	for _, c := range []struct {
		args            string
		config, command string
	}{
		{"--config f archive p", "f", "archive"},
		{"-config f archive p", "f", "archive"},
		{"--config=f archive p", "f", "archive"},
		{"-config=f restore a b", "f", "restore"},
		{"archive --config f p", "f", "archive"},
		{"restore a b --config f", "f", "restore"},
		{"restore --wait 5 --config=f a b", "f", "restore"},
		{"--config f --config g archive p", "g", "archive"},
		{"--config restore archive p", "restore", "archive"},
		{"restore a b", "", "restore"},
		{"restore a b --config", "", "restore"},
		{"--config= restore a b", "", "restore"},
		{"archive p", "", "archive"},
		{"--confg f restore a b", "", "restore"},
		{"--log restore a b", "", "restore"},
		{"-- restore a b", "", "restore"},
		{"---config f restore a b", "", "restore"},
		{"--config f --unknown restore a b", "", "restore"},
		{"--confg f archive p", "", ""},
		{"--config f", "f", ""},
		{"--config", "", ""},
		{"", "", ""},
		{"--config restore", "restore", ""},
		{"--config f status", "f", "status"},
		{"--config f nonsense restore", "f", "nonsense"},
	} {
		if config, command := parse(strings.Fields(c.args)); config != c.config || command != c.command {
			t.Errorf("%q: configuration %q, command %q", c.args, config, command)
		}
	}
	for args, want := range map[string]string{
		"--config f archive p": "archive p", "archive p --config=f": "archive p", "-config f --wait 5": "--wait 5", "--config": "--config",
	} {
		if got := strings.Join(without(strings.Fields(args)), " "); got != want {
			t.Errorf("%q: %q is left", args, got)
		}
	}
	for args, want := range map[string]string{
		"--config f archiver": "--config f", "archiver --config f --idle 1s": "--config f --idle 1s",
		"archive archiver": "-", "--config archiver": "-", "": "-",
	} {
		rest, ok := Command(strings.Fields(args), "archiver")
		if got := strings.Join(rest, " "); ok != (want != "-") || ok && got != want {
			t.Errorf("%q: %v, %q", args, ok, got)
		}
	}
}

func FuzzArguments(f *testing.F) {
	f.Add("--config\nf\nrestore\na\nb")
	f.Add("-config=\n--\n-")
	f.Fuzz(func(t *testing.T, text string) {
		args := strings.Split(text, "\n")
		config, command := parse(args)
		if command == "restore" && !slices.Contains(args, "restore") || config != "" && !strings.Contains(text, config) {
			t.Fatalf("%q: %q, %q", args, config, command)
		}
		rest := without(args)
		if again := without(rest); len(rest) > 0 && len(again) > len(rest) {
			t.Fatalf("%q: %q", args, again)
		}
		request(rest, command)
		Command(args, "archiver")
	})
}

// place is a directory that stands for a data directory, in which the test runs, and
// the configuration beside it.
func place(t *testing.T) (config string) {
	t.Helper()
	root := t.TempDir()
	if err := os.MkdirAll(root+"/data/pg_wal", 0o700); err != nil {
		t.Fatal(err)
	}
	t.Chdir(root + "/data")
	return root + "/hook.json"
}

// fake is an archiver that the test writes. serve gets each connection, and holds the lock.
func fake(t *testing.T, config string, serve func(c net.Conn)) (held *sync.Mutex) {
	t.Helper()
	t.Chdir(filepath.Dir(config)) // a short name for the socket
	l, err := net.Listen("unix", filepath.Base(SocketName(config)))
	t.Chdir("data")
	if err != nil {
		t.Fatal(err)
	}
	held = &sync.Mutex{}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			held.Lock()
			serve(c)
			held.Unlock()
			c.Close() //nolint:errcheck // a test's socket
		}
	})
	t.Cleanup(func() {
		l.Close() //nolint:errcheck // a test's socket
		all.Wait()
	})
	return held
}

func asked(c net.Conn) Request {
	_, payload, err := ReadFrame(c)
	if err != nil {
		return Request{}
	}
	q, err := DecodeRequest(payload)
	if err != nil {
		return Request{}
	}
	return q
}

// run makes a call whose full program cannot be run, or does what alone does.
func run(config string, alone func() int, args ...string) int {
	return Run(Options{Args: append([]string{"--config", config}, args...), Full: []string{"/nonexistent/pg_manage", "hook"}, Alone: alone})
}

// TestWhateverBreaksIsNoAnswer: neither "archived" nor "the archive ends here" may come
// of an archiver that fails, and the work is then done alone.
func TestWhateverBreaksIsNoAnswer(t *testing.T) {
	exit := func(c net.Conn, payload ...byte) { WriteFrame(c, FrameExit, payload) } //nolint:errcheck // it may be gone
	for what, serve := range map[string]func(c net.Conn){
		"ends at once":         func(net.Conn) {},
		"ends after asking":    func(c net.Conn) { asked(c) },
		"ends within a frame":  func(c net.Conn) { asked(c); c.Write([]byte("x\x00\x00\x00\x01")) },       //nolint:errcheck // a fault
		"ends while working":   func(c net.Conn) { asked(c); WriteFrame(c, FrameWorking, nil) },           //nolint:errcheck // a fault
		"is another":           func(c net.Conn) { asked(c); WriteFrame(c, FrameGone, nil) },              //nolint:errcheck // a fault
		"garbage":              func(c net.Conn) { asked(c); c.Write([]byte("HTTP/1.1 200 OK\r\n\r\n")) }, //nolint:errcheck // a fault
		"zeros":                func(c net.Conn) { asked(c); c.Write(make([]byte, 4096)) },                //nolint:errcheck // a fault
		"huge frame":           func(c net.Conn) { asked(c); c.Write([]byte("o\xff\xff\xff\xffxxxxx")) },  //nolint:errcheck // a fault
		"exit without status":  func(c net.Conn) { asked(c); exit(c) },
		"exit with two":        func(c net.Conn) { asked(c); exit(c, 0, 0) },
		"unknown frame":        func(c net.Conn) { asked(c); WriteFrame(c, 'z', nil); exit(c, 0) },                //nolint:errcheck // a fault
		"a request, no answer": func(c net.Conn) { asked(c); WriteFrame(c, FrameRequest, []byte{0}); exit(c, 0) }, //nolint:errcheck // a fault
	} {
		t.Run(what, func(t *testing.T) {
			config := place(t)
			fake(t, config, serve)
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
	config := place(t)
	var status byte
	var q Request
	held := fake(t, config, func(c net.Conn) {
		q = asked(c)
		WriteFrame(c, FrameWorking, nil)         //nolint:errcheck // seen below
		WriteFrame(c, FrameExit, []byte{status}) //nolint:errcheck // seen below
	})
	never := func() int { t.Error("it was done alone"); return 99 }
	for _, want := range []byte{0, 1, 2, 3, 200, 255} {
		held.Lock()
		status = want
		held.Unlock()
		if got := run(config, never, "archive", "pg_wal/x"); got != int(want) {
			t.Errorf("%d became %d", want, got)
		}
	}
	held.Lock()
	defer held.Unlock()
	data, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	if q.Version != Version || q.Dir != data || q.Config != config || strings.Join(q.Args, " ") != "archive pg_wal/x" {
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
	config := place(t)
	const dest = "pg_wal/RECOVERYXLOG"
	var paths []string
	answer := false
	held := fake(t, config, func(c net.Conn) {
		q := asked(c)
		paths = append(paths, q.Args[len(q.Args)-1])
		if answer {
			if err := os.WriteFile(paths[len(paths)-1], []byte("from the archiver"), 0o600); err != nil {
				t.Error(err)
			}
			WriteFrame(c, FrameExit, []byte{0}) //nolint:errcheck // seen below
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

// TestAnArchiverThatSaysNothingIsGivenUp: after a time that the test makes short.
func TestAnArchiverThatSaysNothingIsGivenUp(t *testing.T) {
	for _, said := range []string{"", "w", "w\x00\x00\x00\x00", "x\x00\x00\x00\x01"} {
		pair, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		c, far := &conn{pair[0]}, &conn{pair[1]}
		if err := c.timeout(20 * time.Millisecond); err != nil {
			t.Fatal(err)
		}
		if _, err := far.Write([]byte(said)); err != nil {
			t.Fatal(err)
		}
		if status, ok := c.exchange(Request{Args: []string{"archive"}}, &bytes.Buffer{}, &bytes.Buffer{}); ok {
			t.Errorf("after %q: status %d", said, status)
		}
		c.close()
		far.close()
	}
}
