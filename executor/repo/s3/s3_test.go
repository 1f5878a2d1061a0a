package s3

import (
	"bytes"
	"encoding/pem"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"

	"pg_manage/executor/repo/repotest"
	"pg_manage/executor/repo/storage"
)

const bucket = "backups"

// server is an S3 server in this process, which keeps objects in memory.
type server struct {
	*httptest.Server
	backend *s3mem.Backend
	// fault answers a request in the server's place, if it returns true.
	fault atomic.Pointer[func(w http.ResponseWriter, r *http.Request) bool]
	// unconditional has the server overlook conditions.
	unconditional atomic.Bool
	mu            sync.Mutex // of conditional requests
}

func newServer(t *testing.T) *server {
	t.Helper()
	s := &server{backend: s3mem.New()}
	if err := s.backend.CreateBucket(bucket); err != nil {
		t.Fatal(err)
	}
	next := gofakes3.New(s.backend).Server()
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if f := s.fault.Load(); f != nil && (*f)(w, r) {
			return
		}
		if r.Method == http.MethodPut || r.Method == http.MethodPost {
			s.conditional(w, r, next)
			return
		}
		next.ServeHTTP(w, r)
	}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

// conditional keeps the condition for uploads in parts too, which the server does not,
// and between requests that come at once.
func (s *server) conditional(w http.ResponseWriter, r *http.Request, next http.Handler) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.unconditional.Load() {
		r.Header.Del("If-None-Match")
	}
	if r.Header.Get("If-None-Match") == "*" {
		if _, err := s.backend.HeadObject(bucket, strings.TrimPrefix(r.URL.Path, "/"+bucket+"/")); err == nil {
			answer(w, http.StatusPreconditionFailed, "PreconditionFailed")
			return
		}
	}
	next.ServeHTTP(w, r)
}

func answer(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, "<Error><Code>"+code+"</Code><Message>said so</Message></Error>")
}

func (s *server) setFault(f func(w http.ResponseWriter, r *http.Request) bool) { s.fault.Store(&f) }

// options reach the server.
func (s *server) options(t *testing.T) Options {
	t.Helper()
	dir := t.TempDir()
	ca, keys := filepath.Join(dir, "ca.pem"), filepath.Join(dir, "credentials")
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	if err := os.WriteFile(ca, cert, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(keys, []byte("[default]\naws_access_key_id = ACCESS\naws_secret_access_key = "+secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return Options{Label: "s3://" + bucket + "/pre/fix", Bucket: bucket, Prefix: "pre/fix", Endpoint: s.URL, CAFile: ca, CredentialsFile: keys}
}

const secret = "SECRETSECRET"

func (s *server) open(t *testing.T) *Store {
	t.Helper()
	return open(t, s.options(t))
}

func open(t *testing.T, o Options) *Store {
	t.Helper()
	s, err := New(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestConformance(t *testing.T) {
	s := newServer(t)
	repotest.RunWith(t, repotest.Options{Flat: true}, func(t *testing.T) storage.Driver { return s.open(t) })
}

func TestConformanceWithoutPrefix(t *testing.T) {
	s := newServer(t)
	repotest.RunWith(t, repotest.Options{Flat: true}, func(t *testing.T) storage.Driver {
		o := s.options(t)
		o.Prefix, o.PathStyle = "", true
		return open(t, o)
	})
}

func TestConformanceOfUploadsInParts(t *testing.T) {
	s := newServer(t)
	repotest.RunWith(t, repotest.Options{Flat: true}, func(t *testing.T) storage.Driver {
		d := s.open(t)
		d.single = 16 << 10 // small ones go in one piece, others in two and more
		return d
	})
}

func TestAnEmptyRootIsThere(t *testing.T) {
	d := newServer(t).open(t)
	if all, err := d.List(t.Context(), ""); err != nil || len(all) != 0 {
		t.Errorf("got %v, %v", all, err)
	}
}
