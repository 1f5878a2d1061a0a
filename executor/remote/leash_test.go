package remote_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"pg_manage/executor/remote"
	"pg_manage/executor/remote/remotetest"
)

// leashed starts a command with a child of its own that writes its process id, and gives it.
func leashed(t *testing.T, h remote.Host, as, script string) (pid int, cancel context.CancelFunc, result chan error) {
	t.Helper()
	dir, err := os.MkdirTemp("", "leash")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "pid")
	ctx, cancel := context.WithCancel(t.Context())
	result = make(chan error, 1)
	go func() {
		_, err := h.Run(ctx, remote.Command{Args: []string{"sh", "-c", fmt.Sprintf(script, file)}, As: as, Leash: true})
		result <- err
	}()
	eventually(t, "the command runs", func() bool { return readPid(file) > 0 })
	return readPid(file), cancel, result
}

const obeying = "sh -c 'echo $$ >%s; exec sleep 300' & wait"

// defiant cannot be ended by SIGTERM.
const defiant = "trap '' TERM; echo $$ >%s; while :; do sleep 1; done"

func TestLeash(t *testing.T) {
	srv := remotetest.StartServer(t)
	open := startSSHD(t)
	hosts := map[string]func(*testing.T) remote.Host{
		"server": func(t *testing.T) remote.Host { return dial(t, srv.Options("n")) },
		"sshd":   func(t *testing.T) remote.Host { return dial(t, open.options()) },
		"local":  func(*testing.T) remote.Host { return remote.NewLocal("") },
	}
	for name, host := range hosts {
		for _, as := range []string{"", "postgres"} {
			if name == "server" && as != "" {
				as = "root" // sudo, since the server's user is called tester
			}
			t.Run(name+"/"+as, func(t *testing.T) {
				h := host(t)
				for _, status := range []int{0, 3} {
					res, err := h.Run(t.Context(), remote.Command{Args: []string{"sh", "-c", fmt.Sprintf("cat; echo out; exit %d", status)}, As: as, Leash: true})
					var ce *remote.CommandError
					if string(res.Stdout) != "out\n" || (status == 0) != (err == nil) || status != 0 && (!errors.As(err, &ce) || ce.Status != status) {
						t.Fatalf("%d: %q %v", status, res.Stdout, err)
					}
				}
				pid, cancel, result := leashed(t, h, as, obeying)
				cancel()
				if err := <-result; !errors.Is(err, context.Canceled) {
					t.Fatal(err)
				}
				eventually(t, "the command's child is gone after cancel", func() bool { return gone(pid) })

				pid, cancel, result = leashed(t, h, as, obeying)
				defer cancel()
				h.Close()
				if err := <-result; err == nil {
					t.Fatal("no error")
				}
				eventually(t, "the command's child is gone after the connection", func() bool { return gone(pid) })
			})
		}
	}
}

func TestLeashKillsTheDefiant(t *testing.T) {
	h := dial(t, startSSHD(t).options())
	pid, cancel, result := leashed(t, h, "postgres", defiant)
	start := time.Now()
	cancel()
	if err := <-result; !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if d := time.Since(start); d < 9*time.Second {
		t.Fatal("SIGKILL came after", d)
	}
	eventually(t, "the command is gone", func() bool { return gone(pid) })
}

// A cut cable gives the host no end of input: the missing heartbeat must do.
func TestLeashWithoutHeartbeat(t *testing.T) {
	srv := remotetest.StartServer(t)
	o := srv.Options("n")
	var pid int
	var result chan error
	for _, o.Keepalive = range []time.Duration{250 * time.Millisecond, 4 * time.Second} { // a busy machine is late with its heartbeats
		h := dial(t, o)
		var cancel context.CancelFunc
		pid, cancel, result = leashed(t, h, "", obeying)
		defer cancel()
		time.Sleep(6 * o.Keepalive) // longer than the leash, which is four times that: heartbeats hold it
		if !gone(pid) {
			break
		} else if o.Keepalive > time.Second {
			t.Fatal("the command ended though the connection stands")
		}
	}
	srv.Hang(true)
	eventually(t, "the command's child is gone", func() bool { return gone(pid) })
	if err := <-result; err == nil {
		t.Fatal("no error")
	}
}
