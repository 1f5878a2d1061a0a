package wal

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"pg_manage/executor/repo"
	"pg_manage/executor/repo/codec"
	"pg_manage/executor/repo/posix"
	"pg_manage/executor/repo/storage"
	"pg_manage/schema/postgres"
)

// queue holds what a target that is not required has still to get: files in the very
// form that they will have there, in a directory beside the configuration. They do not
// lie in pg_wal, which PostgreSQL uses again as soon as the required targets have a file.
type queue struct {
	target repo.Target
	dir    string
	store  *posix.Store
	more   chan struct{} // has a value when something was added
}

func (c *Config) openQueue(t repo.Target) (*queue, error) {
	dir := c.beside("queue", t.Name)
	store, err := posix.New("the queue for target "+t.Name, "file", dir)
	if err != nil {
		return nil, err
	}
	return &queue{target: t, dir: dir, store: store, more: make(chan struct{}, 1)}, nil
}

// files lists what waits, .history files first and then by name.
func (q *queue) files(ctx context.Context) (names []string, bytes int64, err error) {
	top, err := q.store.List(ctx, "")
	if errors.Is(err, storage.ErrNotExist) {
		return nil, 0, nil // nothing ever waited
	}
	if err != nil {
		return nil, 0, err
	}
	var segments []string
	for _, i := range top {
		if !i.Dir {
			names = append(names, i.Name)
			bytes += i.Size
			continue
		}
		in, err := q.store.List(ctx, i.Name)
		if err != nil && !errors.Is(err, storage.ErrNotExist) {
			return nil, 0, err
		}
		for _, j := range in {
			segments = append(segments, i.Name+"/"+j.Name)
			bytes += j.Size
		}
	}
	return append(names, segments...), bytes, nil
}

// full says whether a file would exceed the target's declared limit. One that waits
// already does not.
func (q *queue) full(ctx context.Context, forms *forms, src *source) bool {
	if q.target.QueueLimit == 0 {
		return false
	}
	if _, err := q.store.Stat(ctx, queueName(forms.of(src.f), src.f)); err == nil {
		return false
	}
	_, waiting, err := q.files(ctx)
	return err == nil && waiting+src.size > q.target.QueueLimit
}

// queueName is where a file waits, in the form of a codec.
func queueName(c *codec.Codec, f postgres.WALFile) string {
	return strings.TrimPrefix(folder("", f)+"/"+f.Name+c.Extension(), "/")
}

// add makes a file durable in the queue.
func (q *queue) add(ctx context.Context, forms *forms, src *source) error {
	if err := os.MkdirAll(q.dir, 0o700); err != nil {
		return err
	}
	c := forms.of(src.f)
	r, err := src.encoded(c)
	if err != nil {
		return err
	}
	defer r.Close() //nolint:errcheck // a pipe's reading end
	name := queueName(c, src.f)
	err = q.store.Put(ctx, name, r)
	if errors.Is(err, storage.ErrExists) {
		err = q.confirm(ctx, c, name, src)
	}
	if err == nil {
		select {
		case q.more <- struct{}{}:
		default:
		}
	}
	return err
}

// confirm makes sure that what waits under a name is the source's content, and durable.
func (q *queue) confirm(ctx context.Context, c *codec.Codec, name string, src *source) error {
	theirs, err := digest(ctx, q.store, name, c)
	if errors.Is(err, storage.ErrNotExist) { // it was sent this moment
		return fmt.Errorf("%s: %s went away while it was looked at: try again", q.store, name)
	}
	if err != nil {
		return err
	}
	mine, err := src.hash()
	if err != nil {
		return err
	}
	if mine != theirs {
		return refuse("%s: %s waits there already with OTHER content: two instances archive into one place, or a copy was promoted; once that file is moved away, this one takes its place", q.store, name)
	}
	return q.store.Sync(ctx, name)
}

// sweep removes what writers that died have left.
func (q *queue) sweep(ctx context.Context) {
	top, err := q.store.List(ctx, "")
	if err != nil {
		return // none, or what follows meets it too
	}
	_ = q.store.Sweep(ctx, "", leftoverAge)
	for _, i := range top {
		if i.Dir {
			_ = q.store.Sweep(ctx, i.Name, leftoverAge)
		}
	}
}

// Drain sends what waits for a target that is not required, or was not, oldest first, until
// nothing waits or a target does not take it. A file that the archive refuses, or that is
// none of WAL, stays where it is and holds up no other. It gives the number of files sent.
func (in *Instance) Drain(ctx context.Context, target string) (sent int, err error) {
	q := in.queues[target]
	if q == nil {
		return 0, fmt.Errorf("target %q has no queue", target)
	}
	q.sweep(ctx)
	if names, _, err := q.files(ctx); err != nil || len(names) == 0 {
		return 0, err
	}
	system, err := in.Config.systemIdentifier()
	if err != nil {
		return 0, err
	}
	for {
		names, _, err := q.files(ctx)
		if err != nil || len(names) == 0 {
			return sent, err
		}
		// First whose archive it is: what is refused after that is refused for itself.
		if err := in.sendOne(ctx, q, "", system); err != nil {
			return sent, err
		}
		var stuck []error
		for _, name := range names {
			err := in.sendOne(ctx, q, name, system)
			var refused *RefusedError
			switch {
			case err == nil:
				sent++
			case errors.As(err, &refused):
				stuck = append(stuck, err)
			case !errors.Is(err, storage.ErrNotExist): // else an archiver that ends, or our successor, was faster
				return sent, err
			}
		}
		switch {
		case len(stuck) == 1:
			return sent, stuck[0]
		case len(stuck) > 1:
			return sent, fmt.Errorf("%w (and %d more files are refused)", stuck[0], len(stuck)-1)
		}
	}
}

// sendOne sends one file of the queue, and takes it out; "" is none, and the target is
// only asked whether the archive there is the cluster's. ErrNotExist says that the file is
// not in the queue any more.
func (in *Instance) sendOne(ctx context.Context, q *queue, name string, system uint64) error {
	ctx, cancel := tryTime(ctx, filepath.Join(q.dir, name))
	defer cancel()
	err := in.links.use(ctx, q.target, func(s *site) error {
		if name == "" {
			_, err := s.verify(ctx, system)
			return err
		}
		return s.forward(ctx, q, name, system)
	})
	if err != nil || name == "" {
		if errors.Is(err, storage.ErrNotExist) {
			return fmt.Errorf("target %q: %s", q.target.Name, err.Error()) // it says nothing of the queue
		}
		return err
	}
	return q.store.Remove(ctx, name)
}

// Queued says when something was added to a target's queue.
func (in *Instance) Queued(target string) <-chan struct{} {
	if q := in.queues[target]; q != nil {
		return q.more
	}
	return nil
}

// forward stores a file of the queue at the target, as it is. One that was queued before the
// target had recipients is encrypted on the way.
func (s *site) forward(ctx context.Context, q *queue, name string, system uint64) error {
	plain, ext := codec.Split(name[strings.LastIndexByte(name, '/')+1:])
	f, err := postgres.ClassifyWALName(plain)
	if err != nil {
		return refuse("%s: %s does not belong there: %w", q.store, name, err)
	}
	r, err := q.store.Open(ctx, name)
	if errors.Is(err, storage.ErrNotExist) {
		return nil // somebody else has sent it
	}
	if err != nil {
		return err
	}
	final := s.dir() + "/" + name
	if c := s.forms.of(f); c.Encrypts() && !codec.Encrypted(ext) {
		if r, err = again(ctx, q, name, ext, c, r); err != nil {
			return err
		}
		final = s.dir() + "/" + queueName(c, f)
	}
	err = s.put(ctx, final, r, func(ctx context.Context) error {
		if _, err := s.verify(ctx, system); err != nil {
			return err
		}
		other, err := s.besides(ctx, f, final)
		if err == nil && other != "" {
			return &storedAs{other}
		}
		return err
	})
	var as *storedAs
	switch {
	case errors.As(err, &as):
		final = as.name
	case !errors.Is(err, storage.ErrExists):
		return err
	}
	return s.compareQueued(ctx, q, name, final)
}

// again gives a file of the queue, which raw reads, in the form of another codec. Closing it
// early ends the encoder.
func again(ctx context.Context, q *queue, name, ext string, c *codec.Codec, raw io.ReadCloser) (io.ReadCloser, error) {
	sum, err := digest(ctx, q.store, name, c)
	var damaged *codec.DamagedError
	if errors.As(err, &damaged) {
		err = refuse("%w: it waits in the queue unencrypted, and cannot be encrypted for the target", err)
	}
	if err != nil {
		return nil, errors.Join(err, raw.Close())
	}
	plain, err := c.Reader(raw, ext)
	if err != nil {
		return nil, errors.Join(err, raw.Close())
	}
	pr, pw := io.Pipe()
	go func() {
		w, err := c.Writer(pw, sum)
		if err == nil {
			_, err = io.Copy(w, plain)
		}
		if err == nil {
			err = w.Close()
		}
		pw.CloseWithError(errors.Join(err, plain.Close(), raw.Close()))
	}()
	return pr, nil
}

// compareQueued makes sure that the target has the content of a queued file already.
func (s *site) compareQueued(ctx context.Context, q *queue, name, final string) error {
	mine, err := digest(ctx, q.store, name, s.forms.segment)
	if err != nil {
		return err
	}
	theirs, err := digest(ctx, s.d, final, s.forms.segment)
	if err != nil {
		return err
	}
	if mine != theirs {
		return refuse("%s: %s is archived already with OTHER content than %s has in the queue: what is stored stays untouched", s.d, final, name)
	}
	return s.d.Sync(ctx, final)
}

// digest is the SHA-256 of a stored file's plain content; any codec of the target reads it.
func digest(ctx context.Context, d storage.Driver, name string, c *codec.Codec) (sum [32]byte, err error) {
	raw, err := d.Open(ctx, name)
	if err != nil {
		return sum, err
	}
	defer raw.Close() //nolint:errcheck // read only
	_, ext := codec.Split(name)
	if codec.Encrypted(ext) {
		sum, ok, err := codec.StoredSum(raw)
		if err == nil && !ok {
			err = fmt.Errorf("%s: %s bears no checksum", d, name)
		}
		return sum, err
	}
	plain, err := c.Reader(raw, ext)
	if err != nil {
		return sum, err
	}
	h := sha256.New()
	_, err = io.Copy(h, plain)
	if err := errors.Join(err, plain.Close()); err != nil {
		return sum, fmt.Errorf("%s: %s: %w", d, name, err)
	}
	return [32]byte(h.Sum(nil)), nil
}

// Waiting says whether anything is in the queues.
func (in *Instance) Waiting() bool {
	for _, q := range in.queues {
		if names, _, err := q.files(context.Background()); err != nil || len(names) > 0 {
			return true
		}
	}
	return false
}
