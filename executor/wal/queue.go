package wal

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
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
	store  *posix.Store
	more   chan struct{} // has a value when something was added
}

func (c *Config) openQueue(t repo.Target) (*queue, error) {
	dir := c.beside("queue", t.Name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("the queue for target %q: %w", t.Name, err)
	}
	store, err := posix.New("the queue for target "+t.Name, "file", dir)
	if err != nil {
		return nil, err
	}
	return &queue{target: t, store: store, more: make(chan struct{}, 1)}, nil
}

// files lists what waits, .history files first and then by name.
func (q *queue) files(ctx context.Context) (names []string, bytes int64, err error) {
	top, err := q.store.List(ctx, "")
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

// full says whether a file of a size would exceed the target's declared limit.
func (q *queue) full(size int64) bool {
	if q.target.QueueLimit == 0 {
		return false
	}
	_, waiting, err := q.files(context.Background())
	return err == nil && waiting+size > q.target.QueueLimit
}

// add makes a file durable in the queue.
func (q *queue) add(ctx context.Context, forms *forms, src *source) error {
	c := forms.segment
	if src.f.Kind == postgres.WALHistory {
		c = forms.history
	}
	r, err := src.encoded(c)
	if err != nil {
		return err
	}
	defer r.Close() //nolint:errcheck // a pipe's reading end
	name := strings.TrimPrefix(folder("", src.f)+"/"+src.f.Name+c.Extension(), "/")
	err = q.store.Put(ctx, name, r)
	if errors.Is(err, storage.ErrExists) { // it waits already; whether it may be stored is seen at the target
		err = q.store.Sync(ctx, name)
	}
	if err == nil {
		select {
		case q.more <- struct{}{}:
		default:
		}
	}
	return err
}

// Drain sends what waits for the targets that are not required, oldest first, until
// nothing waits or a target does not take it. It gives the number of files sent.
func (in *Instance) Drain(ctx context.Context, target string) (sent int, err error) {
	q := in.queues[target]
	if q == nil {
		return 0, fmt.Errorf("target %q has no queue", target)
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
		for _, name := range names {
			err := in.links.use(ctx, q.target, func(s *site) error { return s.forward(ctx, q, name, system) })
			if err != nil {
				return sent, err
			}
			if err := q.store.Remove(ctx, name); err != nil {
				return sent, err
			}
			sent++
		}
	}
}

// Queued says when something was added to a target's queue; nil for a required target.
func (in *Instance) Queued(target string) <-chan struct{} {
	if q := in.queues[target]; q != nil {
		return q.more
	}
	return nil
}

// forward stores a file of the queue at the target, as it is.
func (s *site) forward(ctx context.Context, q *queue, name string, system uint64) error {
	plain, _ := codec.Split(name[strings.LastIndexByte(name, '/')+1:])
	f, err := postgres.ClassifyWALName(plain)
	if err != nil {
		return refuse("%s: %s does not belong there: %w", q.store, name, err)
	}
	r, err := q.store.Open(ctx, name)
	if err != nil {
		return err
	}
	final := s.dir() + "/" + name
	err = s.put(ctx, final, r, func(ctx context.Context) error {
		if _, err := s.verify(ctx, system); err != nil {
			return err
		}
		other, err := s.otherForm(ctx, f)
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

// compareQueued makes sure that the target has the content of a queued file already.
func (s *site) compareQueued(ctx context.Context, q *queue, name, final string) error {
	mine, err := s.digest(ctx, q.store, name)
	if err != nil {
		return err
	}
	theirs, err := s.digest(ctx, s.d, final)
	if err != nil {
		return err
	}
	if mine != theirs {
		return refuse("%s: %s is archived already with OTHER content than %s has in the queue: what is stored stays untouched", s.d, final, name)
	}
	return s.d.Sync(ctx, final)
}

// digest is the SHA-256 of a stored file's plain content.
func (s *site) digest(ctx context.Context, d storage.Driver, name string) (sum [32]byte, err error) {
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
	plain, err := s.forms.segment.Reader(raw, ext)
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
