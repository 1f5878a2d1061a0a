package remote_test

import (
	"errors"
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
