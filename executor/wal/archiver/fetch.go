package archiver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"pg_manage/executor/wal"
	"pg_manage/schema/postgres"
)

// fetchTime bounds the fetching of one file ahead.
const fetchTime = 10 * time.Minute

// fetcher brings segments from the archive into the spool ahead of recovery.
type fetcher struct {
	fetch   wal.Fetcher                                 // from the targets
	fits    func(f postgres.WALFile, path string) error // says whether a file is WAL of the instance as it is now
	spool   string
	limit   int64 // bytes that lie in the spool or are on their way there
	workers int

	mu      sync.Mutex
	items   map[string]*item
	next    []postgres.WALFile // what is still to be fetched ahead
	running int
	segment int64 // bytes of a segment; 0 until one was restored
	off     error // why nothing is fetched ahead any more
	ctx     context.Context
	stop    context.CancelFunc
	all     sync.WaitGroup
}

// item is a segment in the spool, or on its way there.
type item struct {
	err    error
	over   chan struct{} // closed when it lies there whole and fsynced, or err says why not
	cancel context.CancelFunc
}

func newFetcher(fetch wal.Fetcher, spool string, limit int64, workers int) *fetcher {
	fits := func(postgres.WALFile, string) error { return nil }
	f := &fetcher{fetch: fetch, fits: fits, spool: spool, limit: limit, workers: workers, items: map[string]*item{}}
	f.ctx, f.stop = context.WithCancel(context.Background())
	return f
}

// prepare makes the spool, and removes those of other processes: they have ended or
// soon will, and what they fetched may be of another time. What lies there becomes the
// database's, so nobody else may be able to put it there.
func (f *fetcher) prepare() error {
	top := filepath.Dir(f.spool)
	if err := os.MkdirAll(top, 0o700); err != nil {
		return err
	}
	st, err := os.Lstat(top)
	if err != nil {
		return err
	}
	if sys, ok := st.Sys().(*syscall.Stat_t); !ok || !st.IsDir() || st.Mode().Perm()&0o022 != 0 || int(sys.Uid) != os.Geteuid() {
		return fmt.Errorf("%s must be a directory of the instance's user that nobody else may write (mode 0700); it is %s", top, st.Mode())
	}
	old, err := os.ReadDir(top) // the directory stays: it may be a mount of its own
	if err != nil {
		return err
	}
	for _, e := range old {
		if err := os.RemoveAll(filepath.Join(top, e.Name())); err != nil {
			return err
		}
	}
	return os.MkdirAll(f.spool, 0o700)
}

// get brings one file to dest: from the spool, else from a target.
func (f *fetcher) get(ctx context.Context, file postgres.WALFile, dest string) error {
	if file.Kind != postgres.WALSegment {
		return f.fetch(ctx, file, dest)
	}
	if f.take(ctx, file, dest) != nil { // whatever is wrong with the spool, the target has the word
		if err := f.fetch(ctx, file, dest); err != nil {
			return err
		}
	}
	f.advance(file, dest)
	return nil
}

var errNotSpooled = errors.New("not in the spool")

// take moves a file from the spool to dest.
func (f *fetcher) take(ctx context.Context, file postgres.WALFile, dest string) error {
	f.mu.Lock()
	it := f.items[file.Name]
	f.mu.Unlock()
	if it == nil {
		return errNotSpooled
	}
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-it.over:
	}
	f.mu.Lock()
	delete(f.items, file.Name)
	f.mu.Unlock()
	if it.err != nil {
		return it.err
	}
	from := filepath.Join(f.spool, file.Name)
	// Another cluster may have been restored into the data directory's place meanwhile.
	if err := f.fits(file, from); err != nil {
		return errors.Join(err, os.Remove(from))
	}
	// Content and size were fsynced in the spool. The name need not be: a file that a
	// crash takes away here is asked for again.
	err := os.Rename(from, dest)
	if errors.Is(err, syscall.EXDEV) {
		err = errors.Join(move(from, dest), os.Remove(from))
	}
	return err
}

// move copies a file to another file system, where it appears whole or not at all.
func move(from, dest string) (err error) {
	r, err := os.Open(from)
	if err != nil {
		return err
	}
	defer r.Close() //nolint:errcheck // read only
	w, err := os.CreateTemp(filepath.Dir(dest), "xlogtemp.pg_manage.*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			w.Close()           //nolint:errcheck // it is given up
			os.Remove(w.Name()) //nolint:errcheck // it may have its name already
		}
	}()
	if _, err := io.Copy(w, r); err != nil {
		return err
	}
	if err := errors.Join(w.Sync(), w.Close()); err != nil {
		return err
	}
	return os.Rename(w.Name(), dest)
}

// advance lets the workers fetch what follows a file that was restored, and drops
// what does not: recovery went back, or to another timeline.
func (f *fetcher) advance(file postgres.WALFile, dest string) {
	st, err := os.Stat(dest)
	if err != nil || f.limit < st.Size() || !postgres.ValidSegmentSize(st.Size()) {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.off != nil || f.ctx.Err() != nil {
		return
	}
	f.segment = st.Size()
	wanted, next := map[string]bool{}, file
	f.next = nil
	for range f.limit / f.segment {
		if next, err = next.Next(f.segment); err != nil {
			break
		}
		wanted[next.Name] = true
		if f.items[next.Name] == nil {
			f.next = append(f.next, next)
		}
	}
	for name, it := range f.items {
		if !wanted[name] {
			f.drop(name, it)
		}
	}
	if f.running == 0 {
		f.spawn()
	}
}

// spawn starts one more worker where there is work. They become more with each file
// that is found: at the end of the archive, one that looks there in vain is enough.
func (f *fetcher) spawn() {
	if f.running < f.workers && len(f.next) > 0 {
		f.running++
		f.all.Go(f.work)
	}
}

// drop gives up an item. Its file goes when nobody writes it any more.
func (f *fetcher) drop(name string, it *item) {
	delete(f.items, name)
	it.cancel()
	f.all.Go(func() {
		<-it.over
		os.Remove(filepath.Join(f.spool, name)) //nolint:errcheck // it may never have come
	})
}

func (f *fetcher) work() {
	for {
		f.mu.Lock()
		if len(f.next) == 0 || f.off != nil || f.ctx.Err() != nil {
			f.running--
			f.mu.Unlock()
			return
		}
		file := f.next[0]
		f.next = f.next[1:]
		if f.items[file.Name] != nil {
			f.mu.Unlock()
			continue
		}
		ctx, cancel := context.WithTimeoutCause(f.ctx, fetchTime, fmt.Errorf("the target took longer than %s", fetchTime))
		it := &item{over: make(chan struct{}), cancel: cancel}
		f.items[file.Name] = it
		f.mu.Unlock()
		err := f.fetch(ctx, file, filepath.Join(f.spool, file.Name))
		cancel()
		f.settle(file, it, err)
	}
}

// settle notes how fetching a file ended. One that is not there, or of which nothing
// is known, is forgotten: when recovery asks for it, the target is asked again.
func (f *fetcher) settle(file postgres.WALFile, it *item, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	it.err = err
	if err != nil {
		if f.items[file.Name] == it {
			delete(f.items, file.Name)
		}
		f.next = nil // what follows is not there either, or as unclear
		if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
			f.off = err // the disk belongs to the database
		}
	} else {
		f.spawn()
	}
	close(it.over)
}

// close ends all and removes the spool.
func (f *fetcher) close() {
	f.mu.Lock() // nobody adds to all from here on
	f.stop()
	f.mu.Unlock()
	f.all.Wait()
	os.RemoveAll(f.spool) //nolint:errcheck // the next archiver does it again
}
