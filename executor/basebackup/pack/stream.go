package pack

import (
	"context"
	"errors"
	"fmt"
	"io"

	"pg_manage/executor/basebackup/frame"
	"pg_manage/executor/basebackup/index"
	"pg_manage/executor/basebackup/manifest"
	"pg_manage/executor/repo/catalog"
)

// stream is an object that is stored while it comes into being.
type stream struct {
	p      *Packer
	name   string
	pipe   *io.PipeWriter
	done   chan struct{}
	object catalog.Object
	err    error
}

func (p *Packer) newStream(name string) *stream {
	r, w := io.Pipe()
	s := &stream{p: p, name: name, pipe: w, done: make(chan struct{})}
	// A store that waits for content learns so that there will be none.
	stop := context.AfterFunc(p.ctx, func() { w.CloseWithError(context.Cause(p.ctx)) })
	go func() {
		defer close(s.done)
		defer stop()
		s.object, s.err = p.o.Store.Create(p.ctx, p.o.Label, name, r)
		if s.err == nil {
			if _, err := r.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
				s.err = errors.New("the store did not take it to its end")
			}
		}
		if s.err != nil {
			s.err = fmt.Errorf("storing %s: %w", name, s.err)
			p.cancel(s.err)
		}
		r.CloseWithError(errors.Join(s.err, errEnded))
	}()
	return s
}

func (s *stream) Write(b []byte) (int, error) {
	n, err := s.pipe.Write(b)
	if err != nil {
		if cause := context.Cause(s.p.ctx); cause != nil {
			err = cause
		}
	}
	return n, err
}

func (s *stream) close() (catalog.Object, error) {
	if err := context.Cause(s.p.ctx); err != nil {
		return catalog.Object{}, err // what is cut short must not be stored
	}
	s.pipe.Close() //nolint:errcheck // gives no error
	<-s.done
	return s.object, s.err
}

// indexStream writes the index, compressed.
type indexStream struct {
	*stream
	coder   *frame.Coder
	content []byte
	packed  []byte
	*index.Writer
}

// Write adds an entry.
func (x *indexStream) Write(e *index.Entry) error { return x.Writer.Write(e) }

func (p *Packer) newIndex() (*indexStream, error) {
	c, err := frame.NewCoder(p.o.Store.Compression())
	if err != nil {
		return nil, err
	}
	x := &indexStream{stream: p.newStream(p.o.Store.IndexName()), coder: c}
	x.Writer, err = index.NewWriter(frames{x}, index.Header{Label: p.o.Label, Parent: p.o.Parent})
	if err != nil {
		p.cancel(err)
	}
	return x, err
}

// frames cuts what is written to it into frames.
type frames struct{ x *indexStream }

func (f frames) Write(b []byte) (int, error) {
	n := len(b)
	for len(b) > 0 {
		take := min(len(b), window-len(f.x.content))
		f.x.content = append(f.x.content, b[:take]...)
		b = b[take:]
		if len(f.x.content) == window {
			if err := f.x.flush(); err != nil {
				return 0, err
			}
		}
	}
	return n, nil
}

func (x *indexStream) flush() error {
	var err error
	if x.packed, err = x.coder.Encode(x.packed[:0], x.content); err != nil {
		return err
	}
	x.content = x.content[:0]
	_, err = x.stream.Write(x.packed)
	return err
}

func (x *indexStream) close() (catalog.Object, error) {
	if err := x.Writer.Close(); err != nil {
		return catalog.Object{}, err
	}
	if err := x.flush(); err != nil {
		return catalog.Object{}, err
	}
	return x.stream.close()
}

// manifestStream writes the manifest.
type manifestStream struct {
	*stream
	w *manifest.Writer
}

func (p *Packer) newManifest() (*manifestStream, error) {
	s := p.newStream(p.o.Store.ManifestName())
	w, err := manifest.NewWriter(s, p.o.Manifest)
	return &manifestStream{stream: s, w: w}, err
}

func (m *manifestStream) close(ranges []manifest.Range) (catalog.Object, error) {
	if err := m.w.Close(ranges); err != nil {
		return catalog.Object{}, err
	}
	return m.stream.close()
}

// complete puts a file into the index and the manifest.
func (p *Packer) complete(f *file) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	e := &f.entry
	e.Same = f.known && len(e.Chunks) == 0 && e.Size > 0 && e.Size == f.size
	p.size += e.Size
	p.files++
	if err := p.index.Write(e); err != nil {
		return err
	}
	f.entry.Chunks, f.entry.Sums = nil, nil
	if below(e.Path, "pg_wal") { // as the server's own manifests
		return nil
	}
	return p.list.w.Write(manifest.File{Path: e.Path, Size: e.Size, MTime: f.modified, CRC: f.crc.Sum})
}

func (p *Packer) progress(bytes int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done += bytes
	if p.o.Progress != nil {
		p.o.Progress(p.done, max(p.done, p.total))
	}
}
