package restore

import (
	"container/list"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"pg_manage/executor/basebackup/chain"
)

// outFile is a file that is being written.
type outFile struct {
	place *place
	name  string // in the data directory
	rel   string // in the place
	mode  os.FileMode
	size  int64
	mtime int64
	left  atomic.Int64 // pieces that are still to come

	// Kept by handles.
	users int
	idle  *list.Element
	open  sync.Mutex
	f     *os.File
	begun bool // it has its size and its mode
}

func (r *restoring) outFile(f *chain.File) *outFile {
	name := f.Path
	if name == controlFile {
		name = controlTemp
	}
	p, rel := r.layout.find(name)
	return &outFile{place: p, name: f.Path, rel: rel, mode: os.FileMode(f.Mode & 0o777), size: f.Size, mtime: f.MTime}
}

// maxIdle is how many files are kept open that nobody writes to at the moment.
const maxIdle = 64

// handles opens files, and bounds how many are open.
type handles struct {
	delta bool
	mu    sync.Mutex
	idle  list.List // of *outFile, the one used last in front
}

// get opens a file for writing. Each get needs a put.
func (h *handles) get(o *outFile) (*os.File, error) {
	h.mu.Lock()
	o.users++
	if o.idle != nil {
		h.idle.Remove(o.idle)
		o.idle = nil
	}
	h.mu.Unlock()
	o.open.Lock()
	defer o.open.Unlock()
	if o.f != nil {
		return o.f, nil
	}
	flags := os.O_RDWR
	if !o.begun {
		flags |= os.O_CREATE
		if !h.delta {
			flags |= os.O_EXCL
		}
	}
	f, err := o.place.root.OpenFile(o.rel, flags, 0o600)
	if err != nil {
		return nil, fmt.Errorf("write %s: %w", o.name, err)
	}
	if !o.begun {
		if err := o.begin(f, h.delta); err != nil {
			return nil, errors.Join(fmt.Errorf("write %s: %w", o.name, err), f.Close())
		}
		o.begun = true
	}
	o.f = f
	return f, nil
}

// begin gives a file its size and its mode.
func (o *outFile) begin(f *os.File, delta bool) error {
	if delta {
		info, err := f.Stat()
		if err != nil {
			return err
		}
		if !info.Mode().IsRegular() {
			return errors.New("it is no ordinary file")
		}
	}
	if err := f.Truncate(o.size); err != nil {
		return err
	}
	return f.Chmod(o.mode)
}

// put says that a file is not used for now.
func (h *handles) put(o *outFile) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	o.users--
	if o.users > 0 {
		return nil
	}
	o.idle = h.idle.PushFront(o)
	if h.idle.Len() <= maxIdle {
		return nil
	}
	return h.shut(h.idle.Back().Value.(*outFile))
}

// shut closes an idle file. h.mu is held, so that nobody gets it.
func (h *handles) shut(o *outFile) error {
	h.idle.Remove(o.idle)
	o.idle = nil
	f := o.f
	o.f = nil
	if f == nil {
		return nil
	}
	if o.place.sync.each {
		if err := f.Sync(); err != nil {
			return errors.Join(fmt.Errorf("make %s durable: %w", o.name, err), f.Close())
		}
	}
	if err := f.Close(); err != nil {
		return fmt.Errorf("write %s: %w", o.name, err)
	}
	return nil
}

// finish ends a file that has all its content, and that nobody uses any more.
func (h *handles) finish(o *outFile) error {
	f, err := h.get(o)
	if err != nil {
		return err
	}
	if err := setTimes(f, o.mtime); err != nil {
		return fmt.Errorf("set the time of %s: %w", o.name, err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	o.users--
	o.idle = h.idle.PushFront(o)
	return h.shut(o)
}

// close ends all files, after a failure.
func (h *handles) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for h.idle.Len() > 0 {
		_ = h.shut(h.idle.Front().Value.(*outFile)) // the restore failed already
	}
}

// setTimes sets when a file was changed last, which is when it was used last too.
func setTimes(f *os.File, mtime int64) error {
	t := time.Unix(mtime, 0)
	return futimes(f, t)
}
