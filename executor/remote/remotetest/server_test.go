package remotetest_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"

	"pg_manage/executor/remote"
	"pg_manage/executor/remote/remotetest"
)

func client(t *testing.T, s *remotetest.Server) *ssh.Client {
	t.Helper()
	text, err := os.ReadFile(s.ClientKey)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ssh.ParsePrivateKey(text)
	if err != nil {
		t.Fatal(err)
	}
	c, err := ssh.Dial("tcp", s.Addr, &ssh.ClientConfig{
		User: "u", Auth: []ssh.AuthMethod{ssh.PublicKeys(key)}, HostKeyCallback: ssh.FixedHostKey(s.HostSigner().PublicKey()),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func TestServesSFTP(t *testing.T) {
	c, err := sftp.NewClient(client(t, remotetest.StartServer(t)))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	file := filepath.Join(t.TempDir(), "f")
	f, err := c.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write([]byte("text")); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(file); err != nil || !bytes.Equal(got, []byte("text")) {
		t.Fatal(got, err)
	}
}

func TestLimitsSessions(t *testing.T) {
	c := client(t, remotetest.StartServer(t, remotetest.WithMaxSessions(2)))
	for i := range 3 {
		s, err := c.NewSession()
		if (err == nil) != (i < 2) {
			t.Fatal(i, err)
		}
		if err == nil {
			defer s.Close()
		}
	}
}

func TestAnswersByFunction(t *testing.T) {
	s := remotetest.StartServer(t, remotetest.WithExec(func(line string, stdin io.Reader, stdout io.Writer) int {
		text, _ := io.ReadAll(stdin)
		fmt.Fprintf(stdout, "%s: %s", line, text)
		return 3
	}))
	h, err := remote.Dial(t.Context(), s.Options("n"))
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	res, err := h.Run(t.Context(), remote.Command{Args: []string{"ask"}, Stdin: strings.NewReader("me")})
	var ce *remote.CommandError
	if !errors.As(err, &ce) || ce.Status != 3 || string(res.Stdout) != "exec ask: me" {
		t.Fatalf("%q %v", res.Stdout, err)
	}
}

func TestForwardsPorts(t *testing.T) {
	s := remotetest.StartServer(t)
	h, err := remote.Dial(t.Context(), s.Options("n"))
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		if c, err := l.Accept(); err == nil {
			c.Write([]byte("hi"))
			c.Close()
		}
	}()
	c, err := h.Dial(t.Context(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	buf := make([]byte, 2)
	if _, err := c.Read(buf); err != nil || string(buf) != "hi" {
		t.Fatalf("%q %v", buf, err)
	}
}

func TestRefusesOtherUsers(t *testing.T) {
	s := remotetest.StartServer(t, remotetest.WithUser("alice"))
	o := s.Options("n")
	o.User = "bob"
	var ae *remote.AuthError
	if _, err := remote.Dial(t.Context(), o); !errors.As(err, &ae) {
		t.Fatal(err)
	}
}

func TestAFreePortIsGivenToOneAlone(t *testing.T) {
	given := map[int]bool{}
	for range 500 {
		port := remotetest.FreePort(t)
		if given[port] {
			t.Fatalf("port %d was given twice", port)
		}
		given[port] = true
	}
	for port := range given {
		l, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(port))
		if err != nil {
			t.Fatal(err)
		}
		l.Close()
	}
}
