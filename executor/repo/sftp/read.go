package sftp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/pkg/sftp"

	"pg_manage/executor/repo/storage"
)

// A reader keeps blocksAhead blocks under way, which together fill the window of a
// session (2 MiB). Each is read by two requests, or by many small ones, that all run at once.
const (
	blockSize   = 2 * largeBlock
	blocksAhead = 4
)

// Open reads a file; see storage.Driver.
func (s *Store) Open(ctx context.Context, name string) (io.ReadCloser, error) {
	return s.read(ctx, name, func(size int64) (from, to int64) { return 0, size })
}

// OpenRange reads a part of a file; see storage.Driver.
func (s *Store) OpenRange(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	if err := storage.CheckRange(offset, length); err != nil {
		return nil, s.fail(ctx, nil, "reading", name, err)
	}
	return s.read(ctx, name, func(int64) (from, to int64) { return offset, offset + length })
}

// read reads what part tells of a file, once its size is known.
func (s *Store) read(ctx context.Context, name string, part func(size int64) (from, to int64)) (io.ReadCloser, error) {
	const op = "reading"
	if err := storage.CheckName(name); err != nil {
		return nil, err
	}
	if ctx.Err() != nil {
		return nil, s.fail(ctx, nil, op, name, context.Cause(ctx))
	}
	ses, err := s.acquire()
	if err != nil {
		return nil, s.fail(ctx, nil, op, name, err)
	}
	stop := s.watch(ctx, ses)
	f, size, err := s.openFile(ses.client, name)
	if err != nil {
		stop()
		s.release(ses)
		return nil, s.fail(ctx, ses, op, name, err)
	}
	r := &reader{ctx: ctx, queue: make(chan chan block, blocksAhead), closing: make(chan struct{})}
	r.fail = func(err error) error { return s.fail(ctx, ses, op, name, err) }
	s.background.Go(func() {
		from, to := part(size)
		r.readAhead(f, size, from, to)
		f.Close() //nolint:errcheck // what was read has been judged by itself
		stop()
		s.release(ses)
	})
	return r, nil
}

// openFile opens a regular file and tells its size, within one round trip.
func (s *Store) openFile(c *sftp.Client, name string) (*sftp.File, int64, error) {
	var f *sftp.File
	var st fs.FileInfo
	var errOpen, errStat error
	_ = parallel(
		func() error { f, errOpen = c.Open(s.path(name)); return nil },
		func() error { st, errStat = c.Stat(s.path(name)); return nil },
	)
	if errOpen != nil {
		return nil, 0, s.absent(c, name, errOpen)
	}
	if errors.Is(errStat, fs.ErrNotExist) { // it came between the two
		st, errStat = f.Stat()
	}
	if errStat == nil && !st.Mode().IsRegular() {
		errStat = errors.New("it is not a regular file")
	}
	if errStat != nil {
		return nil, 0, errors.Join(errStat, f.Close())
	}
	return f, st.Size(), nil
}

type block struct {
	data []byte
	err  error
}

// reader gives the blocks of a file in order.
type reader struct {
	ctx     context.Context
	fail    func(error) error
	queue   chan chan block // of the blocks that are under way, in order
	closing chan struct{}
	now     block
	closed  bool
}

// readAhead asks for all blocks between two places, as many at a time as the queue holds,
// and waits for those that are under way. It ends early when the reader is closed.
func (r *reader) readAhead(f *sftp.File, size, from, to int64) {
	defer close(r.queue)
	busy := make(chan struct{}, blocksAhead)
	defer func() {
		for range blocksAhead {
			busy <- struct{}{}
		}
	}()
	end := min(size, to)
	for off := from; off < end; off += blockSize {
		got := make(chan block, 1)
		select {
		case r.queue <- got:
			busy <- struct{}{}
		case <-r.closing:
			return
		case <-r.ctx.Done():
			return
		}
		go func() {
			defer func() { <-busy }()
			b := make([]byte, min(blockSize, end-off))
			n, err := f.ReadAt(b, off)
			switch {
			case n == len(b):
				err = nil
			case err == nil, errors.Is(err, io.EOF):
				err = fmt.Errorf("it ends after %d of %d bytes: %w", off+int64(n), size, io.ErrUnexpectedEOF)
			}
			got <- block{b[:n], err}
		}()
	}
	if size < to && from < to {
		got := make(chan block, 1)
		got <- block{err: fmt.Errorf("it has %d bytes, and %d are to be read: %w", size, to, io.ErrUnexpectedEOF)}
		select {
		case r.queue <- got:
		case <-r.closing:
		case <-r.ctx.Done():
		}
	}
}

func (r *reader) Read(b []byte) (int, error) {
	if r.closed {
		return 0, r.fail(fs.ErrClosed)
	}
	for len(r.now.data) == 0 {
		if r.now.err != nil {
			return 0, r.now.err
		}
		if err := r.next(); err != nil {
			r.now.err = err
		}
	}
	n := copy(b, r.now.data)
	r.now.data = r.now.data[n:]
	return n, nil
}

func (r *reader) next() error {
	if r.ctx.Err() != nil {
		return r.fail(context.Cause(r.ctx))
	}
	var got chan block
	var ok bool
	select {
	case got, ok = <-r.queue:
	case <-r.ctx.Done():
		return r.fail(context.Cause(r.ctx))
	}
	if !ok {
		if r.ctx.Err() != nil {
			return r.fail(context.Cause(r.ctx))
		}
		return io.EOF
	}
	select {
	case r.now = <-got:
	case <-r.ctx.Done():
		return r.fail(context.Cause(r.ctx))
	}
	if r.now.err != nil {
		r.now.err = r.fail(r.now.err)
	}
	return nil
}

// Close ends the reading; it does not wait for answers that are still on their way.
func (r *reader) Close() error {
	if r.closed {
		return fs.ErrClosed
	}
	r.closed = true
	close(r.closing)
	return nil
}
