package remote_test

import (
	"io"
	"net"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"pg_manage/executor/remote"
)

// Dial and one command, beside the same by OpenSSH's client: same sshd, same key.
func BenchmarkDialAndRun(b *testing.B) {
	s := startSSHD(b)
	b.Run("ours", func(b *testing.B) {
		for b.Loop() {
			h, err := remote.Dial(b.Context(), s.options())
			if err != nil {
				b.Fatal(err)
			}
			if _, err := h.Run(b.Context(), remote.Command{Args: []string{"true"}}); err != nil {
				b.Fatal(err)
			}
			h.Close()
		}
	})
	b.Run("ssh", func(b *testing.B) {
		for b.Loop() {
			run(b, "ssh", "-F", "none", "-i", s.clientKey, "-o", "UserKnownHostsFile="+s.knownHosts, "-o", "BatchMode=yes",
				"-p", itoa(s.port), "root@127.0.0.1", "true")
		}
	})
	far := relay(b, s.port, 20*time.Millisecond)
	b.Run("ours, 40 ms away", func(b *testing.B) {
		o := s.options()
		o.Port, o.HostKeys = far, []string{string(ssh.MarshalAuthorizedKey(publicKey(b, filepath.Join(s.dir, "host.pub"))))}
		for b.Loop() {
			h, err := remote.Dial(b.Context(), o)
			if err != nil {
				b.Fatal(err)
			}
			if _, err := h.Run(b.Context(), remote.Command{Args: []string{"true"}}); err != nil {
				b.Fatal(err)
			}
			h.Close()
		}
	})
	b.Run("ssh, 40 ms away", func(b *testing.B) {
		for b.Loop() {
			run(b, "ssh", "-F", "none", "-i", s.clientKey, "-o", "UserKnownHostsFile="+s.knownHosts, "-o", "BatchMode=yes",
				"-o", "HostKeyAlias=[127.0.0.1]:"+itoa(s.port), "-p", itoa(far), "root@127.0.0.1", "true")
		}
	})
	b.Run("bare process", func(b *testing.B) {
		for b.Loop() {
			if err := exec.Command("ssh", "-V").Run(); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkRun(b *testing.B) {
	s := startSSHD(b)
	h := dial(b, s.options())
	for name, c := range map[string]remote.Command{
		"direct":   {Args: []string{"true"}},
		"postgres": {Args: []string{"true"}, As: "postgres"},
		"leash":    {Args: []string{"true"}, Leash: true},
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := h.Run(b.Context(), c); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// relay forwards a port of its own to another, each way later by delay.
func relay(b *testing.B, port int, delay time.Duration) int {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Add(1)
	go func() {
		defer wg.Done()
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", itoa(port)))
			if err != nil {
				near.Close()
				continue
			}
			wg.Add(2)
			go func() { defer wg.Done(); late(near, far, delay) }()
			go func() { defer wg.Done(); late(far, near, delay) }()
		}
	}()
	b.Cleanup(func() { l.Close(); wg.Wait() })
	return l.Addr().(*net.TCPAddr).Port
}

func late(dst io.WriteCloser, src io.Reader, delay time.Duration) {
	type packet struct {
		at   time.Time
		data []byte
	}
	ch := make(chan packet, 1000)
	go func() {
		defer close(ch)
		for {
			buf := make([]byte, 32<<10)
			n, err := src.Read(buf)
			if err != nil {
				return
			}
			ch <- packet{time.Now().Add(delay), buf[:n]}
		}
	}()
	for p := range ch {
		time.Sleep(time.Until(p.at))
		dst.Write(p.data)
	}
	dst.Close()
}
