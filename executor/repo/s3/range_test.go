package s3

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
)

func TestAServerThatGivesAnotherPartIsFoundOut(t *testing.T) {
	s := newServer(t)
	d := s.open(t)
	if err := d.Put(t.Context(), "a", strings.NewReader("0123456789")); err != nil {
		t.Fatal(err)
	}
	s.setFault(func(_ http.ResponseWriter, r *http.Request) bool {
		r.Header.Del("Range")
		return false
	})
	_, err := d.OpenRange(t.Context(), "a", 3, 2)
	mustBeUnknown(t, "OpenRange", err)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("%v", err)
	}
}

func TestAConnectionThatBreaksIsNoEndOfAFile(t *testing.T) {
	s := newServer(t)
	d := s.open(t)
	if err := d.Put(t.Context(), "a", bytes.NewReader(make([]byte, 1<<20))); err != nil {
		t.Fatal(err)
	}
	s.setFault(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Header.Get("Range") == "" {
			return false
		}
		w.Header().Set("Content-Range", "bytes 10-500009/1048576")
		w.Header().Set("Content-Length", "500000")
		w.Header().Set("Last-Modified", "Sun, 22 Nov 2026 10:00:00 GMT")
		w.WriteHeader(http.StatusPartialContent)
		w.Write(make([]byte, 1000)) //nolint:errcheck // the client may be gone
		if err := http.NewResponseController(w).Flush(); err != nil {
			t.Error(err)
		}
		panic(http.ErrAbortHandler)
	})
	r, err := d.OpenRange(t.Context(), "a", 10, 500_000)
	if err != nil {
		t.Fatal(err)
	}
	n, err := io.Copy(io.Discard, r)
	mustBeUnknown(t, "reading", err)
	if errors.Is(err, io.ErrUnexpectedEOF) || n > 1000 {
		t.Errorf("%d bytes, %v", n, err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}
