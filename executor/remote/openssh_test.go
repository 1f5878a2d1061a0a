package remote_test

import (
	"errors"
	"strings"
	"testing"

	"pg_manage/executor/remote"
)

func TestOpenSSH(t *testing.T) {
	s := startSSHD(t)
	h := dial(t, s.options())
	res, err := h.Run(t.Context(), remote.Command{Args: []string{"echo", "hello world"}})
	if err != nil || string(res.Stdout) != "hello world\n" {
		t.Fatalf("%q %v", res.Stdout, err)
	}
	t.Run("files", func(t *testing.T) { fileSuite(t, h, t.TempDir(), "", worstNames()...) })
	_, err = h.Run(t.Context(), remote.Command{Args: []string{"sh", "-c", "echo oops >&2; kill -9 $$"}})
	var ce *remote.CommandError
	if !errors.As(err, &ce) || ce.Signal != "KILL" || ce.Status != -1 || ce.Stderr != "oops\n" {
		t.Fatal(err)
	}
	res, err = h.Run(t.Context(), remote.Command{Args: []string{"sh", "-c", `echo "$(id -un) $HOME $USER $PWD"`}, As: "postgres"})
	if err != nil || string(res.Stdout) != "postgres /var/lib/postgresql postgres /\n" {
		t.Fatalf("%q %v", res.Stdout, err)
	}
}

// More commands at once than MaxSessions allows wait their turn.
func TestOpenSSHManySessions(t *testing.T) {
	h := dial(t, startSSHD(t).options())
	errs := make(chan error, 40)
	for range 40 {
		go func() {
			_, err := h.Run(t.Context(), remote.Command{Args: []string{"sleep", "0.05"}})
			errs <- err
		}()
	}
	for range 40 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}

func TestConnectionTypes(t *testing.T) {
	h := dial(t, remote.Options{Name: "here", Type: "local"})
	if h.Name() != "here (local)" || h.LoginUser() != "root" {
		t.Error(h.Name(), h.LoginUser())
	}
	if _, err := remote.Dial(t.Context(), remote.Options{Host: "h", Type: "telnet"}); err == nil {
		t.Error("telnet is taken")
	}
	var ce *remote.ConnectError
	if _, err := remote.Dial(t.Context(), remote.Options{Host: "127.0.0.1", Port: 1, ConfigFiles: []string{}}); !errors.As(err, &ce) {
		t.Error(err)
	}
}

// The exit status of every way to end is told apart.
func TestEndings(t *testing.T) {
	for _, h := range []remote.Host{dial(t, startSSHD(t).options()), remote.NewLocal("")} {
		for _, c := range []struct {
			script string
			status int
			signal string
		}{
			{"exit 1", 1, ""},
			{"exit 255", 255, ""},
			{"kill -TERM $$", -1, "TERM"},
			{"kill -KILL $$", -1, "KILL"},
		} {
			_, err := h.Run(t.Context(), remote.Command{Args: []string{"sh", "-c", "echo why >&2; " + c.script}})
			var ce *remote.CommandError
			if !errors.As(err, &ce) || ce.Status != c.status || ce.Signal != c.signal || ce.Stderr != "why\n" {
				t.Errorf("%s: %s: %v", h.Name(), c.script, err)
			}
		}
		_, err := h.Run(t.Context(), remote.Command{Args: []string{"no such program"}})
		var ce *remote.CommandError
		if !errors.As(err, &ce) || ce.Status != 127 {
			t.Errorf("%s: %v", h.Name(), err)
		}
		// A reader that stops early is no error.
		in := strings.NewReader(strings.Repeat("x", 10<<20))
		if res, err := h.Run(t.Context(), remote.Command{Args: []string{"head", "-c", "3"}, Stdin: in}); err != nil || string(res.Stdout) != "xxx" {
			t.Errorf("%s: %q %v", h.Name(), res.Stdout, err)
		}
	}
}
