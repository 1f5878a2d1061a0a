package sftp

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"pg_manage/executor/repo/repotest"
	"pg_manage/executor/repo/storage"
)

// pipes is OpenSSH's own SFTP server at the other end of two pipes, as sshd starts it.
type pipes struct {
	io.Reader
	io.WriteCloser
	cmd  *exec.Cmd
	left *atomic.Int64 // bytes that may still be sent before the cable is cut; negative: no limit
}

func (s pipes) Write(b []byte) (int, error) {
	if left := s.left.Load(); left >= 0 && s.left.Add(-int64(len(b))) < 0 {
		s.left.Store(0)
		return 0, errors.Join(io.ErrClosedPipe, s.Close())
	}
	return s.WriteCloser.Write(b)
}

func (s pipes) Close() error { return s.WriteCloser.Close() }

const server = "/usr/lib/openssh/sftp-server"

func dial(t *testing.T, limit int64) pipes {
	t.Helper()
	return start(t, exec.Command(server), limit, nil)
}

func start(t *testing.T, cmd *exec.Cmd, limit int64, attr *syscall.SysProcAttr) pipes {
	t.Helper()
	cmd.SysProcAttr = attr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	pr, pw := io.Pipe()
	cmd.Stdout = pw
	if err := cmd.Start(); err != nil {
		t.Fatalf("OpenSSH's SFTP server (Debian: openssh-sftp-server) is needed: %v", err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		pw.CloseWithError(errors.Join(io.EOF, cmd.Wait()))
	}()
	t.Cleanup(func() {
		in.Close()         //nolint:errcheck // may be closed already
		pr.Close()         //nolint:errcheck // never fails
		cmd.Process.Kill() //nolint:errcheck // it may have ended; a stopped one ends by nothing else
		<-done
	})
	left := new(atomic.Int64)
	left.Store(limit)
	return pipes{pr, in, cmd, left}
}

func open(t *testing.T, root string, limit int64) (*Store, error) {
	t.Helper()
	return New(t.Context(), dial(t, limit), Options{Label: "ssh://test" + root, Root: root})
}

func TestConformance(t *testing.T) {
	root := t.TempDir()
	repotest.Run(t, func(t *testing.T) storage.Driver {
		s, err := open(t, root, -1)
		if err != nil {
			t.Fatal(err)
		}
		return s
	})
}

// TestCableCut cuts the connection after each of many amounts of bytes: what is
// visible afterwards is either nothing or the whole file, and no error says "absent".
func TestCableCut(t *testing.T) {
	want := bytes.Repeat([]byte("0123456789"), 10_000)
	for cut := int64(0); ; cut += 997 {
		root := t.TempDir()
		s, err := open(t, root, cut)
		if err == nil {
			err = s.Put(t.Context(), "a/b", bytes.NewReader(want))
		}
		got, rerr := os.ReadFile(filepath.Join(root, "a", "b"))
		if rerr == nil && !bytes.Equal(got, want) {
			t.Fatalf("cut after %d bytes: a torn file is visible", cut)
		}
		if err == nil {
			if rerr != nil {
				t.Fatalf("cut after %d bytes: acknowledged, but %v", cut, rerr)
			}
			return
		}
		if errors.Is(err, storage.ErrNotExist) || errors.Is(err, storage.ErrExists) {
			t.Fatalf("cut after %d bytes: %v", cut, err)
		}
	}
}

func TestReadCut(t *testing.T) {
	root := t.TempDir()
	if err := os.WriteFile(filepath.Join(root, "x"), make([]byte, 10<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	for cut := int64(0); ; cut += 101 {
		s, err := open(t, root, cut)
		if err == nil {
			var r io.ReadCloser
			if r, err = s.Open(t.Context(), "x"); err == nil {
				var n int64
				n, err = io.Copy(io.Discard, r)
				if err == nil && n != 10<<20 {
					t.Fatalf("cut after %d bytes: %d bytes read without an error", cut, n)
				}
				r.Close() //nolint:errcheck // the connection may be gone
			}
		}
		if err == nil {
			return
		}
		if errors.Is(err, storage.ErrNotExist) {
			t.Fatalf("cut after %d bytes: %v", cut, err)
		}
	}
}

// TestRangeCut is the same for a part of a file, whose end a cut connection is not.
func TestRangeCut(t *testing.T) {
	root := t.TempDir()
	if err := os.WriteFile(filepath.Join(root, "x"), make([]byte, 10<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	for cut := int64(0); ; cut += 101 {
		s, err := open(t, root, cut)
		if err == nil {
			var r io.ReadCloser
			if r, err = s.OpenRange(t.Context(), "x", 1<<20, 6<<20); err == nil {
				var n int64
				n, err = io.Copy(io.Discard, r)
				if err == nil && n != 6<<20 {
					t.Fatalf("cut after %d bytes: %d bytes read without an error", cut, n)
				}
				r.Close() //nolint:errcheck // the connection may be gone
			}
		}
		if err == nil {
			return
		}
		if errors.Is(err, storage.ErrNotExist) || errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatalf("cut after %d bytes: %v", cut, err)
		}
	}
}

// TestStalledServer: the deadline ends an operation on a server that has stopped
// answering and never says another word.
func TestStalledServer(t *testing.T) {
	ses := dial(t, -1)
	s, err := New(t.Context(), ses, Options{Label: "x", Root: t.TempDir(), Close: ses.Reader.(io.Closer).Close})
	if err != nil {
		t.Fatal(err)
	}
	if err := ses.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := s.Put(ctx, "a", bytes.NewReader(make([]byte, 1<<20))); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

func TestMissingExtension(t *testing.T) {
	cmd := exec.Command(server, "-P", "fsync")
	var out bytes.Buffer
	cmd.Stderr = &out
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	pr, pw := io.Pipe()
	cmd.Stdout = pw
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { pw.CloseWithError(errors.Join(io.EOF, cmd.Wait())) }()
	left := new(atomic.Int64)
	left.Store(-1)
	_, err = New(t.Context(), pipes{pr, in, cmd, left}, Options{Label: "ssh://test"})
	if err == nil || !strings.Contains(err.Error(), "fsync@openssh.com") {
		t.Errorf("got %v (%s)", err, out.String())
	}
}
