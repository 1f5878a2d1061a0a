package archiver

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"pg_manage/schema/postgres"
)

// Bounds of working ahead.
const (
	aheadFiles = 64               // stored and not asked for yet, or about to be stored
	remembered = time.Minute      // how long "it is stored" is believed
	tryTime    = 10 * time.Minute // bounds the storing of one file, beside the time that its size takes
	slowest    = 1 << 20          // bytes a second of the slowest line that one can work with
)

// archive stores one file of pg_wal; wal.Instance's Archive.
type archive func(ctx context.Context, path string) error

// pusher stores files ahead of their being asked for.
type pusher struct {
	store archive
	ready func() ([]postgres.WALFile, error) // what waits, in PostgreSQL's order
	dir   string                             // pg_wal
	now   func() time.Time
	done  func(name string, size int64, err error) // is told of each file

	mu      sync.Mutex
	jobs    map[string]*job
	queue   []*job
	width   int  // workers in all
	free    int  // workers without a job
	failing bool // nothing is done ahead until a file that was asked for is stored
	ending  bool // nothing new is taken
	ctx     context.Context
	stop    context.CancelFunc
	workers sync.WaitGroup
}

// job is the storing of one file in one state of it.
type job struct {
	path     string
	file     fileState
	asked    bool // somebody waits for it
	err      error
	finished time.Time     // zero while it waits or runs
	over     chan struct{} // closed then
}

// fileState tells a file from another one that has its name later.
type fileState struct {
	dev, ino     uint64
	size         int64
	mtime, ctime syscall.Timespec
}

func stateOf(path string) (fileState, error) {
	st, err := os.Stat(path)
	if err != nil {
		return fileState{}, err
	}
	sys, ok := st.Sys().(*syscall.Stat_t)
	if !ok {
		return fileState{}, fmt.Errorf("%s: its inode is not known", path)
	}
	return fileState{sys.Dev, sys.Ino, sys.Size, sys.Mtim, sys.Ctim}, nil
}

func newPusher(store archive, ready func() ([]postgres.WALFile, error), walDir string, workers int, done func(string, int64, error)) *pusher {
	p := &pusher{store: store, ready: ready, dir: walDir, now: time.Now, done: done, jobs: map[string]*job{}, width: workers, free: workers}
	p.ctx, p.stop = context.WithCancel(context.Background())
	return p
}

var errEnds = errors.New("the archiver ends")

// push has a file stored, and returns when it is durable or has failed. The path is
// absolute and has been checked.
func (p *pusher) push(ctx context.Context, path string) error {
	for {
		file, err := stateOf(path)
		if err != nil {
			return err
		}
		j := p.job(path, file)
		select {
		case <-ctx.Done():
			return context.Cause(ctx) // the job goes on, and the next call finds it
		case <-j.over:
		}
		p.mu.Lock()
		if j.err != nil && p.jobs[filepath.Base(path)] == j {
			delete(p.jobs, filepath.Base(path)) // the next call tries anew
		}
		p.failing = j.err != nil
		p.mu.Unlock()
		if j.file == file {
			if j.err == nil {
				p.ahead()
			}
			return j.err
		}
	}
}

// job finds the job for a file, or puts one in front of the queue. It may be one for an
// earlier state of the file, which has to end first.
func (p *pusher) job(path string, file fileState) *job {
	p.mu.Lock()
	defer p.mu.Unlock()
	name := filepath.Base(path)
	if j := p.jobs[name]; j != nil {
		switch {
		case j.finished.IsZero():
			j.asked = true
			p.toFront(j)
			return j
		case j.err == nil && j.file == file && p.now().Sub(j.finished) < remembered:
			return j
		}
	}
	j := p.add(path, file)
	j.asked = true
	p.toFront(j)
	return j
}

// toFront makes a waiting job the next one.
func (p *pusher) toFront(j *job) {
	for i, q := range p.queue {
		if q == j {
			copy(p.queue[1:], p.queue[:i])
			p.queue[0] = j
			return
		}
	}
}

func (p *pusher) add(path string, file fileState) *job {
	j := &job{path: path, file: file, over: make(chan struct{})}
	if p.ending || p.ctx.Err() != nil {
		j.err, j.finished = errEnds, p.now()
		close(j.over)
		return j
	}
	p.jobs[filepath.Base(path)] = j
	p.queue = append(p.queue, j)
	if p.free > 0 {
		p.free--
		p.workers.Go(p.work)
	}
	return j
}

// work does jobs until none waits.
func (p *pusher) work() {
	for {
		p.mu.Lock()
		if len(p.queue) == 0 {
			p.free++
			p.mu.Unlock()
			return
		}
		j := p.queue[0]
		p.queue = p.queue[1:]
		p.mu.Unlock()
		limit := p.limit(j.file.size)
		ctx, cancel := context.WithTimeoutCause(p.ctx, limit, fmt.Errorf("the target took longer than %s", limit))
		err := p.run(ctx, j)
		cancel()
		p.done(filepath.Base(j.path), j.file.size, err)
		p.finish(j, err)
	}
}

// limit bounds the storing of a file of a size. All workers may share one slow line: were
// the time too short for that, all would end before any file is stored, again and again.
func (p *pusher) limit(size int64) time.Duration {
	return tryTime + time.Duration(size/slowest*int64(p.width))*time.Second
}

func (p *pusher) run(ctx context.Context, j *job) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("this is an error in pg_manage: %v", r)
		}
	}()
	if err := p.store(ctx, j.path); err != nil {
		return err
	}
	// What was read is what the job is for, unless it was changed meanwhile.
	after, err := stateOf(j.path)
	if err == nil && after != j.file {
		err = fmt.Errorf("%s was changed while it was archived", j.path)
	}
	return err
}

func (p *pusher) finish(j *job, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	j.err, j.finished = err, p.now()
	close(j.over)
	if err == nil {
		return
	}
	// Not the others too: each would take its time to fail.
	p.failing = true
	for _, q := range p.queue {
		delete(p.jobs, filepath.Base(q.path))
		q.err, q.finished = err, p.now()
		close(q.over)
	}
	p.queue = nil
}

// ahead puts the next files that wait behind those under way.
func (p *pusher) ahead() {
	p.mu.Lock()
	p.forget()
	room := !p.failing && len(p.queue) < aheadFiles/8 // else the workers have enough for a while
	p.mu.Unlock()
	if !room {
		return
	}
	ready, err := p.ready()
	if err != nil {
		return // PostgreSQL asks for each one anyway
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	taken := 0
	for _, f := range ready {
		if taken >= aheadFiles || p.failing || p.ending || p.ctx.Err() != nil {
			return
		}
		taken++
		if p.jobs[f.Name] != nil {
			continue
		}
		path := filepath.Join(p.dir, f.Name)
		if file, err := stateOf(path); err == nil {
			p.add(path, file)
		}
	}
}

// forget drops what is remembered of files for longer than it is believed.
func (p *pusher) forget() {
	for name, j := range p.jobs {
		if !j.finished.IsZero() && p.now().Sub(j.finished) >= remembered {
			delete(p.jobs, name)
		}
	}
}

// busy says whether anything is under way.
func (p *pusher) busy() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, j := range p.jobs {
		if j.finished.IsZero() {
			return true
		}
	}
	return false
}

// drain gives up working ahead; what runs or was asked for may finish until ctx ends.
func (p *pusher) drain(ctx context.Context) {
	p.mu.Lock()
	var asked []*job
	for _, q := range p.queue {
		if q.asked {
			asked = append(asked, q)
			continue
		}
		delete(p.jobs, filepath.Base(q.path))
		q.err, q.finished = errEnds, p.now()
		close(q.over)
	}
	p.queue, p.failing, p.ending = asked, true, true
	p.mu.Unlock()
	over := make(chan struct{})
	go func() {
		p.workers.Wait()
		close(over)
	}()
	select {
	case <-over:
	case <-ctx.Done():
	}
	p.stop()
}
