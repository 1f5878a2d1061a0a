package remote_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"pg_manage/executor/remote"
	"pg_manage/executor/remote/remotetest"
)

func echoSocket(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "sock")
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Add(1)
	go func() {
		defer wg.Done()
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Add(1)
			go func() {
				defer wg.Done()
				defer c.Close()
				io.Copy(c, c)
			}()
		}
	}()
	t.Cleanup(func() { l.Close(); wg.Wait(); os.RemoveAll(dir) })
	return filepath.Join(dir, "s")
}

func TestDialSocket(t *testing.T) {
	path := echoSocket(t)
	for name, h := range map[string]remote.Host{
		"server": dial(t, remotetest.StartServer(t).Options("n")),
		"sshd":   dial(t, startSSHD(t).options()),
		"local":  remote.NewLocal(""),
	} {
		t.Run(name, func(t *testing.T) {
			c, err := h.Dial(t.Context(), "unix", path)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			buf := make([]byte, 5)
			if _, err := io.WriteString(c, "hello"); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(c, buf); err != nil || string(buf) != "hello" {
				t.Fatalf("%q %v", buf, err)
			}
			// A deadline ends a read, and the connection is good after it.
			c.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
			if _, err := c.Read(buf); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatal(err)
			}
			c.SetReadDeadline(time.Time{})
			if _, err := io.WriteString(c, "again"); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(c, buf); err != nil || string(buf) != "again" {
				t.Fatalf("%q %v", buf, err)
			}
			if _, err := h.Dial(t.Context(), "unix", path+"x"); err == nil {
				t.Fatal("connected to nothing")
			}
			if _, err := h.Dial(t.Context(), "udp", path); err == nil {
				t.Fatal("udp")
			}
		})
	}
}

func TestUpload(t *testing.T) {
	srv := remotetest.StartServer(t)
	h := dial(t, srv.Options("n"))
	for _, size := range []int{0, 1, 64 << 10, 64<<10 + 1, 20 << 20} {
		dir := t.TempDir()
		file := filepath.Join(dir, "a b", "f")
		content := make([]byte, size)
		rand.Read(content[:size/2])
		if err := remote.Upload(t.Context(), h, file, bytes.NewReader(content), remote.FileOptions{Mode: 0o755, MkDir: true}); err != nil {
			t.Fatal(size, err)
		}
		got, err := os.ReadFile(file)
		if err != nil || !bytes.Equal(got, content) {
			t.Fatal(size, err, len(got))
		}
		if fi, _ := os.Stat(file); fi.Mode() != 0o755 {
			t.Fatal(fi.Mode())
		}
		onlyFile(t, file)
	}
}

func onlyFile(t *testing.T, file string) {
	t.Helper()
	left, err := os.ReadDir(filepath.Dir(file))
	if err != nil || len(left) != 1 || left[0].Name() != filepath.Base(file) {
		t.Fatal("left over:", left, err)
	}
}

type brokenReader struct{ r io.Reader }

var errBroken = errors.New("the source broke")

func (b brokenReader) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	if err == io.EOF {
		err = errBroken
	}
	return n, err
}

func TestBrokenContentLeavesTheOldFile(t *testing.T) {
	srv := remotetest.StartServer(t)
	for name, h := range map[string]remote.Host{"server": dial(t, srv.Options("n")), "local": remote.NewLocal("")} {
		file := filepath.Join(t.TempDir(), "f")
		writeFile(t, file, "old")
		r := brokenReader{io.LimitReader(rand.Reader, 5<<20)}
		if err := remote.Upload(t.Context(), h, file, r, remote.FileOptions{Mode: 0o600}); !errors.Is(err, errBroken) {
			t.Fatal(name, err)
		}
		eventually(t, name+": nothing is left over", func() bool {
			left, err := os.ReadDir(filepath.Dir(file))
			text, _ := os.ReadFile(file)
			return err == nil && len(left) == 1 && string(text) == "old"
		})
		// A command must not take what came before the error for the whole.
		out := filepath.Join(t.TempDir(), "done")
		_, err := h.Run(t.Context(), remote.Command{
			Args:  []string{"sh", "-c", "cat >/dev/null && touch " + out},
			Stdin: brokenReader{strings.NewReader("part")},
		})
		if !errors.Is(err, errBroken) {
			t.Fatal(name, err)
		}
		if _, err := os.Stat(out); !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(name, "the command saw the end of its input")
		}
	}
}

func TestConnectionLostInAnUpload(t *testing.T) {
	srv := remotetest.StartServer(t)
	h := dial(t, srv.Options("n"))
	file := filepath.Join(t.TempDir(), "f")
	writeFile(t, file, "old")
	r, w := io.Pipe()
	defer w.Close()
	go func() {
		w.Write(make([]byte, 1<<20))
		srv.DropConnections()
		w.CloseWithError(errors.New("late"))
	}()
	err := remote.Upload(t.Context(), h, file, r, remote.FileOptions{Mode: 0o600})
	if err == nil {
		t.Fatal("no error")
	}
	eventually(t, "nothing is left over", func() bool {
		left, err := os.ReadDir(filepath.Dir(file))
		text, _ := os.ReadFile(file)
		return err == nil && len(left) == 1 && string(text) == "old"
	})
}

func TestFileErrors(t *testing.T) {
	h := remote.NewLocal("")
	ctx := t.Context()
	// Root may read everything, so as somebody else.
	dir := filepath.Join(t.TempDir(), "closed")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	_, err := remote.ReadFile(ctx, h, filepath.Join(dir, "f"), "postgres")
	if errors.Is(err, fs.ErrNotExist) || !errors.Is(err, fs.ErrPermission) {
		t.Fatal("what cannot be looked at is not absent:", err)
	}
	if err := remote.Remove(ctx, h, filepath.Join(dir, "f"), "postgres"); !errors.Is(err, fs.ErrPermission) {
		t.Fatal(err)
	}
	if err := remote.WriteFile(ctx, h, dir, nil, remote.FileOptions{Mode: 0o600}); err == nil {
		t.Fatal("wrote over a directory")
	}
	if err := remote.Remove(ctx, h, dir, ""); err == nil {
		t.Fatal("removed a directory")
	}
	for _, p := range []string{"", "a\x00b", "/x/", "/x/.."} {
		if err := remote.WriteFile(ctx, h, p, nil, remote.FileOptions{}); err == nil {
			t.Fatalf("wrote %q", p)
		}
	}
	if err := remote.Rename(ctx, h, dir, "/dev/shm/pg_manage_rename_test", ""); err == nil || !strings.Contains(err.Error(), "different file systems") {
		t.Fatal(err)
	}
	if err := remote.WriteFile(ctx, h, "/dev/full/x", nil, remote.FileOptions{Mode: 0o600}); err == nil {
		t.Fatal("wrote below a file")
	}
	// A directory is renamed as a whole.
	if err := remote.Rename(ctx, h, dir+"/", dir+".old", ""); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir + ".old"); err != nil {
		t.Fatal(err)
	}
}

func TestPool(t *testing.T) {
	srv := remotetest.StartServer(t)
	p := remote.NewPool()
	var wg sync.WaitGroup
	for range 10 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			h, err := p.Get(t.Context(), srv.Options("n"))
			if err != nil {
				t.Error(err)
				return
			}
			if _, err := h.Run(t.Context(), remote.Command{Args: []string{"true"}}); err != nil {
				t.Error(err)
			}
		}()
	}
	wg.Wait()
	if srv.Handshakes() != 1 {
		t.Fatal(srv.Handshakes())
	}
	if _, err := p.Get(t.Context(), srv.Options("other")); err != nil || srv.Handshakes() != 2 {
		t.Fatal(srv.Handshakes(), err)
	}
	// A connection that broke is made anew.
	srv.DropConnections()
	eventually(t, "a working connection", func() bool {
		h, err := p.Get(t.Context(), srv.Options("n"))
		if err != nil {
			return false
		}
		_, err = h.Run(t.Context(), remote.Command{Args: []string{"true"}})
		return err == nil
	})
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Get(t.Context(), srv.Options("n")); err == nil {
		t.Fatal("a closed pool connects")
	}
}

func TestPoolSharesJumpHosts(t *testing.T) {
	bastion, a, b := remotetest.StartServer(t), remotetest.StartServer(t), remotetest.StartServer(t)
	p := remote.NewPool()
	defer p.Close()
	known := filepath.Join(t.TempDir(), "kh")
	writeFile(t, known, bastion.KnownHostsLine()+"\n")
	key := bastion.ClientKey
	for _, s := range []*remotetest.Server{a, b} {
		o := s.Options("n")
		o.ProxyJump, o.IdentityFile, o.KnownHostsFiles = "x@"+bastion.Addr, key, []string{known}
		s.Authorize(publicKey(t, key+".pub"))
		if _, err := p.Get(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	if bastion.Handshakes() != 1 {
		t.Fatal(bastion.Handshakes())
	}
}

func TestPoolForgetsAFailure(t *testing.T) {
	n := 0
	p := remote.NewPool(remote.WithDial(func(context.Context, remote.Options) (remote.Host, error) {
		if n++; n == 1 {
			return nil, errBroken
		}
		return remote.NewLocal("x"), nil
	}))
	defer p.Close()
	if _, err := p.Get(t.Context(), remote.Options{Host: "h"}); !errors.Is(err, errBroken) {
		t.Fatal(err)
	}
	eventually(t, "a second attempt", func() bool {
		_, err := p.Get(t.Context(), remote.Options{Host: "h"})
		return err == nil
	})
}
