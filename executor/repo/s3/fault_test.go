package s3

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"

	"github.com/johannesboyne/gofakes3"

	"pg_manage/executor/repo/storage"
)

// mustBeUnknown holds an error to what the contract says of outages: it is none of the
// two that say something about a name, and shows no secret.
func mustBeUnknown(t *testing.T, what string, err error) {
	t.Helper()
	if err == nil || errors.Is(err, storage.ErrNotExist) || errors.Is(err, storage.ErrExists) || strings.Contains(err.Error(), secret) {
		t.Errorf("%s: %v", what, err)
	}
}

// everything tries each operation on a server that must fail all of them.
func everything(t *testing.T, what string, d *Store) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	_, err := d.Open(ctx, "a/b")
	mustBeUnknown(t, what+": Open", err)
	for _, length := range []int64{0, 10} {
		_, err = d.OpenRange(ctx, "a/b", 0, length)
		mustBeUnknown(t, what+": OpenRange", err)
	}
	_, err = d.Stat(ctx, "a/b")
	mustBeUnknown(t, what+": Stat", err)
	_, err = d.List(ctx, "a")
	mustBeUnknown(t, what+": List", err)
	_, err = d.List(ctx, "")
	mustBeUnknown(t, what+": List of the root", err)
	mustBeUnknown(t, what+": Put", d.Put(ctx, "a/b", strings.NewReader("x")))
	mustBeUnknown(t, what+": Remove", d.Remove(ctx, "a/b"))
	mustBeUnknown(t, what+": Sync", d.Sync(ctx, "a/b"))
	mustBeUnknown(t, what+": Sweep", d.Sweep(ctx, "a", 0))
}

func TestNoOutageIsTakenForAnAnswer(t *testing.T) {
	says := func(status int, code string) func(*testing.T, *server, *Options) {
		return func(_ *testing.T, s *server, _ *Options) {
			s.setFault(func(w http.ResponseWriter, _ *http.Request) bool {
				answer(w, status, code)
				return true
			})
		}
	}
	for what, breakIt := range map[string]func(*testing.T, *server, *Options){
		"InternalError":         says(500, "InternalError"),
		"ServiceUnavailable":    says(503, "ServiceUnavailable"),
		"AccessDenied":          says(403, "AccessDenied"),
		"SignatureDoesNotMatch": says(403, "SignatureDoesNotMatch"),
		"InvalidAccessKeyId":    says(403, "InvalidAccessKeyId"),
		"PermanentRedirect":     says(301, "PermanentRedirect"),
		"another kind of server": func(_ *testing.T, s *server, _ *Options) {
			s.setFault(func(w http.ResponseWriter, _ *http.Request) bool {
				http.Error(w, "<html>not S3</html>", http.StatusNotFound)
				return true
			})
		},
		"a connection that breaks": func(_ *testing.T, s *server, _ *Options) {
			s.setFault(func(http.ResponseWriter, *http.Request) bool { panic(http.ErrAbortHandler) })
		},
		"a missing bucket":                      func(_ *testing.T, _ *server, o *Options) { o.Bucket = "missing" },
		"a certificate that nobody vouches for": func(_ *testing.T, _ *server, o *Options) { o.CAFile = "" },
		"a name that isn't known":               func(_ *testing.T, _ *server, o *Options) { o.Endpoint = "nowhere.invalid" },
		"a server that is gone":                 func(_ *testing.T, s *server, _ *Options) { s.Close() },
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			o := s.options(t)
			breakIt(t, s, &o)
			everything(t, what, open(t, o))
		})
	}
}

func TestAFewFailuresAreTriedAgain(t *testing.T) {
	s := newServer(t)
	d := s.open(t)
	var n atomic.Int32
	s.setFault(func(w http.ResponseWriter, _ *http.Request) bool {
		if n.Add(1)%2 == 1 {
			answer(w, http.StatusServiceUnavailable, "SlowDown")
			return true
		}
		return false
	})
	if err := d.Put(t.Context(), "a", strings.NewReader("text")); err != nil {
		t.Error(err)
	}
	if st, err := d.Stat(t.Context(), "a"); err != nil || st.Size != 4 {
		t.Error(st, err)
	}
}

func TestAServerThatHangsEndsWithTheDeadline(t *testing.T) {
	s := newServer(t)
	d := s.open(t)
	if err := d.Put(t.Context(), "there", strings.NewReader("text")); err != nil {
		t.Fatal(err)
	}
	release := make(chan struct{})
	t.Cleanup(func() { close(release) })
	s.setFault(func(_ http.ResponseWriter, r *http.Request) bool {
		select {
		case <-release:
		case <-r.Context().Done():
		}
		return true
	})
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	start := time.Now()
	err := d.Put(ctx, "a", strings.NewReader("text"))
	mustBeUnknown(t, "Put", err)
	if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) > time.Minute {
		t.Errorf("after %v: %v", time.Since(start), err)
	}
	if _, err := d.Open(ctx, "there"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Open: %v", err)
	}
	if _, err := d.List(ctx, ""); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("List: %v", err)
	}
}

func TestAServerThatOverwritesIsFoundOutAndNothingIsLeftThere(t *testing.T) {
	s := newServer(t)
	s.unconditional.Store(true)
	d := s.open(t)
	for range 2 {
		if err := d.Put(t.Context(), "a/b", strings.NewReader("text")); !errors.Is(err, errOverwrites) {
			t.Errorf("got %v", err)
		}
	}
	s.unconditional.Store(false)
	mustHold(t, s, 0)
	d = s.open(t)
	d.single = 10
	s.setFault(func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPost {
			r.Header.Del("If-None-Match")
		}
		return false
	})
	if err := d.Put(t.Context(), "a/b", strings.NewReader("a longer text")); !errors.Is(err, errOverwrites) {
		t.Errorf("in parts: %v", err)
	}
	mustHold(t, s, 0)
}

// mustHold counts the objects that the server has, visible or not.
func mustHold(t *testing.T, s *server, n int) {
	t.Helper()
	all, err := s.backend.ListBucket(bucket, &gofakes3.Prefix{}, gofakes3.ListBucketPage{})
	if err != nil || len(all.Contents) != n {
		t.Errorf("the bucket holds %d objects, %v", len(all.Contents), err)
		for _, o := range all.Contents {
			t.Log(o.Key)
		}
	}
}

func TestTheServerIsTriedOutOncePerConnectionAndAgainAfterAnOutage(t *testing.T) {
	s := newServer(t)
	d := s.open(t)
	var probes atomic.Int32
	var down atomic.Bool
	down.Store(true)
	s.setFault(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPut && strings.Contains(r.URL.Path, "condition") {
			probes.Add(1)
			if down.Load() {
				answer(w, http.StatusForbidden, "AccessDenied")
				return true
			}
		}
		return false
	})
	mustBeUnknown(t, "Put", d.Put(t.Context(), "a", strings.NewReader("x")))
	down.Store(false)
	probes.Store(0)
	for _, name := range []string{"a", "b", "c"} {
		if err := d.Put(t.Context(), name, strings.NewReader("x")); err != nil {
			t.Error(err)
		}
	}
	if n := probes.Load(); n != 2 {
		t.Errorf("%d objects were stored to try the server out", n)
	}
	mustHold(t, s, 3)
}

func TestKeysThatMayNotRemoveAnythingCanStore(t *testing.T) {
	s := newServer(t)
	d := s.open(t)
	s.setFault(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodDelete {
			answer(w, http.StatusForbidden, "AccessDenied")
			return true
		}
		return false
	})
	if err := d.Put(t.Context(), "a", strings.NewReader("x")); err != nil {
		t.Error(err)
	}
	if all, err := d.List(t.Context(), ""); err != nil || len(all) != 1 {
		t.Errorf("visible: %v, %v", all, err)
	}
	// Keys that may do so clean up later, from any directory.
	s.setFault(func(http.ResponseWriter, *http.Request) bool { return false })
	mustHold(t, s, 2)
	if err := d.Sweep(t.Context(), "", time.Hour); err != nil {
		t.Error(err)
	}
	mustHold(t, s, 2)
	if err := d.Put(t.Context(), "dir/a", strings.NewReader("x")); err != nil {
		t.Error(err)
	}
	if err := d.Sweep(t.Context(), "dir", -time.Hour); err != nil {
		t.Error(err)
	}
	mustHold(t, s, 2)
}

func TestAnotherWritersConflictIsWaitedFor(t *testing.T) {
	s := newServer(t)
	d := s.open(t)
	var n atomic.Int32
	s.setFault(func(w http.ResponseWriter, r *http.Request) bool {
		if strings.HasSuffix(r.URL.Path, "/a") && n.Add(1) <= 2 {
			answer(w, http.StatusConflict, "ConditionalRequestConflict")
			return true
		}
		return false
	})
	if err := d.Put(t.Context(), "a", strings.NewReader("x")); err != nil {
		t.Error(err)
	}
}

func TestADamagedObjectIsNoticed(t *testing.T) {
	s := newServer(t)
	d := s.open(t)
	content := make([]byte, 300_000)
	if _, err := rand.Read(content); err != nil {
		t.Fatal(err)
	}
	if err := d.Put(t.Context(), "a", bytes.NewReader(content)); err != nil {
		t.Fatal(err)
	}
	key := "pre/fix/a"
	o, err := s.backend.GetObject(bucket, key, nil)
	if err != nil {
		t.Fatal(err)
	}
	content[1000] ^= 1
	if _, err := s.backend.PutObject(bucket, key, o.Metadata, bytes.NewReader(content), int64(len(content)), nil); err != nil {
		t.Fatal(err)
	}
	r, err := d.Open(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.ReadAll(r)
	mustBeUnknown(t, "reading", err)
	if err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("got %v", err)
	}
}

func TestAnAnswerThatEndsEarlyIsNoWholeFile(t *testing.T) {
	s := newServer(t)
	d := s.open(t)
	if err := d.Put(t.Context(), "a", bytes.NewReader(make([]byte, 300_000))); err != nil {
		t.Fatal(err)
	}
	s.setFault(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodGet {
			return false
		}
		w.Header().Set("Content-Length", "300000")
		w.Header().Set("Last-Modified", time.Now().UTC().Format(http.TimeFormat))
		w.Header().Set("ETag", `"x"`)
		_, _ = w.Write(make([]byte, 100_000))
		panic(http.ErrAbortHandler)
	})
	r, err := d.Open(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(r)
	mustBeUnknown(t, "reading", err)
	if len(got) >= 300_000 || errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

func TestNothingIsSeenWhenAnUploadFails(t *testing.T) {
	s := newServer(t)
	broken := errors.New("the disk broke")
	for _, single := range []int64{partSize, 100_000} {
		d := s.open(t)
		d.single = single
		err := d.Put(t.Context(), "a", io.MultiReader(bytes.NewReader(make([]byte, 250_000)), iotest.ErrReader(broken)))
		if !errors.Is(err, broken) {
			t.Errorf("the source: %v", err)
		}
		s.setFault(func(_ http.ResponseWriter, r *http.Request) bool {
			if strings.HasSuffix(r.URL.Path, "/a") && r.Method == http.MethodPut {
				_, _ = io.CopyN(io.Discard, r.Body, 1000)
				panic(http.ErrAbortHandler)
			}
			return false
		})
		mustBeUnknown(t, "the connection", d.Put(t.Context(), "a", bytes.NewReader(make([]byte, 250_000))))
		s.setFault(func(http.ResponseWriter, *http.Request) bool { return false })
		if _, err := d.Stat(t.Context(), "a"); !errors.Is(err, storage.ErrNotExist) {
			t.Errorf("something is there: %v", err)
		}
		mustHold(t, s, 0)
		for u := range d.client.ListIncompleteUploads(t.Context(), bucket, "", true) {
			if code(u.Err) != "NoSuchUpload" {
				t.Errorf("an upload is left: %+v", u)
			}
		}
	}
}

func TestSweepGivesUpOldUploads(t *testing.T) {
	s := newServer(t)
	d := s.open(t)
	ctx := t.Context()
	if _, err := d.core.NewMultipartUpload(ctx, bucket, "pre/fix/dir/x", ifFree()); err != nil {
		t.Fatal(err)
	}
	count := func() (n int) {
		for u := range d.client.ListIncompleteUploads(ctx, bucket, "pre/fix/dir/", true) {
			if u.Err == nil {
				n++
			}
		}
		return n
	}
	if err := d.Sweep(ctx, "dir", time.Hour); !errors.Is(err, storage.ErrNotExist) || count() != 1 {
		t.Errorf("a young one: %v, %d left", err, count())
	}
	if err := d.Sweep(ctx, "dir", -time.Hour); !errors.Is(err, storage.ErrNotExist) || count() != 0 {
		t.Errorf("an old one: %v, %d left", err, count())
	}
}
