package restore

import (
	"context"
	"errors"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"pg_manage/executor/basebackup/backuptest"
	"pg_manage/executor/basebackup/chain"
	"pg_manage/executor/repo"
	"pg_manage/executor/repo/catalog"
	"pg_manage/executor/repo/sftp"
	"pg_manage/executor/repo/storage"
)

var errCable = errors.New("the cable was cut")

// cable is a driver that is cut off after some reads.
type cable struct {
	storage.Driver
	left *atomic.Int64
}

func (c cable) OpenRange(ctx context.Context, name string, off, n int64) (io.ReadCloser, error) {
	if c.left.Add(-1) < 0 {
		return nil, errCable
	}
	return c.Driver.OpenRange(ctx, name, off, n)
}

func TestAnOutageIsNoDamageAndTheRestoreGoesOn(t *testing.T) {
	w := newWorld(t, repo.Target{Name: "here"})
	labels := w.chain()
	left := &atomic.Int64{}
	cut := backuptest.Open(t, filepath.Join(w.dir, "target"), repo.Target{Name: "here"}, func(d storage.Driver) storage.Driver { return cable{d, left} })
	o := w.options(labels[2], "a")
	o.Catalog = cut.Catalog
	for n := int64(0); ; n++ {
		left.Store(n)
		_, err := Restore(t.Context(), o)
		if err == nil {
			if n == 0 {
				t.Fatal("nothing was read in ranges")
			}
			break
		}
		var damage *chain.DamageError
		if !errors.Is(err, errCable) || errors.As(err, &damage) {
			t.Fatal(err)
		}
		w.unstartable(o.DataDir)
	}
	w.same(o.DataDir)
}

func TestARestoreThatIsInterruptedEnds(t *testing.T) {
	w := newWorld(t, repo.Target{Name: "here"})
	full := w.target.Take(t, w.source, 0, "")
	ctx, cancel := context.WithCancelCause(t.Context())
	o := w.options(full.Label, "a")
	interrupted := errors.New("interrupted")
	o.Progress = func(done, _ int64) {
		if done > 1<<20 {
			cancel(interrupted)
		}
	}
	if _, err := Restore(ctx, o); !errors.Is(err, interrupted) {
		t.Fatal(err)
	}
	w.unstartable(o.DataDir)
	o.Progress = nil
	w.restore(o)
	w.same(o.DataDir)
}

// pipes is OpenSSH's own SFTP server at the other end of two pipes, as sshd starts it.
type pipes struct {
	io.Reader
	io.WriteCloser
}

func TestABackupIsRestoredOverSFTP(t *testing.T) {
	w := newWorld(t, repo.Target{Name: "here"})
	labels := w.chain()
	server := exec.Command("/usr/lib/openssh/sftp-server")
	in, err := server.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := server.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatalf("OpenSSH's SFTP server (Debian: openssh-sftp-server) is needed: %v", err)
	}
	d, err := sftp.New(t.Context(), pipes{out, in}, sftp.Options{Label: "ssh://test", Root: filepath.Join(w.dir, "target")})
	if err != nil {
		t.Fatal(err)
	}
	c, err := catalog.New(d, "backups/main", repo.Target{Name: "there"})
	if err != nil {
		t.Fatal(err)
	}
	o := w.options(labels[2], "a")
	o.Catalog, o.Workers = c, 4
	w.restore(o)
	w.same(o.DataDir)
	// The server is gone: that is said, and nothing is taken for missing.
	if err := server.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = server.Wait()
	o = w.options(labels[2], "b")
	o.Catalog = c
	if _, err := Restore(t.Context(), o); !errors.Is(err, storage.ErrLost) || strings.Contains(err.Error(), "missing") {
		t.Errorf("%v", err)
	}
	_ = d.Close()
}
