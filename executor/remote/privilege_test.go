package remote_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"pg_manage/executor/remote"
	"pg_manage/executor/remote/remotetest"
)

func TestSudo(t *testing.T) {
	// The server's commands run as root, whatever the login is called, so sudo lets them.
	srv := remotetest.StartServer(t)
	h := dial(t, srv.Options("n"))
	res, err := h.Run(t.Context(), remote.Command{Args: []string{"sh", "-c", `echo "$(id -un) $HOME $PWD"; exit 0`}, As: "postgres"})
	if err != nil || string(res.Stdout) != "postgres /var/lib/postgresql /\n" {
		t.Fatalf("%q %v", res.Stdout, err)
	}
	// No terminal of sudo's making stands in the way of the bytes.
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	in := bytes.Repeat(every, 5000)
	res, err = h.Run(t.Context(), remote.Command{Args: []string{"cat"}, As: "postgres", Stdin: bytes.NewReader(in)})
	if err != nil || !bytes.Equal(res.Stdout, in) {
		t.Fatal(len(res.Stdout), err)
	}
	dir := t.TempDir()
	openUp(t, dir)
	file := filepath.Join(dir, "f")
	if err := remote.Upload(t.Context(), h, file, bytes.NewReader(in), remote.FileOptions{Mode: 0o600, As: "postgres"}); err != nil {
		t.Fatal(err)
	}
	if got, err := remote.ReadFile(t.Context(), h, file, "postgres"); err != nil || !bytes.Equal(got, in) {
		t.Fatal(len(got), err)
	}
	_, err = h.Run(t.Context(), remote.Command{Args: []string{"sh", "-c", "echo bad >&2; exit 1"}, As: "postgres"})
	var ce *remote.CommandError
	if !errors.As(err, &ce) || ce.Status != 1 {
		t.Fatal("a command's own failure:", err)
	}
}

func TestSudoRefuses(t *testing.T) {
	srv := remotetest.StartServer(t, remotetest.WithRunAs(65534, 65534), remotetest.WithUser("nobody"))
	h := dial(t, srv.Options("n"))
	_, err := h.Run(t.Context(), remote.Command{Args: []string{"true"}, As: "postgres"})
	var pe *remote.PrivilegeError
	if !errors.As(err, &pe) || pe.From != "nobody" || pe.To != "postgres" || !strings.Contains(pe.Stderr, "password is required") {
		t.Fatal(err)
	}
	if _, err = remote.ReadFile(t.Context(), h, "/etc/hostname", "postgres"); !errors.As(err, &pe) {
		t.Fatal(err)
	}
}

func TestNoSudoThere(t *testing.T) {
	bin := t.TempDir()
	for _, p := range []string{"sh", "true"} {
		path, err := exec.LookPath(p)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(path, filepath.Join(bin, p)); err != nil {
			t.Fatal(err)
		}
	}
	srv := remotetest.StartServer(t, remotetest.WithEnv("PATH="+bin))
	h := dial(t, srv.Options("n"))
	_, err := h.Run(t.Context(), remote.Command{Args: []string{"true"}, As: "postgres"})
	var pe *remote.PrivilegeError
	if !errors.As(err, &pe) {
		t.Fatal(err)
	}
}
