package pack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"pg_manage/executor/basebackup/frame"
	"pg_manage/executor/basebackup/index"
	"pg_manage/executor/repo/catalog"
)

// run copies what a feed has, in parts of about limit bytes.
func (p *Packer) run(feed *feed, writers int, limit int64) error {
	for len(p.workers) < p.o.Workers {
		w, err := p.newWorker()
		if err != nil {
			return p.fail(err)
		}
		p.workers = append(p.workers, w)
	}
	tasks := make(chan *task, 8*p.o.Workers)
	var reading, writing sync.WaitGroup
	for _, w := range p.workers {
		reading.Go(func() {
			for t := range tasks {
				w.do(p.ctx, t)
				if t.file != nil {
					t.file.release()
				}
				close(t.done)
			}
		})
	}
	for range writers {
		writing.Go(func() {
			if err := p.write(feed, tasks, limit); err != nil {
				p.cancel(err)
			}
		})
	}
	writing.Wait()
	close(tasks)
	reading.Wait()
	return context.Cause(p.ctx)
}

// write writes part after part until the feed is empty.
func (p *Packer) write(feed *feed, tasks chan<- *task, limit int64) error {
	for !feed.empty() {
		s := &part{p: p, feed: feed, tasks: tasks, limit: limit}
		err := s.store()
		s.close()
		if err != nil {
			return err
		}
	}
	return nil
}

// part is the content of a part, as the store reads it.
type part struct {
	p     *Packer
	feed  *feed
	tasks chan<- *task
	limit int64

	mu     sync.Mutex // a store may read on for a moment when it has given up
	number int
	begun  bool
	window []*task // under way, in order
	cur    *file   // being cut into tasks
	at     int64   // how far it was cut
	given  int64   // bytes of files in tasks so far
	frames []packed
	rest   []byte // of the frame that is being read
	whole  []byte // that frame, to be used again
	offset int64  // of the next frame in the part
	ending bool   // the end of the archive was made
	err    error
}

// store has a part stored. A part of which nothing came is none.
func (s *part) store() error {
	if err := s.first(); err != nil {
		if errors.Is(err, io.EOF) {
			return nil
		}
		return err
	}
	name := s.p.o.Store.PartName(s.number)
	o, err := s.p.o.Store.Create(s.p.ctx, s.p.o.Label, name, s)
	if cause := context.Cause(s.p.ctx); cause != nil {
		return cause
	}
	if err != nil {
		return fmt.Errorf("storing %s: %w", name, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !errors.Is(s.err, io.EOF) {
		return fmt.Errorf("storing %s: the store took %d bytes of it, and not the end", name, s.offset)
	}
	s.p.mu.Lock()
	defer s.p.mu.Unlock()
	s.p.parts[s.number] = o
	return nil
}

// first waits until there is something to store, and gives the part its number. The first of all
// parts begins with the directories.
func (s *part) first() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.frames) == 0 {
		if err := s.step(); err != nil {
			return err
		}
	}
	return nil
}

// begin gives the part its number, when its first content is there.
func (s *part) begin() error {
	s.begun = true
	s.p.mu.Lock()
	s.number = len(s.p.parts)
	s.p.parts = append(s.p.parts, catalog.Object{})
	s.p.mu.Unlock()
	if s.number > 0 {
		return nil
	}
	var content []byte
	var err error
	for _, d := range s.p.scan.dirs {
		if content, err = s.p.owner.header(content, member{name: d.Dir, dir: true, mode: d.Mode, modified: s.p.began}); err != nil {
			return err
		}
		if len(content) > window {
			if err := s.encode(content); err != nil {
				return err
			}
			content = content[:0]
		}
	}
	return s.encode(content)
}

// encode adds a frame of content that no task made.
func (s *part) encode(content []byte) error {
	if len(content) == 0 {
		return nil
	}
	c, err := frame.NewCoder(s.p.o.Store.Compression())
	if err != nil {
		return err
	}
	data, err := c.Encode(nil, content)
	s.add(packed{data, len(content)})
	return err
}

// add puts a frame into the part, and gives its offset.
func (s *part) add(f packed) int64 {
	s.frames = append(s.frames, f)
	s.offset += int64(len(f.data))
	return s.offset - int64(len(f.data))
}

// step has the workers go ahead, and takes in the next task that is done. At the end it adds the
// end of the archive, and then gives io.EOF.
func (s *part) step() error {
	if err := context.Cause(s.p.ctx); err != nil {
		return err
	}
	if err := s.advance(); err != nil {
		return err
	}
	if len(s.window) == 0 {
		if s.ending || !s.begun {
			return io.EOF
		}
		s.ending = true
		return s.encode(make([]byte, 2*tarBlock))
	}
	t := s.window[0]
	select {
	case <-t.done:
	case <-s.p.ctx.Done():
		return context.Cause(s.p.ctx)
	}
	s.window = slices.Delete(s.window, 0, 1)
	s.p.ahead.Add(-1)
	if t.err != nil {
		return t.err
	}
	return s.take(t)
}

// advance gives out tasks: always two, and as many as keep all workers busy when there is room.
func (s *part) advance() error {
	workers := int64(s.p.o.Workers)
	for len(s.window) < 2 || int64(len(s.window)) <= workers && s.p.ahead.Load() < 3*workers {
		t, err := s.next()
		if t == nil {
			return err
		}
		t.done = make(chan struct{})
		s.p.ahead.Add(1)
		s.window = append(s.window, t)
		s.tasks <- t
	}
	return nil
}

// next cuts the next task, nil when the part is full or the feed empty.
func (s *part) next() (*task, error) {
	for s.cur == nil {
		if s.given >= s.limit {
			return nil, nil
		}
		u, ok := s.feed.next()
		if !ok {
			return nil, nil
		}
		if u.batch != nil {
			for i := range u.batch {
				s.given += u.batch[i].size + tarBlock
			}
			return &task{batch: u.batch}, nil
		}
		f, err := s.p.open(&u.big)
		if errors.Is(err, errGone) {
			continue
		} else if err != nil {
			return nil, err
		}
		s.cur, s.at = f, 0
	}
	f := s.cur
	n := int64(window)
	if f.known {
		n = stride
	}
	t := &task{file: f, from: s.at, to: min(s.at+n, f.entry.Size)}
	f.users.Add(1)
	s.given += t.to - t.from
	if s.at = t.to; s.at == f.entry.Size {
		s.cur = nil
		f.release()
	}
	return t, nil
}

// take puts the frames of a task into the part, and what it found into the index.
func (s *part) take(t *task) error {
	s.feed.push(t.big)
	if !s.begun && len(t.frames) > 0 {
		if err := s.begin(); err != nil {
			return err
		}
	}
	offsets := make([]int64, len(t.frames))
	for i, f := range t.frames {
		offsets[i] = s.add(f)
	}
	for i := range t.pieces {
		pc := &t.pieces[i]
		for j := range pc.chunks {
			c := &pc.chunks[j]
			c.Offset, c.Length, c.Part = offsets[c.Part], int64(len(t.frames[c.Part].data)), s.number
		}
		e := &pc.file.entry
		e.Chunks = append(e.Chunks, pc.chunks...)
		e.Sums = append(e.Sums, pc.sums...)
		pc.file.sum(pc.all)
		if pc.last {
			if err := s.p.complete(pc.file); err != nil {
				return err
			}
		}
	}
	s.p.progress(t.bytes)
	return nil
}

// sum adds the sums of the next blocks to that of the file.
func (f *file) sum(all []byte) {
	for len(all) > 0 {
		f.crc.Add(crcOf(all), min(index.BlockSize, f.entry.Size-f.summed))
		f.summed += index.BlockSize
		all = all[index.SumSize:]
	}
}

// Read gives the next bytes of the part.
func (s *part) Read(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.load(); err != nil {
		return 0, err
	}
	n := copy(b, s.rest)
	s.rest = s.rest[n:]
	return n, nil
}

// WriteTo writes frame by frame, which spares copies.
func (s *part) WriteTo(w io.Writer) (int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var written int64
	for {
		if err := s.load(); errors.Is(err, io.EOF) {
			return written, nil
		} else if err != nil {
			return written, err
		}
		n, err := w.Write(s.rest)
		written += int64(n)
		s.rest = s.rest[n:]
		if err != nil {
			return written, err
		}
	}
}

// load makes sure that there is something in rest.
func (s *part) load() error {
	for s.err == nil && len(s.rest) == 0 {
		if s.whole != nil {
			select {
			case s.p.free <- s.whole:
			default:
			}
			s.whole = nil
		}
		if len(s.frames) == 0 {
			s.err = s.step()
			continue
		}
		s.rest, s.whole = s.frames[0].data, s.frames[0].data
		s.frames = slices.Delete(s.frames, 0, 1)
	}
	return s.err
}

// close ends the reading of a part, also one that was given up.
func (s *part) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.err = errEnded
	}
	s.p.ahead.Add(-int64(len(s.window)))
	s.window, s.frames, s.rest, s.whole = nil, nil, nil, nil
	if s.cur != nil {
		s.cur.release()
		s.cur = nil
	}
}
