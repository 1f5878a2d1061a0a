package call

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// TestAnArchiverThatSaysNothingIsGivenUp: after a time that the test makes short.
func TestAnArchiverThatSaysNothingIsGivenUp(t *testing.T) {
	for _, said := range []string{"", "w", "w\x00\x00\x00\x00", "x\x00\x00\x00\x01"} {
		pair, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		c, far := &conn{pair[0]}, &conn{pair[1]}
		if err := c.timeout(syscall.Timeval{Usec: 20_000}); err != nil {
			t.Fatal(err)
		}
		if _, err := far.Write([]byte(said)); err != nil {
			t.Fatal(err)
		}
		if status, err := c.exchange(Request{Args: []string{"archive"}}, &bytes.Buffer{}, &bytes.Buffer{}); !errors.Is(err, ErrHung) {
			t.Errorf("after %q: status %d, %v", said, status, err)
		}
		c.close()
		far.close()
	}
}

func TestWhatTheFullProgramIsTold(t *testing.T) {
	t.Chdir(t.TempDir())
	given := []string{"A=1", AloneVariable + "=1", "GOTRACEBACK=none", "Z"}
	for _, c := range []struct {
		command string
		hung    bool
		want    string
	}{
		{"archive", false, "A=1 GOTRACEBACK=none Z"},
		{"archive", true, AloneVariable + "=1 A=1 GOTRACEBACK=none Z"},
		{"restore", false, "GOTRACEBACK=crash A=1 GOTRACEBACK=none Z"},
		{"restore", true, "GOTRACEBACK=crash " + AloneVariable + "=1 A=1 GOTRACEBACK=none Z"},
		{"", false, "A=1 GOTRACEBACK=none Z"},
	} {
		if got := strings.Join(environment(given, c.command, c.hung), " "); got != c.want {
			t.Errorf("%s, %v: %s", c.command, c.hung, got)
		}
	}
	if err := os.WriteFile("standby.signal", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := environment(given, "restore", false); slices.Contains(got, "GOTRACEBACK=crash") {
		t.Errorf("in standby mode: %q", got)
	}
}

// TestWhatFailsIsNoAnswer: the archive's end is 1 to 125 to a restore.
func TestWhatFailsIsNoAnswer(t *testing.T) {
	t.Chdir(t.TempDir())
	for command, want := range map[string]int{"archive": 1, "restore": 200, "": 127, "restor": 127, "status": 127} {
		if got := Failure(command); got != want {
			t.Errorf("%q: %d", command, got)
		}
	}
}

// signalled is the variable that makes this test's program the one that gets signals.
const signalled = "CALL_TEST_SIGNALLED"

// TestASignalEndsTheProgramAsTheKernelDoesIt, and never with a status.
func TestASignalEndsTheProgramAsTheKernelDoesIt(t *testing.T) {
	if name := os.Getenv(signalled); name != "" {
		n, err := strconv.Atoi(name)
		if err != nil {
			t.Fatal(err)
		}
		signals()
		if err := syscall.Kill(syscall.Getpid(), syscall.Signal(n)); err != nil {
			t.Fatal(err)
		}
		if syscall.Signal(n) == syscall.SIGHUP {
			return // it is ignored
		}
		select {}
	}
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGABRT, syscall.SIGHUP} {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$")
		cmd.Env = append(os.Environ(), signalled+"="+strconv.Itoa(int(sig)))
		err := cmd.Run()
		var exit *exec.ExitError
		switch {
		case sig == syscall.SIGHUP:
			if err != nil {
				t.Errorf("%v: %v", sig, err)
			}
		case !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != sig:
			t.Errorf("%v: %v", sig, err)
		}
	}
}
