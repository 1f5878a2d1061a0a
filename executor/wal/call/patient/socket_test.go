package patient

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"pg_manage/executor/wal/call"
	"pg_manage/executor/wal/call/calltest"
)

func TestWhatLiesInThePlaceOfTheSocket(t *testing.T) {
	for what, make := range map[string]func(name string) error{
		"nothing":     func(string) error { return nil },
		"a file":      func(name string) error { return os.WriteFile(name, []byte("x"), 0o600) },
		"a directory": func(name string) error { return os.Mkdir(name, 0o700) },
		"a dead link": func(name string) error { return os.Symlink("/nonexistent/x", name) },
		"a loop":      func(name string) error { return os.Symlink(name, name) },
		"a pipe":      func(name string) error { return syscall.Mkfifo(name, 0o600) },
		"a dead socket": func(name string) error {
			fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
			if err != nil {
				return err
			}
			defer syscall.Close(fd) //nolint:errcheck // a test's socket
			return syscall.Bind(fd, &syscall.SockaddrUnix{Name: "../" + filepath.Base(name)})
		},
	} {
		config := calltest.Place(t)
		if err := make(call.SocketName(config)); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if got := run(config, func() int { return 42 }, "archive", "pg_wal/x"); got != 42 {
			t.Errorf("%s: %d", what, got)
		}
		if got := run(config, nil, "restore", "x", "pg_wal/y"); got != 200 {
			t.Errorf("%s: restore: %d", what, got)
		}
		if out, ok := call.Query(config, "status"); ok {
			t.Errorf("%s: it answers %q", what, out)
		}
	}
}

// TestAPathLongerThanASocketsAddress.
func TestAPathLongerThanASocketsAddress(t *testing.T) {
	root := filepath.Join(t.TempDir(), strings.Repeat("long 'name' ", 15), strings.Repeat("x", 200))
	if err := os.MkdirAll(root+"/data/pg_wal", 0o700); err != nil {
		t.Fatal(err)
	}
	t.Chdir(root + "/data")
	config := root + "/hook.json"
	calltest.Fake(t, config, func(c net.Conn) {
		calltest.Asked(c)
		call.WriteFrame(c, call.FrameExit, []byte{7}) //nolint:errcheck // seen below
	})
	if got := run(config, func() int { return 42 }, "archive", "pg_wal/x"); got != 7 {
		t.Errorf("got %d", got)
	}
}

// TestAnArchiverOfAnotherUserIsNotBelieved. Only root can make one.
func TestAnArchiverOfAnotherUserIsNotBelieved(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("being another user needs root")
	}
	config := calltest.Place(t)
	const nobody = 65534
	listening := make(chan net.Listener)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
		if err == nil {
			err = syscall.Bind(fd, &syscall.SockaddrUnix{Name: "../hook.json.sock"})
		}
		if err != nil {
			t.Error(err)
		}
		if _, _, errno := syscall.RawSyscall(syscall.SYS_SETRESUID, nobody, nobody, nobody); errno != 0 {
			t.Error(errno)
		}
		if err := syscall.Listen(fd, 8); err != nil {
			t.Error(err)
		}
		f := os.NewFile(uintptr(fd), "socket")
		l, err := net.FileListener(f)
		if err := errors.Join(err, f.Close()); err != nil {
			t.Error(err)
		}
		listening <- l
	}()
	l := <-listening
	defer l.Close() //nolint:errcheck // a test's socket
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			call.WriteFrame(c, call.FrameExit, []byte{0}) //nolint:errcheck // nobody reads it
			c.Close()                                     //nolint:errcheck // a test's socket
		}
	}()
	if got := run(config, func() int { return 42 }, "archive", "pg_wal/x"); got != 42 {
		t.Errorf("got %d", got)
	}
}

// TestNothingIsLeftToAPostgreSQLThatAdoptsIt: in a container it may be the first process.
func TestNothingIsLeftToAPostgreSQLThatAdoptsIt(t *testing.T) {
	for pid, want := range map[string]bool{"1\n/data\n": false, "17\n/data\n": true, "4711\n": true, "": true} {
		config := calltest.Place(t)
		started := filepath.Dir(config) + "/started"
		program := filepath.Dir(config) + "/pg_manage"
		if err := os.WriteFile(program, []byte("#!/bin/sh\n: > '"+started+"'\n"), 0o700); err != nil {
			t.Fatal(err)
		}
		if pid != "" {
			if err := os.WriteFile("postmaster.pid", []byte(pid), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		o := Options{Args: []string{"--config", config, "archive", "pg_wal/x"}, Full: []string{program}, Alone: func() int { return 42 }}
		if got := Run(o); got != 42 {
			t.Errorf("%q: %d", pid, got)
		}
		if err := start(o.Full, config); (err == nil) != want {
			t.Errorf("%q: starting it: %v", pid, err)
		}
		for end := time.Now().Add(time.Minute); want; time.Sleep(time.Millisecond) {
			if _, err := os.Stat(started); err == nil {
				break
			} else if time.Now().After(end) {
				t.Fatalf("%q: started: %v", pid, err)
			}
		}
		if _, err := os.Stat(started); err == nil && !want {
			t.Errorf("%q: it was started", pid)
		}
	}
}
