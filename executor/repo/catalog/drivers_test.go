package catalog

import (
	"bytes"
	"encoding/pem"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"

	"pg_manage/executor/repo"
	"pg_manage/executor/repo/s3"
	"pg_manage/executor/repo/sftp"
	"pg_manage/executor/repo/storage"
)

const sftpServer = "/usr/lib/openssh/sftp-server"

// overSFTP gives a store behind OpenSSH's server.
func overSFTP(t *testing.T) storage.Driver {
	t.Helper()
	cmd := exec.Command(sftpServer)
	in, err1 := cmd.StdinPipe()
	out, err2 := cmd.StdoutPipe()
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("OpenSSH's SFTP server (Debian: openssh-sftp-server) is needed: %v", err)
	}
	root := t.TempDir()
	d, err := sftp.New(t.Context(), struct {
		io.Reader
		io.WriteCloser
	}{out, in}, sftp.Options{Label: "ssh://test" + root, Root: root})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(d.Close(), cmd.Wait()); err != nil {
			t.Error(err)
		}
	})
	return d
}

// inBucket gives a store at an S3 server in this process.
func inBucket(t *testing.T) storage.Driver {
	t.Helper()
	backend := s3mem.New()
	if err := backend.CreateBucket("backups"); err != nil {
		t.Fatal(err)
	}
	next := gofakes3.New(backend).Server()
	var mu sync.Mutex // it looks at conditions of requests that come at once as if each were alone
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut || r.Method == http.MethodPost {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				return
			}
			r.Body = io.NopCloser(bytes.NewReader(body))
			mu.Lock()
			defer mu.Unlock()
		}
		next.ServeHTTP(w, r)
	}))
	t.Cleanup(srv.Close)
	file, ca := filepath.Join(t.TempDir(), "credentials"), filepath.Join(t.TempDir(), "ca.pem")
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw})
	if err := errors.Join(os.WriteFile(file, []byte("[default]\naws_access_key_id = A\naws_secret_access_key = S\n"), 0o600), os.WriteFile(ca, cert, 0o600)); err != nil {
		t.Fatal(err)
	}
	d, err := s3.New(t.Context(), s3.Options{Label: "s3://backups/x", Bucket: "backups", Prefix: "x", Endpoint: srv.URL, CAFile: ca, CredentialsFile: file})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func drivers() map[string]func(t *testing.T) storage.Driver {
	return map[string]func(t *testing.T) storage.Driver{"posix": newStore, "sftp": overSFTP, "s3": inBucket}
}

func TestTheLifeOfBackupsAtEachKindOfTarget(t *testing.T) {
	for kind, newDriver := range drivers() {
		for form, target := range map[string]repo.Target{"plain": {}, "encrypted": encrypted(t)} {
			t.Run(kind+"/"+form, func(t *testing.T) {
				ctx, d := t.Context(), newDriver(t)
				c := open(t, d, target)
				full := mustTake(t, c, 1, "")
				incr := mustTake(t, c, 2, full.Label)
				given := info(3, "")
				if err := errors.Join(store(ctx, c, given, 500), c.Abort(ctx, given.Label)); err != nil {
					t.Fatal(err)
				}
				if got := labels(t, open(t, d, target)); got != full.Label+" "+incr.Label+" " {
					t.Errorf("listed are %q", got)
				}
				if err := mustBeWhole(ctx, c); err != nil {
					t.Error(err)
				}
				if got, err := c.Unfinished(ctx); err != nil || len(got) != 0 {
					t.Errorf("unfinished are %q, %v", got, err)
				}
				proven := time.Date(2026, 11, 23, 1, 2, 3, 0, time.UTC)
				if err := errors.Join(c.Pin(ctx, full.Label), c.Pin(ctx, full.Label), c.Prove(ctx, incr.Label, Proof{Time: proven.Add(-time.Hour)}),
					c.Prove(ctx, incr.Label, Proof{Time: proven, Node: "node2", Checked: []string{"pg_amcheck"}, Duration: time.Minute})); err != nil {
					t.Fatal(err)
				}
				all, err := c.List(ctx)
				if err != nil || !all[0].Pinned || all[1].Pinned || !all[0].Proven.IsZero() || !all[1].Proven.Equal(proven) {
					t.Errorf("%+v, %v", all, err)
				}
				if f := all[1].Fact(); f.Label != incr.Label || f.Kind != "incremental" || !f.Proven.Equal(proven) || f.StartLSN != incr.StartLSN || f.Major() != 17 {
					t.Errorf("%+v", f)
				}
				if p, err := c.Proofs(ctx, incr.Label); err != nil || len(p) != 2 || p[0].Node != "node2" || p[0].Duration != time.Minute {
					t.Errorf("%+v, %v", p, err)
				}
				var needed *NeededError
				if err := c.Remove(ctx, full.Label); !errors.As(err, &needed) {
					t.Errorf("a parent that is pinned: %v", err)
				}
				if err := errors.Join(c.Remove(ctx, incr.Label), c.Unpin(ctx, full.Label), c.Unpin(ctx, full.Label), c.Remove(ctx, full.Label)); err != nil {
					t.Error(err)
				}
				if left, err := d.List(ctx, dir); len(left) != 0 || err != nil && !errors.Is(err, storage.ErrNotExist) {
					t.Errorf("what is left: %+v, %v", left, err)
				}
				if err := c.Remove(ctx, full.Label); !errors.Is(err, storage.ErrNotExist) {
					t.Errorf("removed again: %v", err)
				}
			})
		}
	}
}

// TestPartsOfEncryptedObjectsAtEachKindOfTarget reads a larger object by several readers.
func TestPartsOfEncryptedObjectsAtEachKindOfTarget(t *testing.T) {
	want := bytesOf(5, 3<<20+5)
	target := encrypted(t)
	for kind, newDriver := range drivers() {
		t.Run(kind, func(t *testing.T) {
			c := open(t, newDriver(t), target)
			i := info(1, "")
			o, err := c.Create(t.Context(), i.Label, c.PartName(0), bytes.NewReader(want))
			if err != nil {
				t.Fatal(err)
			}
			r, err := c.Object(t.Context(), i.Label, o)
			if err != nil {
				t.Fatal(err)
			}
			var wg sync.WaitGroup
			for w := range int64(6) {
				wg.Go(func() {
					for k := range int64(3) {
						off, n := w*400_001+k*65_536, 900_000-k*300_000
						got, err := readAll(r.Range(t.Context(), off, n))
						if err != nil || !bytes.Equal(got, want[off:off+n]) {
							t.Errorf("%d from %d on: %d bytes, %v", n, off, len(got), err)
						}
					}
				})
			}
			wg.Wait()
		})
	}
}

// TestAgeReadsWhatIsStored: nothing of ours is needed to read an encrypted object.
func TestAgeReadsWhatIsStored(t *testing.T) {
	program, err := exec.LookPath("age")
	if err != nil {
		t.Fatal("the program age is needed (Debian: the package age)")
	}
	target := encrypted(t)
	d, root := storeIn(t, t.TempDir())
	c := open(t, d, target)
	for n, size := range []int{0, 1, 65536, 200_000} {
		i := info(n, "")
		if _, err := c.Create(t.Context(), i.Label, c.PartName(0), bytes.NewReader(bytesOf(1, size))); err != nil {
			t.Fatal(err)
		}
		got, err := exec.CommandContext(t.Context(), program, "-d", "-i", target.AgeIdentityFile, filepath.Join(root, c.path(i.Label, c.PartName(0)))).Output()
		if err != nil || !bytes.Equal(got, bytesOf(1, size)) {
			t.Errorf("%d bytes: %d came back, %v", size, len(got), err)
		}
	}
}
