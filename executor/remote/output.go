package remote

import (
	"io"
	"sync"
	"time"
)

// stderrKept is how much of the end of stderr a Result holds.
const stderrKept = 64 << 10

// tail keeps the last bytes written to it, and passes all on to next.
type tail struct {
	mu   sync.Mutex
	buf  []byte
	next io.Writer
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	t.buf = append(t.buf, p...)
	if over := len(t.buf) - stderrKept; over > stderrKept {
		t.buf = append(t.buf[:0], t.buf[over:]...)
	}
	t.mu.Unlock()
	if t.next != nil {
		return t.next.Write(p)
	}
	return len(p), nil
}

func (t *tail) bytes() []byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	b := t.buf
	if over := len(b) - stderrKept; over > 0 {
		b = b[over:]
	}
	return append([]byte(nil), b...)
}

// failing notes the first error of a reader or writer that is the caller's.
type failing struct {
	mu  sync.Mutex
	err error
	hit chan struct{} // closed at the first error
}

func newFailing() *failing { return &failing{hit: make(chan struct{})} }

func (f *failing) set(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err == nil {
		f.err = err
		close(f.hit)
	}
}

func (f *failing) get() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

// errReader and errWriter tell the caller's own failures from those of the pipe.
type errReader struct {
	r io.Reader
	f *failing
}

func (e errReader) Read(p []byte) (int, error) {
	n, err := e.r.Read(p)
	if err != nil && err != io.EOF {
		e.f.set(err)
	}
	return n, err
}

type errWriter struct {
	w io.Writer
	f *failing
}

func (e errWriter) Write(p []byte) (int, error) {
	n, err := e.w.Write(p)
	if err != nil {
		e.f.set(err)
	}
	return n, err
}

// gate passes writes on until it is shut, so that nothing is written to a caller's
// writer after Run has returned.
type gate struct {
	mu   sync.Mutex
	shut bool
	w    io.Writer
}

func (g *gate) Write(p []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.shut {
		return 0, io.ErrClosedPipe
	}
	return g.w.Write(p)
}

// close shuts the gate, once a write under way is done. A writer that blocks is not
// waited for long: it may be the caller's pipe, which is read no more.
func (g *gate) close() {
	done := make(chan struct{})
	go func() {
		defer close(done)
		g.mu.Lock()
		defer g.mu.Unlock()
		g.shut = true
	}()
	patience := time.NewTimer(time.Second)
	defer patience.Stop()
	select {
	case <-done:
	case <-patience.C:
	}
}
