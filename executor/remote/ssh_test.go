package remote_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"pg_manage/executor/remote"
	"pg_manage/executor/remote/remotetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestServerFiles(t *testing.T) {
	srv := remotetest.StartServer(t)
	h := dial(t, srv.Options("n"))
	fileSuite(t, h, t.TempDir(), "", worstNames()...)
}

func TestHostKeys(t *testing.T) {
	srv := remotetest.StartServer(t)
	o := srv.Options("n")
	o.HostKeys = nil
	_, err := remote.Dial(t.Context(), o)
	var hk *remote.HostKeyError
	if !errors.As(err, &hk) || hk.Changed || hk.KeyLine != srv.KnownHostsLine() || !strings.HasPrefix(hk.Fingerprint, "SHA256:") {
		t.Fatalf("unknown key: %v", err)
	}
	o.KnownHostsFiles = []string{srv.KnownHosts(t), "/nonexistent"}
	dial(t, o)
	srv.ChangeHostKey(t)
	_, err = remote.Dial(t.Context(), o)
	if !errors.As(err, &hk) || !hk.Changed || hk.Known != o.KnownHostsFiles[0]+":1" {
		t.Fatalf("changed key: %v", err)
	}
	o.KnownHostsFiles[0] = filepath.Join(t.TempDir(), "kh")
	writeFile(t, o.KnownHostsFiles[0], "@revoked * "+srv.HostKey()+"\n"+srv.KnownHostsLine()+"\n")
	o.HostKeys = []string{srv.HostKey()}
	_, err = remote.Dial(t.Context(), o)
	if !errors.As(err, &hk) || !hk.Revoked {
		t.Fatalf("revoked key: %v", err)
	}
}

func TestWrongKey(t *testing.T) {
	srv := remotetest.StartServer(t)
	o := srv.Options("n")
	o.IdentityFile = filepath.Join(t.TempDir(), "id")
	remotetest.NewKey(t, o.IdentityFile)
	o.ConfigFiles = []string{filepath.Join(t.TempDir(), "config")}
	writeFile(t, o.ConfigFiles[0], "IdentityFile none\n")
	_, err := remote.Dial(t.Context(), o)
	var ae *remote.AuthError
	if !errors.As(err, &ae) || len(ae.Tried) != 1 || ae.Tried[0] != o.IdentityFile {
		t.Fatal(err)
	}
	os.Chmod(o.IdentityFile, 0o644)
	if _, err = remote.Dial(t.Context(), o); !errors.As(err, &ae) || !strings.Contains(err.Error(), "chmod 600") {
		t.Fatal(err)
	}
}

func TestHungServer(t *testing.T) {
	srv := remotetest.StartServer(t)
	srv.Hang(true)
	o := srv.Options("n")
	o.Timeout = 300 * time.Millisecond
	start := time.Now()
	_, err := remote.Dial(t.Context(), o)
	var ce *remote.ConnectError
	if !errors.As(err, &ce) || !strings.Contains(err.Error(), "timed out after 300ms waiting for the SSH server") {
		t.Fatal(err)
	}
	if d := time.Since(start); d > time.Minute {
		t.Fatalf("took %s", d)
	}
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	o.Timeout = time.Minute
	if _, err = remote.Dial(ctx, o); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
}

func TestKeepaliveNoticesSilence(t *testing.T) {
	srv := remotetest.StartServer(t)
	o := srv.Options("n")
	// An idle but healthy connection lives. The server is in this process, so that it is
	// silent too while a busy machine has no time for either.
	var h remote.Host
	for _, o.Keepalive = range []time.Duration{100 * time.Millisecond, 2 * time.Second} {
		h = dial(t, o)
		_, err := h.Run(t.Context(), remote.Command{Args: []string{"sleep", fmt.Sprint((15 * o.Keepalive).Seconds())}})
		if err == nil {
			break
		} else if o.Keepalive > time.Second {
			t.Fatal(err)
		}
	}
	before := srv.Sessions()
	go func() {
		for srv.Sessions() == before {
			time.Sleep(time.Millisecond)
		}
		srv.Hang(true)
	}()
	_, err := h.Run(t.Context(), remote.Command{Args: []string{"sleep", "300"}})
	var lost *remote.LostError
	if !errors.As(err, &lost) || !strings.Contains(err.Error(), "nothing was heard of the host") {
		t.Fatal(err)
	}
	_, err = h.Run(t.Context(), remote.Command{Args: []string{"true"}})
	var ce *remote.ConnectError
	if !errors.As(err, &ce) {
		t.Fatal(err)
	}
}

func TestLostConnection(t *testing.T) {
	srv := remotetest.StartServer(t)
	h := dial(t, srv.Options("n"))
	go func() {
		for srv.Sessions() == 0 {
			time.Sleep(time.Millisecond)
		}
		srv.DropConnections()
	}()
	_, err := h.Run(t.Context(), remote.Command{Args: []string{"sleep", "300"}})
	var lost *remote.LostError
	if !errors.As(err, &lost) || lost.Command != "sleep 300" {
		t.Fatal(err)
	}
}

func TestManySessions(t *testing.T) {
	srv := remotetest.StartServer(t)
	h := dial(t, srv.Options("n"))
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			res, err := h.Run(t.Context(), remote.Command{Args: []string{"sh", "-c", "sleep 0.1; echo " + strconv.Itoa(i)}})
			if err != nil || string(res.Stdout) != strconv.Itoa(i)+"\n" {
				t.Errorf("%d: %q %v", i, res.Stdout, err)
			}
		}()
	}
	wg.Wait()
	if srv.Handshakes() != 1 || srv.Sessions() != 20 || srv.PeakSessions() > 9 {
		t.Fatal(srv.Handshakes(), srv.Sessions(), srv.PeakSessions())
	}
}

func TestCancelFreesTheCaller(t *testing.T) {
	srv := remotetest.StartServer(t)
	h := dial(t, srv.Options("n"))
	pidFile := filepath.Join(t.TempDir(), "pid")
	for _, leash := range []bool{false, true} {
		os.Remove(pidFile)
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			eventually(t, "the command runs", func() bool { return readPid(pidFile) > 0 })
			cancel()
		}()
		start := time.Now()
		_, err := h.Run(ctx, remote.Command{Args: []string{"sh", "-c", "echo $$ >" + pidFile + "; exec sleep 300"}, Leash: leash})
		if !errors.Is(err, context.Canceled) || time.Since(start) > time.Minute {
			t.Fatal(leash, err, time.Since(start))
		}
		eventually(t, "the command is gone", func() bool { return gone(readPid(pidFile)) })
	}
}

// The caller's writer is its own again when Run returns (the race detector sees to it).
func TestNoWriteAfterRun(t *testing.T) {
	srv := remotetest.StartServer(t)
	h := dial(t, srv.Options("n"))
	for range 20 {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		var out bytes.Buffer
		_, err := h.Run(ctx, remote.Command{Args: []string{"yes"}, Stdout: &out})
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
		out.Reset()
	}
	// A writer that blocks or fails does not keep the command.
	_, err := h.Run(t.Context(), remote.Command{Args: []string{"yes"}, Stdout: brokenWriter{}})
	if !errors.Is(err, errBroken) {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	r, w := io.Pipe()
	defer r.Close()
	if _, err := h.Run(ctx, remote.Command{Args: []string{"yes"}, Stdout: w}); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, errBroken }

func readPid(file string) int {
	text, _ := os.ReadFile(file)
	n, _ := strconv.Atoi(strings.TrimSpace(string(text)))
	return n
}

// gone tells that no live process has this id; a zombie is dead.
func gone(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return true
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || strings.Contains(string(stat), ") Z ")
}

func TestBigStreams(t *testing.T) {
	srv := remotetest.StartServer(t)
	for _, h := range []remote.Host{dial(t, srv.Options("n")), remote.NewLocal("")} {
		const size = 100 << 20
		sum := sha256.New()
		r := io.TeeReader(io.LimitReader(rand.Reader, size), sum)
		back := sha256.New()
		if _, err := h.Run(t.Context(), remote.Command{Args: []string{"cat"}, Stdin: r, Stdout: back}); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(sum.Sum(nil), back.Sum(nil)) {
			t.Fatal("came back changed")
		}
	}
}

func TestProxyJump(t *testing.T) {
	bastion, inner, node := remotetest.StartServer(t), remotetest.StartServer(t), remotetest.StartServer(t)
	known := filepath.Join(t.TempDir(), "kh")
	writeFile(t, known, bastion.KnownHostsLine()+"\n"+inner.KnownHostsLine()+"\n"+node.KnownHostsLine()+"\n")
	config := filepath.Join(t.TempDir(), "config")
	host := func(alias string, s *remotetest.Server, extra string) string {
		_, port, _ := net.SplitHostPort(s.Addr)
		return fmt.Sprintf("Host %s\n HostName 127.0.0.1\n Port %s\n IdentityFile %s\n UserKnownHostsFile %s\n GlobalKnownHostsFile none\n User u\n IdentitiesOnly yes\n%s\n",
			alias, port, s.ClientKey, known, extra)
	}
	writeFile(t, config, host("bastion", bastion, "")+host("inner", inner, "")+host("node", node, " ProxyJump bastion,inner")+"Host *\n ProxyJump bastion\n")
	o := remote.Options{Name: "n", Host: "node", ConfigFiles: []string{config}, AgentSocket: "none"}
	h := dial(t, o)
	if res, err := h.Run(t.Context(), remote.Command{Args: []string{"echo", "hi"}}); err != nil || string(res.Stdout) != "hi\n" {
		t.Fatal(err)
	}
	if bastion.Handshakes() != 1 || inner.Handshakes() != 1 || node.Handshakes() != 1 {
		t.Fatal(bastion.Handshakes(), inner.Handshakes(), node.Handshakes())
	}
	// Each hop's key is checked.
	inner.ChangeHostKey(t)
	_, err := remote.Dial(t.Context(), o)
	var hk *remote.HostKeyError
	if !errors.As(err, &hk) || !hk.Changed || !strings.Contains(hk.Host, "inner") {
		t.Fatal(err)
	}
}
